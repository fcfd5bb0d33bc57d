"""Groups of one and a half vectors (RegNetY's 24 channels at AVX-512), two at a time as three full vectors, so that no lane is empty."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.blocking import block_rows
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.implicit_gemm import Gemm, gemm_choice
from fastcnn.convolve.shape import Problem
from fastcnn.ir.record import replace

NV = 3          # vectors of two groups


class JoinedGroups(Gemm):
    """Implicit GEMM through a band, with tiles of three vectors of which the middle one belongs half to each group."""

    name, computed_weights, grouped = "joined groups", False, True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        return joins(shape.groups, shape.ic, shape.oc, _native.vector_length())

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        two = replace(shape, groups=shape.groups // 2, oc=2 * shape.oc)
        fields = {**gemm_choice(self.name, two, NV, True, block_rows(shape, problem.threads), False).fields, "interleaved": 1}
        return Choice(self.name, "conv", two, fields, (two.groups, NV, "joined"))

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        yield self.name, self.choose(problem)

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return super().pack(choice, alternating(np.ascontiguousarray(w, np.float32), choice.shape.oc))


JOINED_GROUPS = JoinedGroups()


def joins(groups: int, ic: int, oc: int, vector: int) -> bool:
    """Whether one group leaves half a vector empty and two groups leave none."""
    return groups > 0 and groups % 2 == 0 and 2 * oc == NV * vector and 2 * ic % vector == 0


def alternating(w: np.ndarray, oc: int) -> np.ndarray:
    """w (M, C/group, kh, kw) with the filters of each pair of groups (oc filters each) interleaved."""
    return np.ascontiguousarray(w.reshape(-1, 2, oc // 2, *w.shape[1:]).swapaxes(1, 2)).reshape(w.shape)
