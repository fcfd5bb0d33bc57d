"""Elementwise functions on every dtype, and Where, against numpy."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View, broadcast_strides

from fastcnn import _native

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
CODES = {name: k for k, name in enumerate(DTYPES)}
INTEGERS, FLOATS = DTYPES[2:10], DTYPES[:2]


def shift(f):
    """Shifts by the width or more, or by less than nothing, give 0, of negative numbers to the right -1; numpy leaves them undefined."""
    def shifted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        inside = (b >= 0) & (b.astype(object) < 8 * a.itemsize)
        beyond = np.where(a < 0, -1, 0) if f is np.right_shift and a.dtype.kind == "i" else 0
        return np.where(inside, f(a, np.clip(b, 0, 8 * a.itemsize - 1)), beyond).astype(a.dtype)
    return shifted


BOOL_BINARY = {
    "Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
BINARY = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Min": np.minimum, "Mod": np.mod, "FMod": np.fmod,
    "BitwiseAnd": np.bitwise_and, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor, "ShiftLeft": shift(np.left_shift),
    "ShiftRight": shift(np.right_shift), "Div": None, "Pow": None, **BOOL_BINARY}
UNARY = {"Not": np.logical_not, "Abs": np.abs, "Neg": np.negative, "Sign": np.sign, "IsNaN": np.isnan, "IsInf": np.isinf,
         "BitwiseNot": np.bitwise_not}
INTEGER_ONLY = {"BitwiseAnd", "BitwiseOr", "BitwiseXor", "ShiftLeft", "ShiftRight", "BitwiseNot"}
FLOAT_ONLY = {"IsNaN", "IsInf"}


def values(dtype, seed, shape=(7, 31)):
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in FLOATS:
        x = np.asarray(rng.normal(size=shape) * 5, dtype)      # numpy 1 has doubles of rank 0
        x.flat[:4] = [0, -0.0, np.inf, np.nan]
        return x
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    small = rng.integers(max(info.min, -9), 10, shape).astype(dtype)
    return np.where(rng.random(shape) < 0.5, x, small)


def run_binary(op, a, b, threads=1):
    shape = np.broadcast_shapes(a.shape, b.shape)
    y = Guarded(np.zeros(shape, bool if op in BOOL_BINARY else a.dtype), output=True)
    run_step("typed_binary", [y, Guarded(a), Guarded(b)], threads, ndim=len(shape), shape=shape,
             y_strides=broadcast_strides(shape, y.array),
             a_strides=broadcast_strides(shape, a), b_strides=broadcast_strides(shape, b), op=_native.TYPED_BINARY[op],
             dtype=CODES[a.dtype.name])
    return y.array.copy()


def run_unary(op, x):
    y = Guarded(np.zeros(x.shape, bool if op in ("Not", "IsNaN", "IsInf") else x.dtype), output=True)
    run_step("typed_unary", [y, Guarded(x)], ndim=2, shape=x.shape, y_strides=(x.shape[1], 1), x_strides=(x.shape[1], 1),
             op=_native.TYPED_UNARY[op], dtype=CODES[x.dtype.name])
    return y.array.copy()


def test_every_function_has_a_case():
    assert BINARY.keys() == _native.TYPED_BINARY.keys()
    assert UNARY.keys() == _native.TYPED_UNARY.keys()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", [op for op in BINARY if BINARY[op]])
def test_binary(op, dtype):
    if (op in INTEGER_ONLY and dtype not in INTEGERS) or (dtype == "bool" and op not in ("Equal", "And", "Or", "Xor")):
        return
    a, b = values(dtype, 1), values(dtype, 2)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run_binary(op, a, b, 2), BINARY[op](a, b))
        np.testing.assert_array_equal(run_binary(op, a, b[:, :1].copy()), BINARY[op](a, b[:, :1]))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_division_truncates(dtype):
    a, b = values(dtype, 1), values(dtype, 2)
    if dtype in FLOATS:
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(run_binary("Div", a, b), a / b)
        return
    expected = [0 if q == 0 else abs(int(p)) // abs(int(q)) * (1 if (p < 0) == (q < 0) else -1) for p, q in zip(a.flat, b.flat)]
    width = 8 * a.itemsize
    wrapped = np.array([e & ((1 << width) - 1) for e in expected], np.uint64).astype(dtype).reshape(a.shape)
    np.testing.assert_array_equal(run_binary("Div", a, b), wrapped)


@pytest.mark.parametrize("dtype", [d for d in INTEGERS if not d.startswith("u")])
def test_division_that_would_trap(dtype):
    low = np.iinfo(dtype).min
    a, b = np.array([[low, low, 5, 0]], dtype), np.array([[-1, 0, 0, 0]], dtype)
    np.testing.assert_array_equal(run_binary("Div", a, b), [[low, 0, 0, 0]])
    np.testing.assert_array_equal(run_binary("Mod", a, b), [[0, 0, 0, 0]])
    np.testing.assert_array_equal(run_binary("FMod", a, b), [[0, 0, 0, 0]])


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_pow(dtype):
    a = np.array([[0, 1, 2, 3, 5, 7, 10, 2, 1]]).astype(dtype)
    b = np.array([[0, 9, 6, 4, 2, 1, 2, 0, 100]]).astype(dtype)
    np.testing.assert_allclose(run_binary("Pow", a, b), a ** b)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_pow_negative_exponent(dtype):
    np.testing.assert_array_equal(run_binary("Pow", np.array([[1, -1, -1, 2, 0]], dtype), np.array([[-3, -3, -2, -1, -1]], dtype)),
                                  [[1, -1, 1, 0, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", UNARY)
def test_unary(op, dtype):
    if (op in INTEGER_ONLY and dtype not in INTEGERS) or (op in FLOAT_ONLY and dtype not in FLOATS) or (dtype == "bool" and op != "Not"):
        return
    x = values(dtype, 3)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run_unary(op, x), UNARY[op](x))


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "int16"])
@pytest.mark.parametrize("shape, c, a, b",
                         [((5, 70), (5, 70), (5, 70), (5, 70)), ((5, 70), (5, 1), (70,), ()), ((2, 3, 2100), (3, 1), (2, 1, 1), (2100,))])
def test_where(shape, c, a, b, dtype):
    condition, x, z = values("bool", 1, c), values(dtype, 2, a), values(dtype, 3, b)
    for threads in (1, 2):
        y = Guarded(np.zeros(shape, dtype), output=True)
        run_step("where", [y, Guarded(condition), Guarded(x), Guarded(z)], threads, ndim=len(shape), shape=shape,
                 y_strides=broadcast_strides(shape, y.array), c_strides=broadcast_strides(shape, condition),
                 a_strides=broadcast_strides(shape, x), b_strides=broadcast_strides(shape, z), elem_bytes=x.itemsize)
        np.testing.assert_array_equal(y.array, np.where(condition, x, z))


def test_comparison_strided():
    a, b = View(values("float32", 1), (1, 0)), View(values("float32", 2))
    y = View(np.zeros((7, 31), bool), pitch=40, output=True)
    run_step("typed_binary", [y.buffer, a.buffer, b.buffer], ndim=2, shape=(7, 31), y_strides=y.strides, a_strides=a.strides,
             b_strides=b.strides, op=_native.TYPED_BINARY["Less"], dtype=0)
    np.testing.assert_array_equal(y.array, a.array < b.array)
    y.check_gaps()
