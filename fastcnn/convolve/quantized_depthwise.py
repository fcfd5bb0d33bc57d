"""Depthwise convolution of bytes: dot products over four rows of a window at a time (the qdepthwise step)."""
from __future__ import annotations

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.arithmetic import U8S8, WORD
from fastcnn.convolve.choice import Choice, Rung
from fastcnn.convolve.shape import Problem
from fastcnn.machine.current import current

# Times of a dot product of bytes where it takes several instructions (Xeon).
DOT = {"avx512": 1.45, "avx2": 1.25, "scalar": 2.4}


class QuantizedDepthwise(Rung):
    """Covers every depthwise window; rows are padded with the zero point and interleaved in a band."""

    name, arithmetic, grouped = "8-bit depthwise", U8S8, True

    def covers(self, problem: Problem) -> bool:
        return problem.shape.is_depthwise

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        return Choice(self.name, "qdepthwise", shape, {"c": shape.groups}, (shape.sh, shape.dh))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return _native.pack_qdepthwise(np.ascontiguousarray(w[:, 0]), *choice.packing)

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector = choice.shape, _native.vector_length()
        words = -(-shape.kh // WORD) * shape.kw
        taps = 2 * (words + 1) * DOT.get(_native.current_isa(), 1.0)
        return shape.n * shape.oh * shape.ow * -(-shape.groups // vector) * taps * current().core(vector).depthwise / threads


QUANTIZED_DEPTHWISE = QuantizedDepthwise()
