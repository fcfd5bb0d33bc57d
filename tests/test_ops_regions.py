"""GridSample, RoiAlign, MaxRoiPool, MaxUnpool, Col2Im as models of one node, against onnxruntime or onnx.reference."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from single_node import check_native, expected_outputs, single_node

import fastcnn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 19, 9, 11), dtype=np.float32)
GRID = RNG.uniform(-1.6, 1.6, (2, 7, 70, 2)).astype(np.float32)
VOLUME = RNG.standard_normal((2, 3, 4, 6, 5), dtype=np.float32)
VOLUME_GRID = RNG.uniform(-1.6, 1.6, (2, 3, 4, 5, 3)).astype(np.float32)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("channels", [1, 19])
def test_grid_sample_matches_onnxruntime(channels, mode, padding, align):
    check_native("GridSample", {"x": X[:, :channels].copy(), "grid": GRID}, opset=16, mode=mode, padding_mode=padding, align_corners=align)


@pytest.mark.parametrize("opset", [20, 22])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample_names_since_opset_20(mode, opset):
    check_native("GridSample", {"x": X, "grid": GRID}, opset=opset, mode=mode)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_grid_sample_three_axes(mode, padding, align):
    check_native("GridSample", {"x": VOLUME, "grid": VOLUME_GRID}, opset=20, mode=mode, padding_mode=padding, align_corners=align)


@pytest.mark.parametrize("align", [0, 1])
def test_grid_sample_cubic_in_three_axes(align):
    """onnxruntime lacks it; onnx.reference reads nothing but zeros outside, as we do."""
    check_native("GridSample", {"x": VOLUME, "grid": VOLUME_GRID}, opset=20, mode="cubic", align_corners=align, peer="onnx.reference")


@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_grid_sample_cubic_in_three_axes_is_that_of_two_where_depth_is_one(padding):
    grid = np.concatenate([GRID, np.zeros((*GRID.shape[:3], 1), np.float32)], 3)[:, None]
    flat = single_node("GridSample", {"x": X, "grid": GRID}, opset=20, mode="cubic", padding_mode=padding)
    deep = single_node("GridSample", {"x": X[:, :, None], "grid": grid}, opset=20, mode="cubic", padding_mode=padding)
    wanted, = expected_outputs(flat, {"x": X, "grid": GRID})
    y, = fastcnn.load(deep).run(None, {"x": X[:, :, None], "grid": grid})
    np.testing.assert_allclose(y[:, :, 0], wanted, rtol=0, atol=2e-5)


def test_grid_sample_far_and_undefined_coordinates_are_padding():
    grid = np.array([1e30, -1e30, np.nan, np.inf], np.float32).reshape(1, 1, 2, 2)
    model = single_node("GridSample", {"x": X[:1], "grid": grid}, opset=16)
    y, = fastcnn.load(model).run(None, {"x": X[:1], "grid": grid})
    assert (y == 0).all()


def test_grid_sample_grid_of_another_batch_is_refused():
    with pytest.raises(fastcnn.ShapeError, match="node"):
        fastcnn.load(single_node("GridSample", {"x": X, "grid": GRID[:1]}, opset=16))


def test_regions_and_warps_same_bits_for_any_number_of_threads():
    x = RNG.standard_normal((1, 40, 30, 30), dtype=np.float32)
    rois = np.sort(RNG.uniform(0, 30, (50, 2, 2)), 1).reshape(50, 4).astype(np.float32)
    cases = {"GridSample": {"x": x, "grid": RNG.uniform(-1, 1, (1, 20, 20, 2)).astype(np.float32)},
             "RoiAlign": {"x": x, "rois": rois, "batch": np.zeros(50, np.int64)}}
    for op_type, inputs in cases.items():
        model = single_node(op_type, inputs, opset=16, **({} if op_type == "GridSample" else {"output_height": 7, "output_width": 7}))
        alone, = fastcnn.load(model, threads=1).run(None, inputs)
        for threads in (2, 3):
            np.testing.assert_array_equal(fastcnn.load(model, threads=threads).run(None, inputs)[0], alone)


ROIS = np.array([[0, 0, 40, 30], [10, 5, 12, 6], [-20, -9, 60, 50], [30, 20, 5, 4], [3.3, 2.2, 3.3, 2.2], [100, 90, 130, 120]], np.float32)
BATCH = np.array([0, 1, 1, 0, 1, 0], np.int64)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 5)], ids=str)
@pytest.mark.parametrize("opset", [10, 16, 22])
def test_roi_align_matches_onnxruntime(opset, size, ratio, mode):
    check_native("RoiAlign", {"x": X, "rois": ROIS, "batch": BATCH}, opset=opset, mode=mode, sampling_ratio=ratio, output_height=size[0],
                 output_width=size[1], spatial_scale=0.25, peer="onnx.reference" if opset == 22 else "onnxruntime")


def test_roi_align_without_half_pixel():
    check_native("RoiAlign", {"x": X, "rois": ROIS, "batch": BATCH}, opset=16, output_height=4, output_width=3,
                 coordinate_transformation_mode="output_half_pixel")


def test_roi_align_batch_index_outside_is_an_error():
    model = single_node("RoiAlign", {"x": X, "rois": ROIS, "batch": BATCH}, opset=16)
    for wrong in (-1, 2, 1 << 40):
        with pytest.raises(fastcnn.ExecutionError):
            fastcnn.load(model).run(None, {"x": X, "rois": ROIS, "batch": BATCH * 0 + wrong})


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e20])
def test_roi_align_absurd_region_is_an_error(value):
    rois = np.array([[0, 0, value, 10]], np.float32)
    model = single_node("RoiAlign", {"x": X, "rois": rois, "batch": BATCH[:1]}, opset=16)
    with pytest.raises(fastcnn.ExecutionError):
        fastcnn.load(model).run(None, {"x": X, "rois": rois, "batch": BATCH[:1]})


@pytest.mark.parametrize("shape", [[1, 1], [3, 4], [7, 7]])
def test_max_roi_pool_matches_onnxruntime(shape):
    rois = np.concatenate([BATCH[:, None].astype(np.float32), ROIS], 1)
    rois[3, 1:] = 20, 10, 24, 30
    check_native("MaxRoiPool", {"x": X, "rois": rois}, pooled_shape=shape, spatial_scale=0.25)


def test_max_roi_pool_image_outside_is_an_error():
    rois = np.array([[2, 0, 0, 5, 5]], np.float32)
    model = single_node("MaxRoiPool", {"x": X, "rois": rois}, pooled_shape=[2, 2])
    with pytest.raises(fastcnn.ExecutionError):
        fastcnn.load(model).run(None, {"x": X, "rois": rois})


def pooled(x: np.ndarray, kernel: int, opset: int = 12) -> list[np.ndarray]:
    """x max-pooled, with indices."""
    model = single_node("MaxPool", {"x": x}, outputs=2, opset=opset, kernel_shape=[kernel] * (x.ndim - 2), strides=[kernel] * (x.ndim - 2))
    return fastcnn.load(model).run(None, {"x": x})


@pytest.mark.parametrize("opset", [9, 11, 22])
@pytest.mark.parametrize("x", [X[:, :, :8, :10], X[:, :, 0, :10], VOLUME[:, :, :, :, :4]], ids=["2d", "1d", "3d"])
def test_max_unpool_matches_onnxruntime(x, opset):
    y, index = pooled(np.ascontiguousarray(x), 2)
    check_native("MaxUnpool", {"x": y, "index": index}, opset=opset, kernel_shape=[2] * (x.ndim - 2), strides=[2] * (x.ndim - 2))


def test_max_unpool_of_what_a_pool_in_the_model_found():
    x = X[:, :, :8, :10].copy()
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [helper.make_node("MaxPool", ["x"], ["p", "index"], **window), helper.make_node("MaxUnpool", ["p", "index"], ["y"], **window)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, x.shape)],
                              [helper.make_tensor_value_info("y", 1, x.shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    y, = fastcnn.load(model).run(None, {"x": x})
    np.testing.assert_array_equal(y, expected_outputs(model, {"x": x})[0])


def test_max_unpool_output_shape():
    y, index = pooled(np.ascontiguousarray(X[:, :, :8, :10]), 2)
    check_native("MaxUnpool", {"x": y, "index": index, "shape": np.array([2, 19, 9, 11])}, ["shape"], opset=11, kernel_shape=[2, 2],
                 strides=[2, 2], peer="onnx.reference")


def unpool_model(x: np.ndarray, dtype: int, symbolic: bool, shape: tuple[int, ...] | None = None, **window) -> ModelProto:
    """x max-pooled and unpooled to its own shape, or to another."""
    back = {name: value for name, value in window.items() if name != "ceil_mode"}
    nodes = [helper.make_node("MaxPool", ["x"], ["p", "index"], **window), helper.make_node("Shape", ["x"], ["own"]),
             helper.make_node("MaxUnpool", ["p", "index", "shape" if shape else "own"], ["y"], **back)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", dtype, [None] * x.ndim if symbolic else x.shape)],
                              [helper.make_tensor_value_info("y", dtype, None)],
                              [numpy_helper.from_array(np.array(shape), "shape")] if shape else [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("extents, window", [
    ((9, 11), {"kernel_shape": [2, 2], "strides": [2, 2]}), ((5,), {"kernel_shape": [2], "strides": [2]}),
    ((7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}), ((6, 7), {"kernel_shape": [2, 3], "strides": [3, 3]}),
    ((5, 7), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}), ((5, 6, 7), {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}),
], ids=str)
def test_max_unpool_to_the_shape_that_was_pooled_puts_elements_back(extents, window, symbolic):
    """Where windows leave out the last rows too: indices count in the rows of what was pooled."""
    x = np.random.default_rng(3).standard_normal((2, 3, *extents), dtype=np.float32)
    model = unpool_model(x, TensorProto.FLOAT, symbolic, **window)
    loaded = fastcnn.load(model, threads=2)
    y, = loaded.run(None, {"x": x})
    assert not loaded.fallback_nodes
    largest = y != 0
    np.testing.assert_array_equal(y[largest], x[largest])
    again = single_node("MaxPool", {"x": x}, opset=12, **window)
    lowest = np.where(largest, x, np.float32(-9))
    np.testing.assert_array_equal(*(expected_outputs(again, {"x": values})[0] for values in (lowest, x)))


def test_max_unpool_of_doubles_puts_elements_back():
    x = np.random.default_rng(3).standard_normal((2, 3, 5, 7))
    with pytest.warns(RuntimeWarning, match="no native kernel"):
        y, = fastcnn.load(unpool_model(x, TensorProto.DOUBLE, False, kernel_shape=[2, 2], strides=[2, 2])).run(None, {"x": x})
    assert y.shape == x.shape and (y != 0).sum() == 2 * 3 * 2 * 3
    np.testing.assert_array_equal(y[y != 0], x[y != 0])


def test_max_unpool_to_another_shape_counts_as_attributes_say():
    """2x2 of 4x6 to 5x7: the shape in which the indices count, in the corner of a larger one."""
    x = np.random.default_rng(3).standard_normal((2, 3, 4, 6), dtype=np.float32)
    model = unpool_model(x, TensorProto.FLOAT, False, (2, 3, 5, 7), kernel_shape=[2, 2], strides=[2, 2])
    y, = fastcnn.load(model).run(None, {"x": x})
    np.testing.assert_array_equal(y, expected_outputs(model, {"x": x}, "onnx.reference")[0])
    assert not y[:, :, 4].any() and not y[..., 6].any()


def test_max_unpool_index_of_another_plane():
    index = np.random.default_rng(1).permutation(2 * 3 * 4 * 4)[:24].reshape(2, 3, 2, 2)
    check_native("MaxUnpool", {"x": X[:, :3, :2, :2].copy(), "index": index}, opset=11, kernel_shape=[2, 2], strides=[2, 2])


@pytest.mark.parametrize("wrong", [-1, 96])
def test_max_unpool_index_outside_is_an_error(wrong):
    index = np.full((2, 3, 2, 2), wrong)
    model = single_node("MaxUnpool", {"x": X[:, :3, :2, :2].copy(), "index": index}, opset=11, kernel_shape=[2, 2], strides=[2, 2])
    with pytest.raises(fastcnn.ExecutionError):
        fastcnn.load(model).run(None, {"x": X[:, :3, :2, :2].copy(), "index": index})


COL2IM = {
    "blocks side by side": ([5, 6], [1, 6], {}),
    "overlapping": ([5, 5], [3, 3], {}),
    "strided": ([5, 7], [2, 3], dict(strides=[2, 2])),
    "padded": ([5, 5], [3, 3], dict(pads=[1, 0, 2, 1])),
    "dilated": ([6, 6], [2, 2], dict(dilations=[1, 5])),
    "one axis": ([9], [3], dict(pads=[1, 1], strides=[2])),
    "three axes": ([4, 4, 5], [2, 1, 3], dict(pads=[0, 1, 1, 0, 0, 1])),
}


@pytest.mark.parametrize("case", COL2IM, ids=str)
def test_col2im_matches_onnxruntime(case):
    image, block, attrs = COL2IM[case]
    rank = len(image)
    pads, strides, dilations = (attrs.get(name, default) for name, default in (
        ("pads", [0] * 2 * rank), ("strides", [1] * rank), ("dilations", [1] * rank)))
    blocks = [(n + pads[k] + pads[rank + k] - dilations[k] * (block[k] - 1) - 1) // strides[k] + 1 for k, n in enumerate(image)]
    x = RNG.standard_normal((2, 3 * int(np.prod(block)), int(np.prod(blocks))), dtype=np.float32)
    check_native("Col2Im", {"x": x, "image": np.array(image), "block": np.array(block)}, ["image", "block"], opset=18, **attrs)


def test_col2im_wrong_number_of_blocks_is_refused():
    x = np.zeros((1, 9, 8), np.float32)
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node("Col2Im", {"x": x, "image": np.array([5, 5]), "block": np.array([3, 3])}, ["image", "block"], opset=18))
