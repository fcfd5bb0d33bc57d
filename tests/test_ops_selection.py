"""ArgMax, ArgMin, Hardmax, TopK, NonMaxSuppression, NonZero, Compress as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from single_node import check_native, single_node

import fastcnn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 7, 6)).astype(np.float32)
TIES = RNG.integers(0, 3, (3, 40, 4)).astype(np.float32)


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_arg(kind, axis, keepdims, last):
    for x in (X, TIES, TIES.astype(np.int32), TIES.astype(np.float64)):
        check_native(kind, {"x": x}, opset=13, axis=axis, keepdims=keepdims, select_last_index=last)


def test_arg_defaults_and_long_axes():
    check_native("ArgMax", {"x": RNG.normal(size=(1000, 3)).astype(np.float32)}, opset=11)
    check_native("ArgMin", {"x": RNG.normal(size=(3, 1000)).astype(np.float32)}, opset=7, axis=1)
    check_native("ArgMax", {"x": np.array([-0.0, 0.0, -1.0], np.float32)}, opset=13)


@pytest.mark.parametrize("opset, axis", [(13, -1), (13, 1), (13, 0), (11, 1), (11, 2)])
def test_hardmax(opset, axis):
    for x in (X, TIES):
        check_native("Hardmax", {"x": x}, opset=opset, axis=axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("x", [TIES, TIES.astype(np.int64) - 1, TIES.astype(np.int32), -TIES.astype(np.float64)],
                         ids=lambda x: str(x.dtype))
def test_top_k(axis, largest, x):
    for k in (1, 2, x.shape[axis]):
        check_native("TopK", {"x": x, "k": np.array([k], np.int64)}, ["k"], opset=11, outputs=2, axis=axis, largest=largest)


def test_top_k_older_forms():
    check_native("TopK", {"x": X}, opset=9, outputs=2, k=3, axis=1)
    check_native("TopK", {"x": X, "k": np.array([4], np.int64)}, ["k"], opset=10, outputs=2)
    check_native("TopK", {"x": RNG.normal(size=(2, 5000)).astype(np.float32), "k": np.array([100], np.int64)}, ["k"], opset=11, outputs=2)


def test_top_k_with_k_from_the_run():
    check_native("TopK", {"x": X, "k": np.array([2], np.int64)}, opset=11, outputs=2)


def test_top_k_of_too_many_is_refused():
    with pytest.raises(fastcnn.FastCNNError):
        fastcnn.load(single_node("TopK", {"x": X, "k": np.array([8], np.int64)}, ["k"], opset=11, outputs=2, axis=2))
    model = single_node("TopK", {"x": X, "k": np.array([8], np.int64)}, opset=11, outputs=2, axis=2)
    with pytest.raises(fastcnn.ShapeError, match="k=8 of 7"):
        fastcnn.load(model).run(None, {"x": X, "k": np.array([8], np.int64)})


def boxes(n, count, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.random((n, count, 2)) * 10
    return np.concatenate([corner, corner + rng.random((n, count, 2)) * 5], -1).astype(np.float32)


def nms_inputs(n=2, classes=3, count=50, limit=10, iou=0.4, score=0.3):
    given = {"boxes": boxes(n, count), "scores": np.random.default_rng(1).random((n, classes, count)).astype(np.float32)}
    for name, value, dtype in (("limit", limit, np.int64), ("iou", iou, np.float32), ("score", score, np.float32)):
        given[name] = None if value is None else np.array([value], dtype)
    return given


@pytest.mark.parametrize("more", [{}, {"limit": 1}, {"limit": 1000}, {"iou": 0.0}, {"iou": 1.0}, {"score": 0.99}, {"score": 2.0},
                                  {"iou": None}, {"score": None}, {"limit": None}, {"limit": 0}, {"n": 1, "classes": 1, "count": 1}])
@pytest.mark.parametrize("opset", [10, 11])
def test_non_max_suppression(more, opset):
    given = nms_inputs(**more)
    known = [name for name in ("limit", "iou", "score") if given[name] is not None]
    for center in (0, 1):
        check_native("NonMaxSuppression", given, known, opset=opset, center_point_box=center)
    check_native("NonMaxSuppression", given, opset=opset)


def test_non_max_suppression_of_equal_scores_and_turned_boxes():
    given = nms_inputs()
    given["scores"] = np.round(given["scores"] * 4) / 4
    given["boxes"] = given["boxes"][..., [2, 1, 0, 3]]
    check_native("NonMaxSuppression", given, ["limit", "iou", "score"], opset=11)


@pytest.mark.parametrize("x", [X > 0.5, (X > 1).astype(np.int64), np.where(X > 0, X, -0.0).astype(np.float32), np.zeros(4, np.int32),
                               np.ones((2, 3), np.uint8)], ids=lambda x: f"{x.dtype}{x.ndim}")
def test_non_zero(x):
    check_native("NonZero", {"x": x}, opset=13)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_compress(axis):
    condition = np.array([True, False, False, True, True])
    length = 5 if axis in (None, 1) else 2
    for x in (X, X.astype(np.int64)):
        check_native("Compress", {"x": x, "condition": condition[:length]}, opset=11, **({} if axis is None else {"axis": axis}))
    check_native("Compress", {"x": X, "condition": np.zeros(2, bool)}, ["condition"], opset=11, axis=1)


def test_what_follows_a_shape_from_the_data_is_native_too():
    """NMS, then the boxes it took, scaled: two native parts, planned again for every number of boxes."""
    nodes = [helper.make_node("NonMaxSuppression", ["boxes", "scores", "limit", "iou", "score"], ["kept"]),
             helper.make_node("Gather", ["kept", "two"], ["index"], axis=1),
             helper.make_node("Gather", ["flat", "index"], ["taken"]),
             helper.make_node("Mul", ["taken", "scale"], ["y"])]
    kept = {"limit": np.array([20], np.int64), "iou": np.array([0.5], np.float32), "two": np.array(2, np.int64),
            "scale": np.array(3, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Squeeze", ["boxes", "zero"], ["flat"]), *nodes], "detect",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
         for name, shape in (("boxes", (1, 50, 4)), ("scores", (1, 1, 50)), ("score", (1,)))],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in (("kept", TensorProto.INT64), ("y", TensorProto.FLOAT))],
        [onnx.numpy_helper.from_array(a, name) for name, a in {**kept, "zero": np.array([0], np.int64)}.items()])
    model = fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), threads=2)
    given = nms_inputs(1, 1)
    lengths = set()
    for score in (0.1, 0.5, 0.9, 2.0):
        rows, y = model.run(None, {"boxes": given["boxes"], "scores": given["scores"], "score": np.array([score], np.float32)})
        np.testing.assert_array_equal(y, given["boxes"][0][rows[:, 2]] * np.float32(3))
        lengths.add(len(rows))
    assert len(lengths) > 2 and not model.fallback_nodes
