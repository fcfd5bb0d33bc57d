"""im2col: copies the windows of some output rows into a matrix, then multiplies it. The generic fallback and the readable definition."""
from __future__ import annotations

from collections.abc import Iterator

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.implicit_gemm import GemmInPlace, gemm_choice, lies_in_planes, taps_of_all, tile_widths
from fastcnn.convolve.shape import ConvShape, Problem, flatten
from fastcnn.convolve.tile import best_nv
from fastcnn.machine.current import current


class Im2col(GemmInPlace):
    """im2col and product, for windows of more than one pixel, without a residual (it could share the output's memory)."""

    name, computed_weights = "im2col", False

    def covers(self, problem: Problem) -> bool:
        return problem.shape.kernel != (1, 1) and len(problem.places) == 2 and not lies_in_planes(problem.shape, problem.places)

    def choose(self, problem: Problem) -> Choice:
        shape = flatten(problem.shape, problem.places)
        return self._chosen(shape, best_nv(shape.oc, shape.ow, shape.k))

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        shape = flatten(problem.shape, problem.places)
        for nv in tile_widths(shape.oc):
            yield f"{self.name} nv{nv}", self._chosen(shape, nv)

    def copy_cycles(self, shape: ConvShape) -> float:
        vector = _native.vector_length()
        return taps_of_all(shape) * shape.groups * -(-shape.ic // vector) * current().core(vector).gather

    def _chosen(self, shape: ConvShape, nv: int) -> Choice:
        return Choice(self.name, "im2col", shape, gemm_choice(self.name, shape, nv, False, 1, False).fields, (shape.groups, nv))
