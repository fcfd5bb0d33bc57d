"""Pooling operators as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_fallback, check_native, single_node

import fastcnn

X = np.random.default_rng(0).standard_normal((2, 19, 13, 11)).astype(np.float32) - 1
LINE = X[:, :, 0, :]
VOLUME = np.random.default_rng(1).standard_normal((1, 5, 4, 6, 5)).astype(np.float32)

WINDOWS = [
    dict(kernel_shape=[2, 2], strides=[2, 2]),
    dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    dict(kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    dict(kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    dict(kernel_shape=[3, 2], strides=[3, 2], pads=[0, 1, 1, 0], ceil_mode=1),
    dict(kernel_shape=[5, 4], strides=[1, 3], pads=[2, 0, 1, 3]),
    dict(kernel_shape=[1, 1], strides=[3, 3]),
    dict(kernel_shape=[13, 11]),
    dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    dict(kernel_shape=[2, 4], strides=[2, 1], auto_pad="SAME_LOWER"),
    dict(kernel_shape=[3, 3], strides=[2, 1], auto_pad="VALID"),
]


def name(window: dict) -> str:
    return "-".join(f"{key}{value}" for key, value in window.items()).replace(" ", "")


@pytest.mark.parametrize("window", WINDOWS, ids=name)
def test_max_pool_matches_onnxruntime(window):
    check_native("MaxPool", {"x": X}, **window)


@pytest.mark.parametrize("opset", [8, 10, 11, 12, 22])
def test_max_pool_every_opset(opset):
    check_native("MaxPool", {"x": X}, opset=opset, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 0])


@pytest.mark.parametrize("dilations", [[2, 2], [1, 3]])
def test_max_pool_dilated(dilations):
    check_native("MaxPool", {"x": X}, kernel_shape=[3, 3], dilations=dilations, pads=[1, 1, 1, 1])


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("window", WINDOWS, ids=name)
def test_average_pool_matches_onnxruntime(window, include):
    check_native("AveragePool", {"x": X}, opset=19, count_include_pad=include, **window)


@pytest.mark.parametrize("include", [0, 1])
def test_average_pool_dilated(include):
    check_native("AveragePool", {"x": X}, opset=19, kernel_shape=[3, 2], dilations=[2, 3], pads=[2, 1, 2, 1], count_include_pad=include)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("window", WINDOWS[:3], ids=name)
def test_lp_pool_matches_onnxruntime(window, p):
    check_native("LpPool", {"x": X}, p=p, opset=11, **window)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_pool_one_axis(op_type):
    check_native(op_type, {"x": LINE}, opset=11, kernel_shape=[3], strides=[2], pads=[1, 1])


@pytest.mark.parametrize("x", [X, LINE, VOLUME], ids=["2d", "1d", "3d"])
@pytest.mark.parametrize("op_type", ["GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"])
def test_global_pool(op_type, x):
    check_native(op_type, {"x": x})


def test_global_average_of_many_pixels_is_exact_enough():
    x = np.random.default_rng(3).random((1, 3, 512, 512), np.float32) + 100
    model = single_node("GlobalAveragePool", {"x": x})
    mean, = fastcnn.load(model).run(None, {"x": x})
    np.testing.assert_allclose(mean[0, :, 0, 0], x.mean((2, 3), dtype=np.float64)[0], rtol=2e-6)


def test_max_pool_of_negative_values_ignores_padding():
    check_native("MaxPool", {"x": -np.abs(X) - 5}, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def test_max_pool_indices_fall_back():
    model = single_node("MaxPool", {"x": X}, outputs=2, kernel_shape=[2, 2], opset=12)
    model.graph.output[1].type.tensor_type.elem_type = 7
    assert list(fastcnn.load(model).fallback_nodes) == ["node"]


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_pool_three_axes_falls_back(op_type):
    check_fallback(op_type, {"x": VOLUME}, kernel_shape=[2, 2, 2], strides=[2, 2, 1])


def test_pool_window_that_does_not_fit_is_refused():
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("MaxPool", {"x": X}, kernel_shape=[20, 2]))


def test_pool_wrong_rank_of_kernel_is_refused():
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("AveragePool", {"x": X}, kernel_shape=[2]))
