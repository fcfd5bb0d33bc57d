"""Operators that rename, reorder or repeat elements, as models of one node against onnxruntime; and behind a channels-last producer."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from single_node import check_native, expected_outputs, single_node

import fastcnn

X = np.random.default_rng(0).standard_normal((2, 6, 4, 5)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((6, 6, 3, 3)).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# operator, opset, attributes, constant inputs after x
CASES = [
    ("Reshape", 13, {}, [ints(2, 6, 20)]), ("Reshape", 13, {}, [ints(0, -1)]), ("Reshape", 13, {}, [ints(0, 3, 2, 4, 5)]),
    ("Reshape", 13, {}, [ints(-1)]), ("Reshape", 13, {}, [ints(2, 0, 10, 2)]), ("Reshape", 14, {"allowzero": 1}, [ints(2, 6, 20)]),
    ("Reshape", 13, {}, [ints(20, 12)]), ("Flatten", 13, {}, []), ("Flatten", 13, {"axis": 0}, []), ("Flatten", 13, {"axis": 4}, []),
    ("Flatten", 13, {"axis": -2}, []), ("Transpose", 13, {}, []), ("Transpose", 13, {"perm": [0, 2, 3, 1]}, []),
    ("Transpose", 13, {"perm": [1, 0, 3, 2]}, []), ("Unsqueeze", 11, {"axes": [0, 3]}, []), ("Unsqueeze", 13, {}, [ints(-1, 2)]),
    ("Identity", 13, {}, []), ("Dropout", 7, {"ratio": 0.3}, []), ("Dropout", 13, {}, []), ("Expand", 13, {}, [ints(3, 1, 1, 1, 1)]),
    ("Expand", 13, {}, [ints(1)]), ("Expand", 13, {}, [ints(2, 6, 4, 5)]), ("Tile", 13, {}, [ints(1, 2, 1, 3)]),
    ("Tile", 13, {}, [ints(1, 1, 1, 1)]),
    ("Tile", 13, {}, [ints(2, 1, 2, 2)]),
]
IDS = [f"{op}-{attrs}-{[c.tolist() for c in consts]}" for op, _, attrs, consts in CASES]


def inputs_of(x, constants):
    return {"x": x, **{f"c{k}": c for k, c in enumerate(constants)}}, [f"c{k}" for k in range(len(constants))]


@pytest.mark.parametrize("op, opset, attrs, constants", CASES, ids=IDS)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_matches_onnxruntime(op, opset, attrs, constants, dtype):
    if op == "Dropout" and dtype != "float32":
        return
    inputs, names = inputs_of((X * 10).astype(dtype), constants)
    check_native(op, inputs, names, opset=opset, **attrs)


def after_conv(op, attrs, constants, opset):
    """Conv -> op -> Add of a constant: the operator reads channels last and something reads what it gives."""
    inputs, names = inputs_of(X, constants)
    model = single_node(op, inputs, names, opset=opset, **attrs)
    graph = model.graph
    graph.node[0].input[0] = "conv"
    graph.node[0].output[0] = "op"
    graph.node.insert(0, helper.make_node("Conv", ["x", "w"], ["conv"], pads=[1, 1, 1, 1]))
    graph.node.append(helper.make_node("Sub", ["op", "one"], ["y0"]))
    graph.initializer.extend([numpy_helper.from_array(W, "w"), numpy_helper.from_array(np.float32(1), "one")])
    graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", TensorProto.FLOAT, None))
    return model


@pytest.mark.parametrize("op, opset, attrs, constants", [c for c in CASES if c[0] != "Dropout"], ids=[i for i in IDS if "Dropout" not in i])
def test_after_a_convolution(op, opset, attrs, constants):
    model = after_conv(op, attrs, constants, opset)
    wanted = expected_outputs(model, {"x": X})[0]
    with fastcnn.load(model, threads=2) as native:
        got = native.run(None, {"x": X})[0]
        assert not native.fallback_nodes
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opset, attrs, constants", [(11, {}, []), (11, {"axes": [0]}, []), (13, {}, [ints(-2)]), (13, {}, [ints(0, 2)])])
def test_squeeze(opset, attrs, constants):
    inputs, names = inputs_of(X[:1, :, :1], constants)
    check_native("Squeeze", inputs, names, opset=opset, **attrs)


def test_shape_and_size_are_constants():
    check_native("Shape", {"x": X}, opset=13)
    check_native("Size", {"x": X}, opset=13)


def test_empty_tensors():
    check_native("Transpose", {"x": X[:0]}, opset=13, perm=[0, 2, 3, 1])
    check_native("Reshape", {"x": X[:0], "s": ints(0, 120)}, ["s"], opset=13)


@pytest.mark.parametrize("op, constant",
                         [("Reshape", ints(7, -1)), ("Reshape", ints(-1, -1)), ("Reshape", ints(5, 5)), ("Expand", ints(3, 3, 3, 3)),
                                          ("Tile", ints(1, 2))])
def test_what_does_not_fit_is_refused(op, constant):
    inputs, names = inputs_of(X, [constant])
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node(op, inputs, names, opset=13)).run(None, {"x": X})
