"""Groups of 2, 4 or 8 channels, several in a vector: one sum for each rotation of inputs within their group, then rotated into place."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.blocking import fused_rows
from fastcnn.convolve.choice import Choice, Rung, aligned, floats
from fastcnn.convolve.shape import Problem
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current

WIDTHS = (2, 4, 8)          # channels of a group, a power of two below the vector length
TOGETHER = 64               # channels of a band


class RotatedGroups(Rung):
    """Groups with as many outputs as inputs, in whole vectors of channels (fastcnn_c/kernels/grouped.inc)."""

    name = "rotated groups"
    grouped = True

    def covers(self, problem: Problem) -> bool:
        shape, vector = problem.shape, _native.vector_length()
        return fills_vectors(shape.groups, shape.ic, shape.oc, vector)

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        block = fused_rows(shape.arithmetic.x.itemsize * shape.columns_seen * TOGETHER, shape.sh, shape.oh)
        fields = {"c": shape.groups * shape.ic, "width": shape.ic, "block": block}
        return Choice(self.name, "grouped", shape, fields, (_native.vector_length(),))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return aligned(rotations(np.ascontiguousarray(w, np.float32), choice.packing[0]))

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        return floats(math.prod(w_shape))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector = choice.shape, _native.vector_length()
        vectors = -(-shape.groups * shape.oc // vector)
        return shape.n * shape.oh * shape.ow * vectors * shape.k * current().core(vector).depthwise / threads


def fills_vectors(groups: int, ic: int, oc: int, vector: int) -> bool:
    """Whether the channels are whole vectors of whole groups."""
    return ic == oc and ic in WIDTHS and ic < vector and groups * ic % vector == 0


def rotations(w: np.ndarray, vector: int) -> np.ndarray:
    """w (M, width, kh, kw) as [vector][rotation q][kh][kw][lane]: what the input at a lane adds to the output q lanes before it."""
    m, width, kh, kw = w.shape
    out = np.empty((m // vector, width, kh, kw, vector), np.float32)
    lanes = np.arange(m)
    group, place = lanes // width, lanes % width
    for q in range(width):
        taps = w[group * width + (place - q) % width, place]
        out[:, q] = taps.reshape(m // vector, vector, kh, kw).transpose(0, 2, 3, 1)
    return out
