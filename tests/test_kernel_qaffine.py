"""The qaffine step (bytes times a factor a channel, plus a shift) against numpy, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step


def expected(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, x_zero: int, zero: int, lo: int, hi: int) -> np.ndarray:
    """In float32, operation by operation: rounded to nearest even, then + zero."""
    v = (x.astype(np.float32) - np.float32(x_zero)) * scale + shift
    return np.clip(np.rint(v) + zero, lo, hi).astype(np.uint8)


@pytest.mark.parametrize("c", [1, 3, 15, 16, 17, 63, 64, 65, 130])
@pytest.mark.parametrize("zero, lo, hi", [(0, 0, 255), (117, 117, 250), (255, 3, 255)])
def test_channels(level, c, zero, lo, hi):
    """Pixels and rows with gaps between them, factors of both signs, ties, values far outside."""
    rng = np.random.default_rng(c)
    n, h, w, x_gap, y_gap = 2, 3, 5, 2, 1
    scale = rng.choice([0.5, -0.5, 1.7, -0.03, 0.021, 0, 4e3], c).astype(np.float32)
    shift = rng.choice([0, 0.5, -3.25, 77.7, -1e4], c).astype(np.float32)
    x = rng.integers(0, 256, (n, h, w, c + x_gap)).astype(np.uint8)
    for threads in (1, 3):
        y = Guarded(np.full((n, h, w, c + y_gap), 99, np.uint8), output=True)
        places = {f"{name}_{part}": size for name, gap in (("x", x_gap), ("y", y_gap))
                  for part, size in (("image", h * w * (c + gap)), ("row", w * (c + gap)), ("pixel", c + gap))}
        operands = [y, Guarded(x), Guarded(scale), Guarded(shift)]
        assert run_step("qaffine", operands, threads, n=n, h=h, w=w, c=c, x_zero=91, zero=zero, lo=lo, hi=hi, **places) == 0
        np.testing.assert_array_equal(y.array[..., :c], expected(x[..., :c], scale, shift, 91, zero, lo, hi))
        assert (y.array[..., c:] == 99).all()
