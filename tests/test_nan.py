"""What NaN does where the largest number is looked for: in max pooling it counts as -inf, wherever in the window it lies."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from single_node import single_node

import fastcnn

NAN = np.float32(np.nan)


def largest(x: np.ndarray, kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...]) -> np.ndarray:
    """Max pooling as numpy says it, NaN as -inf."""
    rank = len(kernel)
    numbers = np.where(np.isnan(x), -np.inf, x)
    padded = np.pad(numbers, [(0, 0), (0, 0), *((p, p) for p in pads)], constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, tuple(range(2, 2 + rank)))
    return views[(slice(None), slice(None), *(slice(None, None, s) for s in strides))].max(tuple(range(-rank, 0))).astype(x.dtype)


def spoiled(*shape: int, share: float = 0.3, seed: int = 0) -> np.ndarray:
    """Normal values, so many of them NaN and some infinite."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape, dtype=np.float32)
    x[rng.random(shape) < share] = np.nan
    x[rng.random(shape) < 0.05] = -np.inf
    return x


WINDOWS = [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 3), (1, 1), (1, 1)), ((5, 3), (1, 2), (2, 0)),
           ((1, 1), (2, 2), (0, 0)), ((9, 9), (1, 1), (4, 4)), ((2,), (2,), (0,)), ((3,), (1,), (1,)), ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
           ((3, 3, 3), (1, 1, 1), (1, 1, 1))]


@pytest.mark.parametrize("kernel, strides, pads", WINDOWS, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 16, 19, 70])
@pytest.mark.parametrize("between", [False, True], ids=["alone", "between nodes"])
def test_max_pool_takes_nan_for_minus_infinity(kernel, strides, pads, channels, between):
    """In every layout: channels that fill vectors or do not, row-major planes, rows long enough for vectors along them or not."""
    rank = len(kernel)
    for extent in (12, 37 if rank < 3 else 13):
        x = spoiled(2, channels, *([9] * (rank - 1)), extent)
        nodes = [helper.make_node("MaxPool", ["a" if between else "x"], ["b" if between else "y"], kernel_shape=kernel, strides=strides,
                                  pads=pads * 2)]
        if between:         # exact, channels-last
            ones = np.full((channels, 1, *[1] * rank), 2, np.float32)
            nodes = [helper.make_node("Conv", ["x", "w"], ["a"], group=channels), *nodes,
                     helper.make_node("Conv", ["b", "w"], ["y"], group=channels)]
        graph = helper.make_graph(nodes, "pool", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                                  [numpy_helper.from_array(ones, "w")] if between else [])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        expected = largest(x, kernel, strides, pads) * np.float32(4 if between else 1)
        np.testing.assert_array_equal(fastcnn.load(model, threads=2)(x), expected)


@pytest.mark.parametrize("kernel, strides, pads", WINDOWS, ids=str)
def test_max_pool_with_indices_gives_the_same_and_points_to_it(kernel, strides, pads):
    x = spoiled(2, 19, *([9] * (len(kernel) - 1)), 12)
    model = single_node("MaxPool", {"x": x}, outputs=2, kernel_shape=kernel, strides=strides, pads=pads * 2)
    y, index = fastcnn.load(model).run(None, {"x": x})
    expected = largest(x, kernel, strides, pads)
    np.testing.assert_array_equal(y, expected)
    numbers = np.where(np.isnan(x), -np.inf, x).ravel()
    padding_alone = np.isneginf(largest(np.zeros_like(x), kernel, strides, pads))
    np.testing.assert_array_equal(numbers[index][~padding_alone], expected[~padding_alone])


@pytest.mark.parametrize("k", [2, 3])
def test_max_pool_does_not_care_where_in_the_window_nan_lies(k):
    results = set()
    for place in itertools.product(range(k), repeat=2):
        x = np.zeros((1, 16, k, k), np.float32)
        x[:, :, (place[0] + 1) % k, place[1]] = 1
        x[:, :, place[0], place[1]] = np.nan
        results |= set(fastcnn.load(single_node("MaxPool", {"x": x}, kernel_shape=[k, k]))(x).ravel().tolist())
    assert results == {1.0}


def test_max_pool_of_nothing_but_nan_is_minus_infinity():
    x = np.full((1, 3, 4, 4), NAN)
    for outputs in (1, 2):
        model = fastcnn.load(single_node("MaxPool", {"x": x}, outputs=outputs, kernel_shape=[2, 2]))
        assert np.isneginf(model.run(None, {"x": x})[0]).all()


def test_max_pool_of_doubles_follows_the_same_rule():
    x = spoiled(2, 3, 8, 9).astype(np.float64)
    with pytest.warns(RuntimeWarning, match="no native kernel"):
        model = fastcnn.load(single_node("MaxPool", {"x": x}, kernel_shape=[3, 2]))
    np.testing.assert_array_equal(model(x), largest(x, (3, 2), (1, 1), (0, 0)))


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (1, 16, 5, 4), (2, 19, 40), (1, 5, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("between", [False, True], ids=["alone", "between nodes"])
def test_global_max_pool_is_max_pool_of_the_whole(shape, between):
    x = spoiled(*shape)
    x[0, 0] = np.nan
    nodes = [helper.make_node("GlobalMaxPool", ["a" if between else "x"], ["y"])]
    if between:
        nodes.insert(0, helper.make_node("Conv", ["x", "w"], ["a"], group=shape[1]))
    ones = np.ones((shape[1], 1, *[1] * (len(shape) - 2)), np.float32)
    graph = helper.make_graph(nodes, "pool", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(ones, "w")] if between else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    expected = np.where(np.isnan(x), -np.inf, x).max(tuple(range(2, len(shape))), keepdims=True)
    np.testing.assert_array_equal(fastcnn.load(model)(x), expected)


def test_max_roi_pool_follows_the_same_rule():
    x, rois = spoiled(1, 19, 9, 8), np.array([[0, 0, 0, 7, 8]], np.float32)
    model = fastcnn.load(single_node("MaxRoiPool", {"x": x, "rois": rois}, pooled_shape=[3, 4]))
    np.testing.assert_array_equal(model.run(None, {"x": x, "rois": rois})[0], largest(x, (3, 2), (3, 2), (0, 0)))


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[2, 3], [1], [0, 1, 2, 3]], ids=str)
def test_reductions_give_nan_where_there_is_one(op, axes):
    """As numpy has it; onnxruntime and OpenVINO do so for some places of it and not for others."""
    x = spoiled(2, 19, 5, 7, share=0.02)
    expected = (np.max if op == "ReduceMax" else np.min)(x, tuple(axes), keepdims=True)
    np.testing.assert_array_equal(fastcnn.load(single_node(op, {"x": x}, axes=axes))(x), expected)


@pytest.mark.parametrize("op, attrs", [("Relu", {}), ("Clip", {}), ("HardSigmoid", {}), ("LeakyRelu", {}), ("HardSwish", {})], ids=str)
@pytest.mark.parametrize("where", ["alone", "after a convolution", "after a depthwise one", "after depthwise planes"])
def test_activations_give_nan_of_nan(op, attrs, where):
    """As onnxruntime and numpy have it, by the elementwise kernel and in every epilogue."""
    planes = where == "after depthwise planes"
    x = spoiled(1, 19, 6, 40 if planes else 9, share=0.1)
    depthwise = where in ("after a depthwise one", "after depthwise planes")
    weights = {"w": np.full((19, 1, 1, 1), 1, np.float32) if depthwise else np.eye(19, dtype=np.float32)[:, :, None, None],
               "lo": np.float32(-0.5), "hi": np.float32(0.5)}
    activation = helper.make_node(op, ["a", "lo", "hi"] if op == "Clip" else ["a"], ["y"], **attrs)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], group=19 if depthwise else 1), activation]
    if where == "alone":
        activation.input[0], nodes = "x", [activation]
    graph = helper.make_graph(nodes, "activation", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(value, name) for name, value in weights.items()])
    y = fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))(x)
    seen = np.isnan(x) if depthwise or where == "alone" else (~np.isfinite(x)).any(1, keepdims=True) & np.ones_like(x, bool)
    assert np.isnan(y[np.isnan(x)]).all()
    assert np.isfinite(y[~seen & np.isfinite(x)]).all()


@pytest.mark.parametrize("op, best", [("ArgMax", np.argmax), ("ArgMin", np.argmin)])
def test_arg_of_a_row_with_nan_points_to_it(op, best):
    """As numpy has it, where there are no infinities beside: NaN counts as the largest, or the smallest, of all."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 40), dtype=np.float32)
    x[[1, 2, 2, 3, 4], [0, 17, 30, 39, 5]] = np.nan
    np.testing.assert_array_equal(fastcnn.load(single_node(op, {"x": x}, axis=1, keepdims=0))(x), best(x, 1))
