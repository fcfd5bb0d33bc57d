"""Depthwise convolutions on row-major planes: vectors along rows, without the two changes of layout that pixels would need."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice, Rung, floats
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current
from fastcnn.machine.numbers import WIDE

SHORTEST_ROW = 24           # of the input that the windows see: in shorter ones the last vectors are too empty
# The same where windows roll. us on pixels and on planes: 3x3, 512 channels of 20x20 250, 87, of 14x14 127, 40, 256 of 10x10 20, 15; 5x5,
# 240 of 14x14 46, 39; but 960 of 7x7 3x3 38, 64, 5x5 52, 102 (Intel family 6 model 207, one thread, 2026-11-30).
SHORTEST_ROLLED = 10
ROLLED = 0.6                # of a tile's time: the same day, 12.2 -> 7.3 cycles a vector


class PlanesDepthwise(Rung):
    """A plane at a time."""

    name, on_planes = "planes depthwise", True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        one_channel = shape.ic == shape.oc == 1
        inside = shape.sw <= 2 and min(shape.pt, shape.pl) >= 0
        return problem.clamped and one_channel and inside

    def pays(self, problem: Problem) -> bool:
        shape = problem.shape
        return shape.ow * shape.sw >= SHORTEST_ROW or (rolls(shape) and shape.ow >= SHORTEST_ROLLED)

    def choose(self, problem: Problem) -> Choice:
        return Choice(self.name, "depthwise_planes", problem.shape, {"c": problem.shape.groups}, ("planes",))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return w.ravel()

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        return floats(math.prod(w_shape))

    def cycles(self, choice: Choice, threads: int) -> float:
        return depthwise_cycles(choice.shape) / threads


def rolls(shape: ConvShape) -> bool:
    """Whether output rows are summed together over the rows of the band (fastcnn_c/kernels/depthwise_rolled.inc)."""
    same = shape.kernel in ((3, 3), (5, 5)) and shape.pl == shape.kw // 2
    return same and (shape.sh, shape.sw, *shape.dilations) == (1, 1, 1, 1) and _native.vector_length() >= WIDE


def depthwise_cycles(shape: ConvShape) -> float:
    """Cycles of the sums."""
    vector = _native.vector_length()
    vectors = shape.n * shape.groups * shape.oh * -(-shape.ow // vector)
    return vectors * shape.k * current().core(vector).depthwise * (ROLLED if rolls(shape) else 1.0)
