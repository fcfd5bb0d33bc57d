"""Depthwise convolutions on row-major planes: vectors along rows, without the two changes of layout that pixels would need."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice, Rung, floats
from fastcnn.convolve.shape import Problem
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current

SHORTEST_ROW = 24           # of the input that the windows see: in shorter ones the last vectors are too empty


class PlanesDepthwise(Rung):
    """A plane at a time."""

    name, on_planes = "planes depthwise", True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        one_channel = shape.ic == shape.oc == 1
        inside = shape.sw <= 2 and min(shape.pt, shape.pl) >= 0
        return problem.clamped and one_channel and inside

    def pays(self, problem: Problem) -> bool:
        return problem.shape.ow * problem.shape.sw >= SHORTEST_ROW

    def choose(self, problem: Problem) -> Choice:
        return Choice(self.name, "depthwise_planes", problem.shape, {"c": problem.shape.groups}, ("planes",))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return w.ravel()

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        return floats(math.prod(w_shape))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector = choice.shape, _native.vector_length()
        rows = shape.n * shape.groups * shape.oh
        return rows * -(-shape.ow // vector) * shape.k * current().core(vector).depthwise / threads
