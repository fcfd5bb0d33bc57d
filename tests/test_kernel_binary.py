"""fp32 binary functions and scale-shift against numpy: functions, broadcasting, strides, fused activation, threads."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View, broadcast_strides

from fastcnn import _native

FUNCTIONS = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum, "Min": np.minimum, "Pow": np.power,
    "PRelu": lambda a, b: np.where(a < 0, a * b, a), "Mod": np.fmod,
}


def run_binary(op, a, b, threads=1, fn="None", alpha=0.0, beta=0.0):
    shape = np.broadcast_shapes(a.shape, b.shape)
    y = Guarded(np.zeros(shape, np.float32), output=True)
    run_step("binary", [y, Guarded(a), Guarded(b)], threads, ndim=len(shape), shape=shape, y_strides=broadcast_strides(shape, y.array),
             a_strides=broadcast_strides(shape, a), b_strides=broadcast_strides(shape, b), op=_native.BINARY[op],
             fn=_native.UNARY[fn], alpha=alpha, beta=beta)
    return y.array.copy()


def floats(shape, seed=0):
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * 2, np.float32)     # numpy 1 has doubles of rank 0


def test_every_function_has_a_case():
    assert FUNCTIONS.keys() == _native.BINARY.keys()


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17, 37, 2048, 2053])
def test_modes(op, n, isa):
    """Two vectors, one value on the right, one on the left."""
    a, b = floats(n, 1), floats(n, 2)
    if op == "Pow":
        a = np.abs(a)
    for left, right in ((a, b), (a, b[:1]), (a[:1], b)):
        expected = FUNCTIONS[op](left, right) if op == "Mod" else FUNCTIONS[op](left.astype(np.float64), right.astype(np.float64))
        np.testing.assert_allclose(run_binary(op, left, right), expected, rtol=3e-7, atol=1e-37)


@pytest.mark.parametrize("exponent", [2, 0.5, 3, -1, 0, 1, 2.5, -2])
def test_pow_exponents(exponent, isa):
    a = np.abs(floats(100, 3)) + 0.01
    np.testing.assert_allclose(run_binary("Pow", a, np.array([exponent], np.float32)), a.astype(np.float64) ** exponent, rtol=3e-7)


def test_pow_root_of_special_values(isa):
    a = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1], np.float32)
    expected = np.array([0, 0, np.inf, np.inf, np.nan, np.nan], np.float32)   # as pow of C
    np.testing.assert_array_equal(run_binary("Pow", a, np.array([0.5], np.float32)), expected)


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_nan_wins(op, isa):
    a = np.tile(np.array([np.nan, 1, np.nan, 2], np.float32), 9)
    b = np.tile(np.array([1, np.nan, np.nan, 3], np.float32), 9)
    np.testing.assert_array_equal(run_binary(op, a, b), FUNCTIONS[op](a, b))


BROADCASTS = [((2, 5, 7, 24), (24,)), ((24,), (2, 5, 7, 24)), ((3, 4, 5), (3, 1, 5)), ((3, 4, 5), (4, 1)), ((2, 3, 1), (1, 1, 9)),
              ((1,), (1,)), ((), ()), ((6, 2100), (2100,)), ((3, 7, 3), (3,)), ((2, 3, 4, 5), (2, 1, 1, 5)), ((0, 4), (4,)),
              ((5, 1), (1, 6)),
              ((2, 3, 40, 8), (3, 1, 8))]


@pytest.mark.parametrize("a_shape, b_shape", BROADCASTS)
def test_broadcasting(a_shape, b_shape, isa):
    a, b = floats(a_shape, 4), floats(b_shape, 5)
    for threads in (1, 2):
        np.testing.assert_array_equal(run_binary("Sub", a, b, threads), a - b)


def test_activation_follows(isa):
    a, b = floats((50, 24), 6), floats(24, 7)
    np.testing.assert_array_equal(run_binary("Add", a, b, fn="Relu"), np.maximum(a + b, 0))
    np.testing.assert_array_equal(run_binary("Add", a, a, fn="Clip", alpha=-1, beta=1), np.clip(a + a, -1, 1))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("step", [1, 2])
def test_any_layout(order, step, isa):
    """Outputs and operands with axes in different orders, gaps between rows and elements left alone."""
    a, b = View(floats((3, 5, 19), 8)), View(floats((3, 5, 19), 9), order)
    y = View(np.zeros((3, 5, 19), np.float32), order, pitch=0 if step == 2 else 24, step=step, output=True)
    run_step("binary", [y.buffer, a.buffer, b.buffer], 2, ndim=3, shape=(3, 5, 19), y_strides=y.strides, a_strides=a.strides,
             b_strides=b.strides, op=_native.BINARY["Mul"], fn=_native.UNARY["Relu"], alpha=0, beta=0)
    np.testing.assert_array_equal(y.array, np.maximum(a.array * b.array, 0))
    y.check_gaps()


def test_in_place(isa):
    a, b = floats((40, 33), 1), floats(33, 2)
    y = Guarded(a.copy(), output=True)
    run_step("binary", [y, y, Guarded(b)], ndim=2, shape=(40, 33), y_strides=(33, 1), a_strides=(33, 1), b_strides=(0, 1),
             op=_native.BINARY["Add"], fn=0, alpha=0, beta=0)
    np.testing.assert_array_equal(y.array, a + b)


@pytest.mark.parametrize("shape, p_shape",
                         [((2, 6, 7, 24), (24,)), ((2, 5, 33), (5, 1)), ((3, 2100), (2100,)), ((4, 3), (3,)), ((7,), (1,))])
@pytest.mark.parametrize("order", ["dense", "reversed"])
def test_scale_shift(shape, p_shape, order, isa):
    axes = tuple(range(len(shape)))[::1 if order == "dense" else -1]
    x, scale, shift = View(floats(shape, 1), axes), floats(p_shape, 2), floats(p_shape, 3)
    y = View(np.zeros(shape, np.float32), output=True)
    run_step("scale_shift", [y.buffer, x.buffer, Guarded(scale), Guarded(shift)], 2, ndim=len(shape), shape=shape, y_strides=y.strides,
             x_strides=x.strides, p_strides=broadcast_strides(shape, scale), fn=_native.UNARY["Relu"], alpha=0, beta=0)
    expected = np.maximum(x.array.astype(np.float64) * scale + shift, 0)
    np.testing.assert_allclose(y.array, expected, rtol=1e-6, atol=2e-6)
