"""Pooling operators as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import helper, numpy_helper
from single_node import check_native, expected_outputs, single_node

import fastcnn

X = np.random.default_rng(0).standard_normal((2, 19, 13, 11)).astype(np.float32) - 1
LINE = X[:, :, 0, :]
WIDE = np.random.default_rng(2).standard_normal((2, 3, 14, 37)).astype(np.float32)
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


@pytest.mark.parametrize("x", [WIDE, WIDE[:, :, 0], WIDE.reshape(2, 3, 2, 7, 37)], ids=["2d", "1d", "3d"])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_pool_of_long_rows_stays_row_major(op_type, x):
    axes = x.ndim - 2
    for stride, pad in ((1, 1), (2, 0), (2, 1)):
        check_native(op_type, {"x": x}, opset=11, kernel_shape=[2, 2, 3][-axes:], strides=[stride] * axes, pads=[pad] * 2 * axes,
                     ceil_mode=1)
    check_native(op_type, {"x": x}, opset=19, kernel_shape=[2, 2, 4][-axes:], dilations=[1, 3, 2][-axes:],
                 pads=[0, 1, 3][-axes:] + [1, 0, 2][-axes:])


def test_average_pool_of_long_rows_counts_padding():
    check_native("AveragePool", {"x": WIDE}, opset=19, count_include_pad=1, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                 ceil_mode=1)


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
    proto = single_node("GlobalAveragePool", {"x": x})
    mean, = fastcnn.load(proto).run(None, {"x": x})
    np.testing.assert_allclose(mean[0, :, 0, 0], x.mean((2, 3), dtype=np.float64)[0], rtol=2e-6)


def test_max_pool_of_negative_values_ignores_padding():
    check_native("MaxPool", {"x": -np.abs(X) - 5}, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("window", WINDOWS, ids=name)
def test_max_pool_indices_match_onnxruntime(window, order):
    check_native("MaxPool", {"x": X}, opset=12, outputs=2, storage_order=order, **window)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("x", [LINE, VOLUME], ids=["1d", "3d"])
def test_max_pool_indices_of_one_and_three_axes(x, order):
    rank = x.ndim - 2
    check_native("MaxPool", {"x": x}, opset=12, outputs=2, storage_order=order, kernel_shape=[3, 2, 2][:rank], strides=[2, 1, 3][:rank],
                 pads=[1, 0, 1, 0, 1, 0][:rank] * 2)


def test_max_pool_indices_of_equal_values_are_the_first():
    check_native("MaxPool", {"x": np.zeros((1, 3, 5, 5), np.float32)}, opset=12, outputs=2, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


VOLUMES = [
    dict(kernel_shape=[2, 2, 2], strides=[2, 2, 1]),
    dict(kernel_shape=[3, 3, 3], strides=[1, 2, 2], pads=[1, 1, 1, 1, 1, 1]),
    dict(kernel_shape=[1, 3, 3], strides=[1, 2, 2], pads=[0, 1, 0, 0, 0, 1]),
    dict(kernel_shape=[3, 1, 1], pads=[1, 0, 0, 2, 0, 0]),
    dict(kernel_shape=[4, 6, 5]),
    dict(kernel_shape=[3, 3, 2], strides=[2, 2, 2], ceil_mode=1),
    dict(kernel_shape=[2, 3, 3], strides=[2, 2, 2], auto_pad="SAME_UPPER"),
    dict(kernel_shape=[1, 1, 1], strides=[2, 1, 2]),
]


@pytest.mark.parametrize("window", VOLUMES, ids=name)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_pool_three_axes(op_type, window):
    if op_type == "LpPool" and "ceil_mode" in window:
        pytest.skip("LpPool has ceil_mode since opset 18, which onnxruntime lacks")
    check_native(op_type, {"x": np.concatenate([VOLUME, -VOLUME])}, opset=11, **window)


@pytest.mark.parametrize("kernel", [[3, 3, 3], [1, 3, 3], [3, 1, 1]], ids=str)
def test_average_pool_three_axes_counts_padding(kernel):
    check_native("AveragePool", {"x": VOLUME}, opset=11, kernel_shape=kernel, pads=[k // 2 for k in kernel] * 2, count_include_pad=1)


@pytest.mark.parametrize("dilations", [[2, 1, 1], [1, 2, 2]], ids=str)
def test_max_pool_three_axes_dilated(dilations):
    check_native("MaxPool", {"x": VOLUME}, kernel_shape=[2, 2, 2], dilations=dilations)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("window", VOLUMES[:3], ids=name)
def test_pool_between_three_dimensional_convolutions(window, op_type):
    """The layout with depths inside the pixel goes through."""
    w = np.random.default_rng(2).standard_normal((6, 5, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 6), helper.make_node(op_type, ["a"], ["y"], **window)]
    graph = helper.make_graph(nodes, "pair", [helper.make_tensor_value_info("x", 1, VOLUME.shape)],
                              [helper.make_tensor_value_info("y", 1, None)], [numpy_helper.from_array(w, "w")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    y, = fastcnn.load(proto).run(None, {"x": VOLUME})
    wanted, = expected_outputs(proto, {"x": VOLUME})
    np.testing.assert_allclose(y, wanted, atol=1e-4)


def test_global_pool_of_many_axes():
    x = np.random.default_rng(4).standard_normal((2, 3, 2, 3, 2, 2, 2)).astype(np.float32)
    y, = fastcnn.load(single_node("GlobalMaxPool", {"x": x})).run(None, {"x": x})
    np.testing.assert_array_equal(y, x.max((2, 3, 4, 5, 6), keepdims=True))


def test_pool_window_that_does_not_fit_is_refused():
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("MaxPool", {"x": X}, kernel_shape=[20, 2]))


def test_pool_wrong_rank_of_kernel_is_refused():
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("AveragePool", {"x": X}, kernel_shape=[2]))


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("kernel", [(15, 15), (3, 5)], ids=str)
@pytest.mark.parametrize("alone", [True, False])
def test_few_channels_keep_their_planes(op_type, kernel, alone, isa):
    """Where 3 channels would leave most of a vector empty, whatever follows."""
    pads = [k // 2 for k in kernel] * 2
    nodes = [helper.make_node(op_type, ["x"], ["a"], kernel_shape=kernel, pads=pads), helper.make_node("Conv", ["a", "w"], ["b"])]
    weights = np.random.default_rng(3).standard_normal((4, 3, 1, 1)).astype(np.float32)
    graph = model(nodes[:1] if alone else nodes, {"x": WIDE.shape}, ["a" if alone else "b"], {"w": weights})
    wanted, = onnxruntime_run(graph, {"x": WIDE})
    with fastcnn.load(graph, threads=2) as loaded:
        got, = loaded.run(None, {"x": WIDE})
        stage, = next(iter(loaded._default.plans.values())).stages
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    if isa == "avx512":
        assert "pool" not in [step.kind for step in stage.steps]
