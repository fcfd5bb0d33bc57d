"""Operands of a fixed number of elements, and elements under another shape: what does not fit is refused before a step reads it."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

import fastcnn
from fastcnn.schema.vectors import COUNTS, PER_ELEMENT

X = np.arange(12, dtype=np.float32).reshape(3, 4)
ONE, WHOLE = np.float32(1.0), np.int64(1)
# Operator -> inputs that it takes; of numbers, as in COUNTS.
OPERANDS: dict[str, list[np.ndarray]] = {
    "Clip": [X, ONE, ONE], "CumProd": [X, WHOLE], "CumSum": [X, WHOLE], "Dropout": [X, ONE, np.False_],
    "NonMaxSuppression": [X.reshape(1, 3, 4), X[:, :3].reshape(1, 3, 3), WHOLE, ONE, ONE],
    "OneHot": [np.arange(3), np.int64(4), np.float32([0, 1])],
    "Pad": [X, np.int64([0, 1, 1, 0]), ONE], "Range": [ONE, np.float32(5), ONE], "TopK": [X, np.int64([1])], "Trilu": [X, WHOLE]}
CASES = [(op_type, i, more) for op_type, counts in COUNTS.items() for i in counts for more in (-1, 1)]


def refused(op_type: str, inputs: list[np.ndarray], fixed: bool) -> None:
    """By load or by run, with the node's name; shapes are in the file or not."""
    names = [f"in{i}" for i in range(len(inputs))]
    infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype),
                                           value.shape if fixed else [None] * value.ndim) for name, value in zip(names, inputs)]
    outputs = ["y", "z"] if op_type == "TopK" else ["y"]
    graph = helper.make_graph([helper.make_node(op_type, names, outputs, "it")], "one", infos,
                              [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26 if op_type == "CumProd" else 17)], ir_version=9)
    with pytest.raises(fastcnn.FastCNNError, match="it"):
        fastcnn.load(proto).run(None, dict(zip(names, inputs)))


def test_every_operator_has_operands():
    assert set(OPERANDS) == set(COUNTS)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("op_type, i, more", CASES)
def test_other_counts_are_refused(op_type, i, more, fixed):
    inputs = [np.asarray(value) for value in OPERANDS[op_type]]
    inputs[i] = np.ones(COUNTS[op_type][i] + more, inputs[i].dtype)
    refused(op_type, inputs, fixed)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("op_type, i", [(op_type, i) for op_type, rows in PER_ELEMENT.items() for i, _, _ in rows])
def test_lists_of_other_lengths_than_what_they_are_for_are_refused(op_type, i, count, fixed):
    """Without axes the shape is known before there is anything for each of them."""
    zeros, axes = np.zeros(count, np.int64), np.arange(count)
    inputs = [X, np.tile(zeros, 2), ONE, axes] if op_type == "Pad" else [X, zeros, zeros, axes, zeros + 1]
    inputs[i] = np.ones(len(inputs[i]) + 1, np.int64)
    refused(op_type, [np.asarray(value) for value in inputs], fixed)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("x", [(0,), (2,), (0, 1)], ids=str)
def test_a_number_is_made_of_one_element(x, fixed):
    """Of a shape without sizes and of axes that are all there are: known to be a number before their values are."""
    refused("Reshape", [np.ones(x, np.float32), np.zeros(0, np.int64)], fixed)
    refused("Squeeze", [np.ones(x, np.float32), np.arange(len(x))], fixed)


@pytest.mark.parametrize("op_type, x, values, attrs", [
    ("ReduceSum", (2, 3), [0, 1], {"keepdims": 0}), ("ReduceMax", (2, 3), [1, 0], {"keepdims": 0}), ("Squeeze", (1, 1), [1, 0], {}),
    ("Reshape", (1, 1), [], {}), ("Expand", (), [], {}), ("Tile", (), [], {})])
def test_numbers_whose_shape_is_known_before_the_values_that_made_it(op_type, x, values, attrs, caplog):
    """A shape of no axes has no unknown sizes, whatever is unknown."""
    given = np.ones(x, np.float32)
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x), helper.make_tensor_value_info("v", TensorProto.INT64, [len(values)])]
    graph = helper.make_graph([helper.make_node(op_type, ["x", "v"], ["y"], "it", **attrs)], "one", infos,
                              [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)])
    loaded = fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
    y, = loaded.run(None, {"x": given, "v": np.array(values, np.int64)})
    assert y.shape == () and y == (given.max() if op_type == "ReduceMax" else given.sum())
    assert not caplog.records
