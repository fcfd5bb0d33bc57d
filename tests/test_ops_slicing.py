"""Concat, Split, Slice, Pad, Gather and the space/depth operators as models of one node against onnxruntime, dense and channels last."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, node
from onnx import TensorProto, helper, numpy_helper
from single_node import check_native, expected_outputs, feeds_of, single_node
from test_ops_shape import W, X, after_conv, inputs_of, ints

import fastcnn


def ids(cases):
    return [f"{op}-{opset}-{attrs}-{[None if c is None else c.tolist() for c in constants]}" for op, opset, attrs, constants in cases]


# operator, opset, attributes, constant inputs after x
SLICES = [
    ("Slice", 9, {"starts": [1, 0], "ends": [3, -1]}, []), ("Slice", 9, {"starts": [2], "ends": [1000], "axes": [1]}, []),
    ("Slice", 13, {}, [ints(1), ints(4), ints(1)]), ("Slice", 13, {}, [ints(0, 0), ints(9, 9), ints(2, 3), ints(2, 2)]),
    ("Slice", 13, {}, [ints(-1), ints(-1000), ints(3), ints(-1)]), ("Slice", 13, {}, [ints(3, 4), ints(0, -6), ints(2, -1), ints(-1, -2)]),
    ("Slice", 13, {}, [ints(5), ints(2), ints(1)]), ("Slice", 13, {}, [ints(-4, 1), ints(-1, 3), ints(1, 0), ints(1, 1)]),
    ("Slice", 13, {}, [ints(0), ints(2 ** 62)]), ("Slice", 13, {}, [np.array([1], np.int32), np.array([3], np.int32)]),
]
GATHERS = [
    ("Gather", 13, {"axis": 1}, [ints(3)[0]]), ("Gather", 13, {"axis": 1}, [ints(0, 2, 4)]),
    ("Gather", 13, {"axis": 1}, [ints(5, 0, -1, 3)]),
    ("Gather", 13, {}, [ints(1, 0)]), ("Gather", 13, {"axis": -1}, [np.array([[0, 4], [-5, 2], [1, 1]], np.int32)]),
    ("Gather", 13, {"axis": 2}, [ints(-1)]),
]
PADS = [
    ("Pad", 10, {"pads": [0, 0, 1, 2, 0, 0, 3, 0]}, []), ("Pad", 10, {"pads": [0, 1, 0, 0, 1, 0, 0, 0], "value": 2.5}, []),
    ("Pad", 10, {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": "reflect"}, []), ("Pad", 13, {}, [ints(0, 0, 1, 1, 0, 0, 1, 1)]),
    ("Pad", 13, {}, [ints(1, 2, 1, 1, 0, 0, 2, 3), np.float32(-1)]), ("Pad", 13, {"mode": "edge"}, [ints(0, 1, 2, 1, 0, 2, 1, 6)]),
    ("Pad", 13, {"mode": "reflect"}, [ints(0, 1, 2, 1, 0, 2, 1, 4)]), ("Pad", 19, {"mode": "wrap"}, [ints(0, 1, 2, 1, 0, 2, 1, 4)]),
    ("Pad", 13, {}, [ints(0, -1, 1, -2, 0, 0, -1, 1)]), ("Pad", 18, {}, [ints(1, 2, 0, 3), np.float32(4), ints(-1, 1)]),
    ("Pad", 13, {"mode": "edge"}, [ints(0, -1, 1, -2, 0, 2, -1, 1)]), ("Pad", 13, {}, [ints(0, 0, 0, 0, 0, 0, 0, 0)]),
]
BLOCKS = [
    ("SpaceToDepth", 13, {"blocksize": 2}, []), ("DepthToSpace", 13, {"blocksize": 2}, []),
    ("DepthToSpace", 13, {"blocksize": 2, "mode": "CRD"}, []),
    ("DepthToSpace", 10, {"blocksize": 1}, []),
]
CASES = SLICES + GATHERS + PADS


@pytest.mark.parametrize("op, opset, attrs, constants", CASES, ids=ids(CASES))
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_matches_onnxruntime(op, opset, attrs, constants, dtype):
    if op == "Pad" and opset == 10 and dtype != "float32":
        return
    constants = [c.astype(dtype) if isinstance(c, np.float32) else c for c in constants]
    inputs, names = inputs_of((X * 10).astype(dtype), [np.asarray(c) for c in constants])
    check_native(op, inputs, names, opset=opset, **attrs)


@pytest.mark.parametrize("op, opset, attrs, constants", CASES, ids=ids(CASES))
def test_after_a_convolution(op, opset, attrs, constants):
    model = after_conv(op, attrs, [np.asarray(c) for c in constants], opset)
    wanted = expected_outputs(model, {"x": X})[0]
    with fastcnn.load(model, threads=2) as native:
        got = native.run(None, {"x": X})[0]
        assert not native.fallback_nodes
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("op, opset, attrs, constants", BLOCKS, ids=ids(BLOCKS))
@pytest.mark.parametrize("channels", [4, 12])
def test_space_and_depth(op, opset, attrs, constants, channels):
    x = np.random.default_rng(2).standard_normal((2, channels, 4, 6)).astype(np.float32)
    check_native(op, {"x": x}, opset=opset, **attrs)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_after_a_convolution(mode):
    w = np.random.default_rng(3).standard_normal((8, 6, 1, 1)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("DepthToSpace", ["c"], ["d"], blocksize=2, mode=mode),
             helper.make_node("Relu", ["d"], ["y"])]
    check_graph(nodes, {"x": X}, {"w": w})


def check_graph(nodes, feeds, constants):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in feeds.items()],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    wanted = expected_outputs(model, feeds)[0]
    with fastcnn.load(model, threads=2) as native:
        got = native.run(None, feeds)[0]
        assert not native.fallback_nodes
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_concat(axis, dtype):
    parts = {"a": X, "b": np.moveaxis(np.moveaxis(X, axis, 0)[:1], 0, axis), "c": np.moveaxis(np.moveaxis(X, axis, 0)[:0], 0, axis), "d": X}
    parts = {name: np.ascontiguousarray((part * 9).astype(dtype)) for name, part in parts.items()}
    check_native("Concat", parts, ["d"], opset=13, axis=axis)


@pytest.mark.parametrize("axis", [1, 2])
def test_concat_of_convolutions(axis):
    """A value that is used twice, one that is the input, one that other nodes read too."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Concat", ["a", "b", "x", "a"], ["c"], axis=axis), helper.make_node("Sigmoid", ["c"], ["d"]),
             helper.make_node("Concat", ["d", "c"], ["e"], axis=axis), helper.make_node("ReduceMean", ["e"], ["m"], axes=[3], keepdims=1),
             helper.make_node("Sub", ["e", "m"], ["y"])]
    check_graph(nodes, {"x": X}, {"w": W})


SPLITS = [(11, {"axis": 1}, None, 3), (11, {"axis": 1, "split": [1, 2, 3]}, None, 3), (13, {"axis": 1}, ints(4, 2), 2),
          (13, {"axis": -2}, None, 2),
          (18, {"axis": 3, "num_outputs": 2}, None, 2), (13, {}, None, 2), (13, {"axis": 1}, ints(6, 0), 2)]


@pytest.mark.parametrize("opset, attrs, split, outputs", SPLITS)
def test_split(opset, attrs, split, outputs):
    inputs = {"x": X} if split is None else {"x": X, "s": split}
    check_native("Split", inputs, [] if split is None else ["s"], opset=opset, outputs=outputs, **attrs)


def test_split_and_concat_after_a_convolution():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Split", ["c"], ["p", "q"], axis=1),
             helper.make_node("Relu", ["q"], ["r"]), helper.make_node("Concat", ["r", "p"], ["s"], axis=1),
             helper.make_node("Conv", ["s", "w"], ["y"])]
    check_graph(nodes, {"x": X}, {"w": W})


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("axis, order", [(1, [5, 0, 3, 3]), (3, [1, 0, 2, 4, 1])])
def test_gather_along_the_innermost_axis(axis, order, dtype):
    """Of an input (axis 3) and of a value whose channels lie innermost (axis 1): each of the other positions is a row of picks."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, (2, 5, 6, 7)).astype(dtype)
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Gather", ["t", "i"], ["y"], axis=axis)]
    proto = model(nodes, {"x": x.shape}, ["y"], {"i": np.array(order)}, types={"x": helper.np_dtype_to_tensor_dtype(x.dtype),
                                                                               "y": helper.np_dtype_to_tensor_dtype(x.dtype)})
    with fastcnn.load(proto, threads=2) as loaded:
        np.testing.assert_array_equal(loaded.run(None, {"x": x})[0], x.transpose(0, 3, 1, 2).take(order, axis))


def test_gather_computed_indices():
    check_native("Gather", {"x": X, "i": np.array([[2, -1], [0, 1]], np.int64)}, opset=13, axis=1)


def test_gather_outside_is_an_error():
    inputs = {"x": X, "i": np.array([6], np.int64)}
    model = single_node("Gather", inputs, opset=13, axis=1)
    with fastcnn.load(model) as native:
        with pytest.raises(fastcnn.FastCNNError):
            native.run(None, feeds_of(model, inputs))
        native.run(None, {"x": X, "i": np.array([5], np.int64)})


@pytest.mark.parametrize("op, attrs, constants", [("Concat", {"axis": 4}, []), ("Split", {"axis": 7}, []), ("Pad", {}, [ints(0, 0)]),
                                                  ("Slice", {}, [ints(0), ints(1), ints(9)]), ("DepthToSpace", {"blocksize": 4}, [])])
def test_what_does_not_fit_is_refused(op, attrs, constants):
    inputs, names = inputs_of(X, constants)
    with pytest.raises(fastcnn.FastCNNError):
        fastcnn.load(single_node(op, inputs, names, opset=13, **attrs)).run(None, {"x": X})
