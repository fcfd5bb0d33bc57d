"""The qmatmul step (both operands bytes that the run computes) against sums of 64-bit integers, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step

from fastcnn.convolve.quantized_gemm import tile_widths

SUMS, FLOATS, BYTES = range(3)          # FC_Q_SUMS ... of kernels.h
ZEROS = [(0, 128), (117, 131), (255, 0), (3, 255)]


def run(a: np.ndarray, b: np.ndarray, turned: bool, zeros: tuple[int, int], to: int, nv: int, threads: int = 1, factor: float = 1.0,
        zero: int = 0) -> np.ndarray:
    """a (batch, m, k), b (batch, k, n); turned: b lies as (batch, n, k)."""
    (batch, m, k), n = a.shape, b.shape[2]
    y = Guarded(np.zeros((batch, m, n), (np.int32, np.float32, np.uint8)[to]), output=True)
    lies = b.swapaxes(1, 2) if turned else b
    limits = (-np.inf, np.inf) if to != BYTES else (float(-zero), float(255 - zero))
    assert run_step("qmatmul", [y, Guarded(a), Guarded(np.ascontiguousarray(lies))], threads, ndim=1, shape=[batch],
                    y_strides=[m * n], a_strides=[m * k], b_strides=[k * n], m=m, n=n, k=k, a_m=k, b_k=1 if turned else n,
                    b_n=k if turned else 1, y_m=n, nv=nv, a_zero=zeros[0], b_zero=zeros[1], factor=factor, lo=limits[0], hi=limits[1],
                    zero=zero, to=to) == 0
    return y.array


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("zeros", ZEROS, ids=str)
@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (3, 5, 17), (7, 4, 64), (15, 34, 65), (29, 131, 130)])
def test_sums(level, m, k, n, zeros, turned):
    """The outermost values more often: what nine bits need, and the largest sums."""
    rng = np.random.default_rng(m * k + n)
    a, b = (rng.choice([0, 255, *range(256)], (2, *shape)).astype(np.uint8) for shape in ((m, k), (k, n)))
    expected = (a.astype(np.int64) - zeros[0]) @ (b.astype(np.int64) - zeros[1])
    for nv in tile_widths(n):
        for threads in (1, 3):
            np.testing.assert_array_equal(run(a, b, turned, zeros, SUMS, nv, threads), expected)


@pytest.mark.parametrize("zeros", ZEROS, ids=str)
@pytest.mark.parametrize("factor", [0.0021, 1.5, -0.01])
def test_results(level, zeros, factor):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (3, 14, 35)).astype(np.uint8), rng.integers(0, 256, (3, 35, 50)).astype(np.uint8)
    f = ((a.astype(np.int64) - zeros[0]) @ (b.astype(np.int64) - zeros[1])).astype(np.float32) * np.float32(factor)
    nv = tile_widths(50)[-1]
    np.testing.assert_array_equal(run(a, b, False, zeros, FLOATS, nv, factor=factor), f)
    np.testing.assert_array_equal(run(a, b, False, zeros, BYTES, nv, factor=factor, zero=77),
                                  np.clip(np.rint(f) + 77, 0, 255).astype(np.uint8))
