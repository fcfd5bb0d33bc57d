"""The step round_sum: sums of two values of bytes that lie in memory as floats, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View


@pytest.mark.parametrize("n", [1, 7, 8, 15, 16, 17, 33, 10007])
@pytest.mark.parametrize("factors", [(0.5, 0.5), (0.021, 0.033), (-0.3, 2.1), (1.7, 0.0)])
def test_round_sum(level: str, n: int, factors: tuple[float, float]) -> None:
    """Halves go to the even neighbour; rows with gaps, strided ones, in place."""
    rng = np.random.default_rng(n)
    a, b = (rng.integers(-255, 256, (2, n)).astype(np.float32) for _ in range(2))
    fields = dict(zip(("a_factor", "b_factor"), factors), lo=-17.0, hi=90.0)
    wanted = np.clip(np.rint(a * np.float32(factors[0]) + b * np.float32(factors[1])), -17, 90)
    for threads in (1, 3):
        for view in (View(np.zeros((2, n), np.float32), pitch=n + 3, output=True), View(np.zeros((2, n), np.float32), (1, 0), output=True)):
            assert run_step("round_sum", [view.buffer, Guarded(a), Guarded(b)], threads, ndim=2, shape=(2, n), y_strides=view.strides,
                            a_strides=(n, 1), b_strides=(n, 1), **fields) == 0
            view.check_gaps()
            np.testing.assert_array_equal(view.array, wanted)
    y = Guarded(a.copy(), output=True)
    assert run_step("round_sum", [y, y, Guarded(b)], ndim=1, shape=(2 * n,), y_strides=(1,), a_strides=(1,), b_strides=(1,), **fields) == 0
    np.testing.assert_array_equal(y.array, wanted)
