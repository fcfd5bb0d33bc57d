"""Elementwise operators as models of one node, against onnxruntime (onnx.reference where it lacks the type)."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from single_node import check_native

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 7, 6)).astype(np.float32) * 2
POSITIVE = np.abs(X) + np.float32(0.1)


def ints(dtype, shape=(2, 5, 7, 6), low=-20, high=20):
    return np.random.default_rng(1).integers(0 if np.dtype(dtype).kind == "u" else low, high, shape).astype(dtype)


# operator, least opset, attributes, input
UNARY = [
    ("Relu", 7, {}, X), ("LeakyRelu", 7, {}, X), ("LeakyRelu", 16, {"alpha": 0.3}, X), ("Sigmoid", 7, {}, X), ("Tanh", 7, {}, X),
    ("HardSigmoid", 7, {}, X), ("HardSigmoid", 7, {"alpha": 0.5, "beta": 0.6}, X), ("HardSwish", 14, {}, X * 3), ("Elu", 7, {}, X),
    ("Elu", 7, {"alpha": 2.0}, X), ("Selu", 7, {}, X), ("Selu", 7, {"alpha": 2.0, "gamma": 0.5}, X), ("Softplus", 7, {}, X * 9),
    ("Softsign", 7, {}, X), ("Mish", 18, {}, X), ("Celu", 12, {}, X), ("Celu", 12, {"alpha": 0.4}, X), ("ThresholdedRelu", 10, {}, X),
    ("ThresholdedRelu", 10, {"alpha": 0.5}, X), ("Shrink", 9, {}, X), ("Shrink", 9, {"lambd": 1.0, "bias": 0.5}, X), ("Abs", 7, {}, X),
    ("Neg", 7, {}, X), ("Exp", 7, {}, X), ("Log", 7, {}, POSITIVE), ("Sqrt", 7, {}, POSITIVE), ("Reciprocal", 7, {}, POSITIVE),
    ("Erf", 9, {}, X),
    ("Floor", 7, {}, X), ("Ceil", 7, {}, X), ("Round", 11, {}, X * 2), ("Sign", 9, {}, X), ("Sin", 7, {}, X), ("Cos", 7, {}, X),
    ("Tan", 7, {}, X), ("Asin", 7, {}, np.tanh(X)), ("Acos", 7, {}, np.tanh(X)), ("Atan", 7, {}, X), ("Sinh", 9, {}, X), ("Cosh", 9, {}, X),
    ("Asinh", 9, {}, X), ("Acosh", 9, {}, POSITIVE + 1), ("Atanh", 9, {}, np.tanh(X)),
    ("Gelu", 20, {}, X), ("Gelu", 20, {"approximate": "tanh"}, X),
]


@pytest.mark.parametrize("op, opset, attrs, x", UNARY, ids=lambda v: v if isinstance(v, str) else "")
def test_unary(op, opset, attrs, x):
    for value in (x, x[0, 0, 0, 0], x[:1, :0]):
        check_native(op, {"x": np.asarray(value)}, opset=opset, **attrs)


def test_swish():
    check_native("Swish", {"x": X}, opset=24, peer="onnx.reference", alpha=0.7)


def test_gelu_of_microsoft():
    check_native("Gelu", {"x": X}, domain="com.microsoft", opset=1)


@pytest.mark.parametrize("op", ["Abs", "Neg", "Sign"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float64"])
def test_unary_of_other_types(op, dtype):
    check_native(op, {"x": ints(dtype)}, opset=13)


SHAPES = [((2, 5, 7, 6), (2, 5, 7, 6)), ((2, 5, 7, 6), (5, 1, 1)), ((5, 1, 1), (2, 5, 7, 6)), ((2, 5, 7, 6), ()),
          ((2, 1, 7, 6), (1, 5, 1, 6)),
          ((2, 5, 7, 6), (7, 6)), ((4,), (3, 4)), ((), ()), ((3, 1), (1, 0))]


@pytest.mark.parametrize("a, b", SHAPES)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("constants", [(), ("b",)])
def test_arithmetic_broadcasts(op, a, b, constants):
    rng = np.random.default_rng(2)
    check_native(op, {"a": np.asarray(rng.standard_normal(a), np.float32), "b": np.asarray(rng.random(b) + 0.5, np.float32)}, constants,
                 opset=14)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float64", "uint8", "int8"])
def test_arithmetic_of_other_types(op, dtype):
    a, b = ints(dtype, high=60), ints(dtype, (5, 1, 1), 1, 9)
    check_native(op, {"a": a, "b": np.maximum(b, 1)}, opset=14)


@pytest.mark.parametrize("op, opset", [("Less", 9), ("Greater", 9), ("Equal", 11), ("LessOrEqual", 16), ("GreaterOrEqual", 16)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_comparisons(op, opset, dtype):
    a = np.round(RNG.standard_normal((3, 5, 4)) * 2).astype(dtype)
    check_native(op, {"a": a, "b": a[:1, :, ::-1].copy()}, opset=opset)


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op):
    check_native(op, {"a": X > 0, "b": X[:, :1] > 0.5}, opset=7)


def test_not():
    check_native("Not", {"x": X > 0}, opset=7)


@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_bitwise(op):
    check_native(op, {"a": ints("int32"), "b": ints("int32")[::-1].copy()}, opset=18)
    check_native("BitwiseNot", {"x": ints("int32")}, opset=18)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bit_shift(direction):
    check_native("BitShift", {"a": ints("uint8", high=255), "b": ints("uint8", high=7)}, opset=11, direction=direction)


def test_is_nan_and_is_inf():
    x = np.array([[1, np.nan, np.inf, -np.inf, 0]], np.float32)
    check_native("IsNaN", {"x": x}, opset=13)
    check_native("IsInf", {"x": x}, opset=10)


@pytest.mark.parametrize("exponent", [2.0, 0.5, 3.0, -1.0, 0.0, 1.7])
def test_pow_constant(exponent):
    for shape in ((), (1,), (1, 1, 1, 1)):
        check_native("Pow", {"a": POSITIVE, "b": np.full(shape, exponent, np.float32)}, ["b"], opset=15)


@pytest.mark.parametrize("a, b", [("float32", "int64"), ("float32", "float32"), ("int32", "int32"), ("float64", "float32"),
                                  ("int64", "int64")])
def test_pow_types(a, b):
    base = ints(a, (3, 4), 1, 6) if a.startswith("int") else POSITIVE[0, 0, :3, :4].astype(a)
    for constants in ((), ("b",)):
        check_native("Pow", {"a": base, "b": np.array([[2], [0], [3]], b)}, constants, opset=15)


@pytest.mark.parametrize("dtype, fmod", [("float32", 1), ("int32", 0), ("int64", 1), ("int8", 0), ("float64", 1)])
def test_mod(dtype, fmod):
    a = (RNG.standard_normal((4, 9)) * 20).astype(dtype)
    b = np.array([[3], [-4], [7], [5]]).astype(dtype)
    check_native("Mod", {"a": a, "b": b}, opset=13, fmod=fmod)


@pytest.mark.parametrize("op", ["Sum", "Max", "Min", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_variadic(op, count):
    rng = np.random.default_rng(3)
    shapes = [(2, 5, 7, 6), (5, 1, 1), (7, 6), (1, 1, 1, 1), (2, 5, 7, 6)][:count]
    check_native(op, {f"x{k}": rng.standard_normal(s).astype(np.float32) for k, s in enumerate(shapes)}, opset=13)


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_variadic_of_integers(op):
    check_native(op, {"a": ints("int64"), "b": ints("int64")[::-1].copy(), "c": np.array([3], np.int64)}, opset=13)


def test_variadic_first_inputs_smaller():
    check_native("Sum", {"a": X[:, :1, :1, :1], "b": X[:1, :, :1, :1], "c": X}, opset=13)


@pytest.mark.parametrize("slope", [(5, 1, 1), (1,), (6,), (2, 5, 7, 6), (1, 1, 1)])
@pytest.mark.parametrize("constants", [(), ("slope",)])
def test_prelu(slope, constants):
    check_native("PRelu", {"x": X, "slope": RNG.random(slope).astype(np.float32)}, constants, opset=16)


LOW, HIGH = np.array(-0.5, np.float32), np.array(1.5, np.float32)


@pytest.mark.parametrize("low, high", [(LOW, HIGH), (None, HIGH), (LOW, None), (None, None)])
@pytest.mark.parametrize("constants", [("low", "high"), ()])
def test_clip(low, high, constants):
    if low is None and high is None and not constants:
        return
    check_native("Clip", {"x": X, "low": low, "high": high}, [c for c in constants if {"low": low, "high": high}[c] is not None], opset=13)


@pytest.mark.parametrize("attrs", [{}, {"min": -1.0}, {"max": 0.5}, {"min": -1.0, "max": 0.5}])
def test_clip_of_opset_6(attrs):
    check_native("Clip", {"x": X}, opset=10, **attrs)


def test_clip_integers():
    check_native("Clip", {"x": ints("int32"), "low": np.array(-3, np.int32), "high": np.array(4, np.int32)}, ["low", "high"], opset=13)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("c, a, b", [((2, 5, 7), (2, 5, 7), (2, 5, 7)), ((5, 1), (2, 5, 7), ()), ((2, 5, 7), (1,), (7,))])
def test_where(c, a, b, dtype):
    rng = np.random.default_rng(4)
    values = [np.asarray(rng.integers(0, 2 if dtype == "bool" else 90, s)).astype(dtype) for s in (a, b)]
    check_native("Where", {"c": np.asarray(rng.random(c) > 0.5), "a": values[0], "b": values[1]}, opset=16,
                 peer="onnx.reference" if dtype == "bool" else "onnxruntime")


NAMES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "float16"]
CODES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int8": TensorProto.INT8, "int16": TensorProto.INT16,
         "int32": TensorProto.INT32, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16,
         "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64, "bool": TensorProto.BOOL}


@pytest.mark.parametrize("source", NAMES[:-1])
@pytest.mark.parametrize("target", CODES)
def test_cast(source, target):
    x = (RNG.random((3, 2, 4, 5)) * 90).astype(source)
    check_native("Cast", {"x": x}, opset=13, to=CODES[target])


def test_cast_like():
    check_native("CastLike", {"x": X, "like": np.zeros(1, np.int32)}, opset=15)
