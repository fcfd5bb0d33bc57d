"""Depthwise convolutions of channels-last tensors: in place, or through a ring of padded rows; and groups narrower than a vector."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice, Rung, aligned, floats
from fastcnn.convolve.lane_tables import group_tables
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current

# Output columns from which on stride 2 is quicker in place. 112x112x96: 408 -> 222 us, 56x56x144: 100 -> 78 us, 28x28x192: 17 both ways,
# 14x14x576: 11 -> 14 us (Xeon, AVX-512, 2 MB of L2). Stride 1 gains 10 % at most on maps larger than L2 and loses twofold on smaller.
DIRECT_COLUMNS = 14


class Depthwise(Rung):
    """Base of the rungs below: the depthwise step, its weights [kh][ic][kw][c], its time."""

    computed_weights = True

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return aligned(w.transpose(2, 1, 3, 0), out)

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        return floats(math.prod(w_shape))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector = choice.shape, _native.vector_length()
        core = current().core(vector)
        picks = shape.ic * core.gather if choice.fields["x_c"] else 0
        vectors = -(-shape.groups * shape.oc // vector)
        return shape.n * shape.oh * shape.ow * vectors * (shape.k * core.depthwise + picks) / threads

    def _chosen(self, shape: ConvShape, x_c: int = 0, direct: bool = False) -> Choice:
        rows = 1 if direct else tile_rows(shape)
        fields = {"c": shape.groups * shape.oc, "ic": shape.ic, "x_c": x_c, "direct": int(direct), "tile_rows": rows}
        return Choice(self.name, "depthwise", shape, fields)


class DepthwiseDirect(Depthwise):
    """Depthwise of stride 2 in place: row by row, all channels of a few pixels at a time; windows are clipped at the border."""

    name = "depthwise direct"
    grouped = True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        return shape.is_depthwise and (shape.sw, shape.dw) == (2, 1) and shape.kw in (3, 5)

    def pays(self, problem: Problem) -> bool:
        return problem.shape.ow >= DIRECT_COLUMNS

    def choose(self, problem: Problem) -> Choice:
        return self._chosen(problem.shape, direct=True)


class DepthwiseRing(Depthwise):
    """Depthwise through a ring: a few vectors of channels at a time, whose rows are copied to a ring of padded bands."""

    name = "depthwise ring"
    grouped = True

    def covers(self, problem: Problem) -> bool:
        return problem.shape.is_depthwise

    def choose(self, problem: Problem) -> Choice:
        return self._chosen(problem.shape)


class GroupsByLanes(Depthwise):
    """Groups narrower than a vector, as a depthwise step: a band per input channel of a group, its lanes arranged as outputs need them."""

    name = "groups by lanes"
    grouped = True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        narrow = shape.groups > 1 and not shape.is_depthwise and 2 * shape.oc <= _native.vector_length()
        return narrow and group_tables(shape.groups, shape.ic, shape.oc) is not None

    def pays(self, problem: Problem) -> bool:
        """Pays where computing group by group would leave register tiles at least half empty.

        Merging groups to a block diagonal was mostly slower, and spread NaN of one group to others (0 * NaN). Merged, by lanes and one by
        one in us: 56x56, 64 groups of 1 to 2, 3x3 300, 61, 706; 28x28, 64 of 2 to 1 125, 21, 270; 16 of 3 to 3 58, 22, 83; 32
        of 4 to 4 dilated 141, 88, 223; of half a vector each, 16 of 4 to 8 -, 78, 99; 16 of 8 to 8 dilated 141, 194, 155 (2026-11-29,
        EPYC 9005, AVX-512, one thread).
        """
        shape = problem.shape
        return 2 * shape.oc < _native.vector_length() or shape.ic < shape.oc

    def choose(self, problem: Problem) -> Choice:
        return self._chosen(problem.shape, x_c=problem.shape.groups * problem.shape.ic)


def lane_tables(choice: Choice) -> np.ndarray | None:
    """The operand that maps lanes of a depthwise step to channels of x; None where the step needs none."""
    if not choice.fields.get("x_c"):
        return None
    return group_tables(choice.shape.groups, choice.shape.ic, choice.shape.oc)


def tile_rows(shape: ConvShape) -> int:
    """Output rows that the ring's kernel computes at a time: two share the rows that both see, where bands follow each other."""
    strides_along = (shape.sh, shape.sw, shape.dh, shape.dw) == (1, 1, 1, 1)
    if not strides_along or shape.ic > 1 or shape.oh < 2:
        return 1
    return 2 if shape.kernel == (3, 3) or shape.kw in (5, 7) else 1
