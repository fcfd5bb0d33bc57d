"""Quantised operators by native steps, against onnxruntime."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from quantized_models import SEVEN_BITS
from single_node import check_native

from fastcnn.passes.standardise.quantized_forms import QUANTIZED_FORMS

RNG = np.random.default_rng(0)
WEIGHTS = ["w", "ws", "wz", "xs", "xz", "ys", "yz", "b"]


def whole(shape, dtype):
    info = np.iinfo(dtype)
    return np.asarray(RNG.integers(info.min, info.max + 1, shape)).astype(dtype)


def weights(shape, dtype):
    return whole(shape, dtype) if dtype is np.uint8 else np.asarray(RNG.integers(-SEVEN_BITS, SEVEN_BITS + 1, shape)).astype(dtype)


def real(shape, scale=3.0):
    return np.asarray(RNG.normal(size=shape) * scale, np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16], ids=lambda t: np.dtype(t).name)
@pytest.mark.parametrize("axis, count", [(1, None), (1, 3), (-1, 5), (0, 2)])
@pytest.mark.parametrize("known", [False, True])
def test_to_integers_and_back(dtype, axis, count, known):
    scale, zero = np.asarray(np.abs(real(count or ())) / 50 + 0.01, np.float32), whole(count or (), dtype)
    constants = ["s", "z"] if known else []
    check_native("QuantizeLinear", {"x": real((2, 3, 4, 5)), "s": scale, "z": zero}, constants, opset=21, axis=axis)
    check_native("DequantizeLinear", {"x": whole((2, 3, 4, 5), dtype), "s": scale, "z": zero}, constants, opset=21, axis=axis)


def test_halves_go_to_the_even_neighbour_and_all_saturates():
    x = np.array([-1e9, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5, 127.5, 128.5, 1e9], np.float32)
    for zero in (np.int8(3), np.uint8(7)):
        check_native("QuantizeLinear", {"x": x, "s": np.array(1, np.float32), "z": np.asarray(zero)}, opset=13)
    check_native("QuantizeLinear", {"x": x, "s": np.array(0.5, np.float32), "z": None}, opset=13)


def test_biases_back_to_floats():
    check_native("DequantizeLinear", {"x": whole((7,), np.int32), "s": np.array(0.01, np.float32), "z": None}, opset=13)


@pytest.mark.parametrize("x", [real((3, 4)), np.abs(real((9,))), -np.abs(real((9,))), np.zeros((3,), np.float32)], ids=range(4))
def test_dynamic_quantisation(x):
    check_native("DynamicQuantizeLinear", {"x": x}, opset=11, outputs=3)


@pytest.mark.parametrize("attrs", [{}, {"pads": [1, 1, 1, 1]}, {"strides": [2, 1], "dilations": [1, 2]}], ids=str)
@pytest.mark.parametrize("known", [False, True])
def test_integer_convolution(attrs, known):
    given = {"x": whole((2, 3, 9, 8), np.uint8), "w": whole((4, 3, 3, 3), np.uint8), "xz": np.array(9, np.uint8),
             "wz": np.array(100, np.uint8)}
    check_native("ConvInteger", given, ["w", "xz", "wz"] if known else [], opset=10, **attrs)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("b", [np.int8, np.uint8], ids=["int8", "uint8"])
def test_integer_products(b, known):
    given = {"x": whole((2, 5, 300), np.uint8), "w": weights((300, 4), b), "xz": np.array(9, np.uint8), "wz": np.array(100, b)}
    check_native("MatMulInteger", given, ["w", "xz", "wz"] if known else [], opset=10)
    check_native("MatMulInteger", {"x": given["x"], "w": given["w"]}, opset=10)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("x_type, w_type", [(np.uint8, np.int8), (np.int8, np.int8), (np.uint8, np.uint8)], ids=str)
def test_quantised_convolution(x_type, w_type, per_channel, bias):
    scales = np.asarray(np.abs(real(4 if per_channel else ())) / 90 + 0.003, np.float32)
    zero = np.zeros(4, w_type) if per_channel else np.asarray(whole((), w_type))
    given = {"x": whole((2, 6, 9, 8), x_type), "xs": np.array(0.02, np.float32), "xz": whole((), x_type),
             "w": weights((4, 3, 3, 3), w_type), "ws": scales, "wz": zero, "ys": np.array(0.7, np.float32), "yz": whole((), x_type),
             "b": RNG.integers(-9000, 9000, 4).astype(np.int32) if bias else None}
    check_native("QLinearConv", given, [name for name in WEIGHTS if given[name] is not None], opset=10, group=2, pads=[1, 1, 1, 1])


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7)])
@pytest.mark.parametrize("kind", [np.uint8, np.int8], ids=["uint8", "int8"])
def test_quantised_products(shape, kind):
    given = {"x": whole(shape, kind), "xs": np.array(0.02, np.float32), "xz": whole((), kind), "w": whole((7, 4), kind),
             "ws": np.array(0.01, np.float32), "wz": whole((), kind), "ys": np.array(0.3, np.float32), "yz": whole((), kind)}
    check_native("QLinearMatMul", given, opset=10)
    check_native("QLinearMatMul", given, ["w", "ws", "wz"], opset=10)
    ones = {name: v.reshape(1) if v.ndim == 0 else v for name, v in given.items()}
    check_native("QLinearMatMul", ones, ["w", "ws", "wz"], opset=10)


def test_every_quantised_form_is_named_here():
    text = Path(__file__).read_text()
    assert all(name in text for _, name in QUANTIZED_FORMS)
