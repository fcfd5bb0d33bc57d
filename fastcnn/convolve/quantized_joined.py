"""Narrow groups of bytes, several joined into one by block-diagonal weights: multiplying zeros costs less than empty lanes."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcnn.convolve.block_diagonal import block_diagonal, factors
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.quantized_gemm import QUANTIZED_IN_PLACE, QUANTIZED_THROUGH_BAND, QuantizedGemm
from fastcnn.convolve.shape import Problem
from fastcnn.ir.record import replace
from fastcnn.ir.spec import Spec


class QuantizedJoined(QuantizedGemm):
    """The 8-bit GEMM over joined groups, `together` groups each."""

    name = "8-bit GEMM of joined groups"

    def covers(self, problem: Problem) -> bool:
        return bool(factors(problem.shape)) and not problem.shape.is_depthwise

    def pays(self, problem: Problem) -> bool:
        apart = next(rung for rung in (QUANTIZED_IN_PLACE, QUANTIZED_THROUGH_BAND) if rung.covers(problem))
        return self.cycles(self.choose(problem), 1) < apart.cycles(apart.choose(problem), 1)

    def choose(self, problem: Problem) -> Choice:
        return min((choice for _, choice in self.candidates(problem)), key=lambda choice: self.cycles(choice, 1))

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        for together in factors(problem.shape):
            yield f"{self.name}, {together} together", self._joined(problem, together)

    def _joined(self, problem: Problem, together: int) -> Choice:
        shape = problem.shape
        joined = replace(shape, groups=shape.groups // together, ic=shape.ic * together, oc=shape.oc * together)
        whole = replace(problem, shape=joined)
        rung = next(rung for rung in (QUANTIZED_IN_PLACE, QUANTIZED_THROUGH_BAND) if rung.covers(whole))
        choice = rung.choose(whole)
        return replace(choice, rung=self.name, packing=(*choice.packing, together))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        *packing, together = choice.packing
        return super().pack(replace(choice, packing=tuple(packing)), block_diagonal(w, choice.shape.oc // together, together))

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        (*packing, together), (m, ic, *window) = choice.packing, w_shape
        return super().packed_spec(replace(choice, packing=tuple(packing)), (m, together * ic, *window))

    def cycles(self, choice: Choice, threads: int) -> float:
        rung = QUANTIZED_THROUGH_BAND if choice.fields["band"] else QUANTIZED_IN_PLACE
        return rung.cycles(choice, threads)


QUANTIZED_JOINED = QuantizedJoined()
