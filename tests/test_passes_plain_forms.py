"""Rare forms of operators run natively, with onnxruntime's numbers (onnx.reference's where onnxruntime lacks the form)."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph_helper import floats
from single_node import check_native

from fastcnn.passes.standardise.plain_forms import PLAIN_FORMS

A, B, C = floats(3, 5), floats(5, 4), floats(3, 4)
GEMM = [({"a": A, "b": B}, {}), ({"a": A, "b": B, "c": C}, {"alpha": 0.5, "beta": 2.0}), ({"a": A, "b": B, "c": floats(4)}, {}),
        ({"a": A.T.copy(), "b": B.T.copy(), "c": floats(3, 1)}, {"transA": 1, "transB": 1, "beta": 0.3}),
        ({"a": A, "b": B, "c": floats(1)}, {})]


@pytest.mark.parametrize("constants", [(), ("b",)], ids=str)
@pytest.mark.parametrize("inputs, attrs", GEMM)
def test_gemm_of_computed_operands(inputs, attrs, constants):
    check_native("Gemm", inputs, constants, **attrs)


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_layer_norm_with_its_statistics(axis, opset):
    x = floats(2, 3, 4)
    inputs = {"x": x, "s": floats(*x.shape[axis:]), "b": floats(*x.shape[axis:])}
    check_native("LayerNormalization", inputs, ("s", "b"), outputs=3, axis=axis, epsilon=0.01, opset=opset)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("opset", [7, 9, 15])
def test_batch_norm_of_computed_statistics(shape, opset):
    inputs = {"x": floats(*shape), "s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3)) + 0.1}
    check_native("BatchNormalization", inputs, opset=opset, epsilon=0.01)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("outputs", [1, 2])
def test_max_pool_of_bytes(dtype, outputs):
    x = (floats(1, 3, 7, 8) * 60).astype(np.int8).view(dtype)
    check_native("MaxPool", {"x": x}, outputs=outputs, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])


@pytest.mark.parametrize("opset", [12, 13])
def test_dropout_with_a_mask(opset):
    check_native("Dropout", {"x": floats(2, 3)}, outputs=2, opset=opset)


@pytest.mark.parametrize("attrs", [{"detect_negative": 0}, {"detect_positive": 0}], ids=str)
def test_is_inf_of_one_sign(attrs):
    check_native("IsInf", {"x": np.float32([1, np.inf, -np.inf, np.nan])}, opset=10, **attrs)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint8, np.int64])
def test_relu_and_clip_of_other_types(dtype):
    x = (floats(3, 50) * 9).astype(dtype)
    check_native("Clip", {"x": x, "low": np.array(2, dtype), "high": np.array(5, dtype)}, ("low",), opset=13)
    check_native("Clip", {"x": x, "low": None, "high": np.array(5, dtype)}, opset=13)
    if np.dtype(dtype).kind != "u":
        check_native("Relu", {"x": x}, opset=14, peer="onnx.reference")


@pytest.mark.parametrize("opset", [13, 18])
def test_means_of_doubles(opset):
    x = floats(2, 3, 4, 5).astype(np.float64)
    check_native("GlobalAveragePool", {"x": x}, opset=opset, rtol=1e-14, peer="onnx.reference")
    check_native("ReduceMean", {"x": x, "axes": np.array([2, 3])} if opset > 17 else {"x": x}, ("axes",), opset=opset, rtol=1e-14,
                 **({"axes": [2, 3]} if opset < 18 else {}))


@pytest.mark.parametrize("op, gates", [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_recurrent_layers_with_the_batch_first(op, gates, direction):
    d, hidden = 1 + (direction == "bidirectional"), 4
    states = {name: floats(2, d, hidden) for name in ("h", "c")[:1 + (op == "LSTM")]}
    weights = {"w": floats(d, gates * hidden, 3), "r": floats(d, gates * hidden, hidden)}
    inputs = {"x": floats(2, 5, 3), **weights, "b": None, "lens": None, **states}
    check_native(op, inputs, ("w", "r"), outputs=2 + (op == "LSTM"), peer="onnx.reference",
                 hidden_size=hidden, layout=1, direction=direction, opset=14)


def test_every_plain_form_is_named_here():
    text = Path(__file__).read_text()
    assert all(name in text for _, name in PLAIN_FORMS)
