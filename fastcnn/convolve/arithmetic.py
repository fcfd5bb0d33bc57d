"""Arithmetic: of which element types the operands, the sum and the result of a convolution are. Rungs and kernels are for one each."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
