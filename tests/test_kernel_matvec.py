"""The matmul step for one row (kernels matvec), which reads the other operand as it lies, at every instruction set against float64."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import assert_close, tolerance
from test_kernel_gemm import normal, run_matmul

# k, n: around the vectors and blocks of rows of every instruction set, and more columns than are added to at a time
SIZES = [(1, 1), (3, 5), (7, 16), (8, 17), (9, 31), (15, 8), (16, 9), (17, 64), (70, 33), (64, 1000), (5, 9001)]


@pytest.mark.parametrize("b_turned", [False, True])
@pytest.mark.parametrize("k, n", SIZES)
def test_one_row(k, n, b_turned, isa):
    a, b = normal(1, k), normal(k, n, seed=1)
    wanted = a.astype(np.float64) @ b
    assert_close(run_matmul(a, b, b_turned=b_turned), wanted, tolerance(k))
    assert_close(run_matmul(a, b, bias=b[0].copy(), nv=2, b_turned=b_turned), wanted + b[0], tolerance(k))
    got = run_matmul(a, b, bias=b[0, :1].copy(), row_bias=True, b_turned=b_turned, fn="Relu")
    assert_close(got, np.maximum(wanted + b[0, 0], 0), tolerance(k) * max(1, np.abs(wanted).max() / max(got.max(), 1e-6)))


@pytest.mark.parametrize("b_turned", [False, True])
def test_batches_of_one_row_and_the_same_bits_for_any_number_of_threads(b_turned, isa):
    a, b = normal(3, 2, 1, 37), normal(2, 37, 101, seed=1)
    alone = run_matmul(a, b, (3, 2), b_turned=b_turned, fn="Tanh")
    assert_close(alone, np.tanh(a.astype(np.float64) @ b), tolerance(37))
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(run_matmul(a, b, (3, 2), b_turned=b_turned, fn="Tanh", threads=threads, nv=2), alone)


def test_infinities_stay_in_their_columns(isa):
    a, b = np.ones((1, 20), np.float32), np.ones((20, 40), np.float32)
    b[3, 7] = np.inf
    for b_turned in (False, True):
        y = run_matmul(a, b, b_turned=b_turned)[0]
        assert np.isinf(y[7]) and (np.delete(y, 7) == 20).all()


@pytest.mark.parametrize("m, k, n", [(2, 70, 33), (13, 130, 65), (40, 9, 100)])
@pytest.mark.parametrize("a_turned", [False, True])
def test_operands_stored_the_other_way_round(m, k, n, a_turned, isa):
    """More rows: what is packed is transposed in blocks."""
    a, b = normal(m, k), normal(k, n, seed=1)
    for b_turned in (False, True):
        got = run_matmul(a, b, a_turned=a_turned, b_turned=b_turned, nv=2)
        assert_close(got, a.astype(np.float64) @ b, tolerance(k))
