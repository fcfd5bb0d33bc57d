"""Softmax and LogSoftmax against float64: contiguous and strided axes, sizes, extremes, threads."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import run_step
from strided import View


def softmax(x: View, axis: int, log: bool, y_order=None, threads: int = 1) -> np.ndarray:
    y = View(np.zeros(x.array.shape, np.float32), y_order, output=True)
    kept = [d for d in range(x.array.ndim) if d != axis]
    run_step("softmax", [y.buffer, x.buffer], threads, ndim=len(kept), shape=[x.array.shape[d] for d in kept],
             y_strides=[y.strides[d] for d in kept], x_strides=[x.strides[d] for d in kept], axis=x.array.shape[axis],
             y_axis=y.strides[axis], x_axis=x.strides[axis], log=int(log))
    return y.array.copy()


def reference(x: np.ndarray, axis: int, log: bool) -> np.ndarray:
    x = x.astype(np.float64)
    shifted = x - x.max(axis, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return log_softmax if log else np.exp(log_softmax)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("shape", [(2, 5, 37), (3, 1, 1), (1, 17, 65), (4, 64, 3)])
def test_axes_and_layouts(shape, order, axis, log, isa):
    x = View(np.random.default_rng(1).normal(size=shape).astype(np.float32) * 5, order)
    for y_order in ((0, 1, 2), order):
        np.testing.assert_allclose(softmax(x, axis, log, y_order), reference(x.array, axis, log), rtol=5e-6, atol=1e-6 if log else 1e-7)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 1000, 1001])
def test_rows_of_any_length(n, isa):
    x = View(np.random.default_rng(n).normal(size=(3, n)).astype(np.float32) * 3)
    for log in (False, True):
        np.testing.assert_allclose(softmax(x, 1, log), reference(x.array, 1, log), rtol=5e-6, atol=2e-6)


def test_extremes_are_stable(isa):
    x = View(np.array([[1e4, 1e4, 0], [-1e4, 0, -1e4], [88, 89, 90], [-3e38, 3e38, 0]], np.float32))
    np.testing.assert_allclose(softmax(x, 1, False), reference(x.array, 1, False), atol=1e-7)
    np.testing.assert_allclose(softmax(View(x.array, (1, 0)), 1, False), reference(x.array, 1, False), atol=1e-7)


def test_threads_give_the_same_bits(isa):
    x = View(np.random.default_rng(0).normal(size=(50, 21, 97)).astype(np.float32))
    for axis in (0, 1, 2):
        assert softmax(x, axis, False).tobytes() == softmax(x, axis, False, threads=3).tobytes()
