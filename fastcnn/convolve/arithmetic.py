"""Arithmetic: of which element types the operands, the sum and the result of a convolution are. Rungs and kernels are for one each."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.record import dataclass

WORD = 4        # bytes of a lane: a float, two bfloat16, four 8-bit integers


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """y = epilogue(sum of x * w), each of its type. Each is one object, FLOAT32 and its like below: they compare by identity."""

    x: np.dtype
    w: np.dtype
    accumulator: np.dtype
    y: np.dtype

    def __str__(self) -> str:
        return f"{self.x} x {self.w} -> {self.accumulator} -> {self.y}"


FLOAT32 = Arithmetic(*[np.dtype(np.float32)] * 4)
# Unsigned activations, signed weights; of results that stay floats as well.
U8S8 = Arithmetic(np.dtype(np.uint8), np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.uint8))
# By what str() of them says.
ARITHMETICS = {str(arithmetic): arithmetic for arithmetic in (FLOAT32, U8S8)}
