"""Arithmetic: the element types of a convolution's operands, sums and result. Each rung and each kernel is for one Arithmetic."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.record import dataclass

WORD = 4        # bytes of a lane: a float, two bfloat16, four 8-bit integers


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """y = epilogue(sum of x * w): the types of x, w, the sum and y. The objects below (FLOAT32 ...) are compared by identity."""

    x: np.dtype
    w: np.dtype
    accumulator: np.dtype
    y: np.dtype

    def __str__(self) -> str:
        return f"{self.x} x {self.w} -> {self.accumulator} -> {self.y}"


FLOAT32 = Arithmetic(*[np.dtype(np.float32)] * 4)
# Unsigned activations, signed weights; used for float results as well.
U8S8 = Arithmetic(np.dtype(np.uint8), np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.uint8))
# Text of an Arithmetic -> the object.
ARITHMETICS = {str(arithmetic): arithmetic for arithmetic in (FLOAT32, U8S8)}
