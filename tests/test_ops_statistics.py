"""MeanVarianceNormalization, LpNormalization, Trilu, Range, ConstantOfShape as small models, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from single_node import check_native

import fastcnn

X = np.random.default_rng(0).normal(size=(2, 5, 7, 6)).astype(np.float32)


@pytest.mark.parametrize("axes", [None, [0, 2, 3], [2, 3], [-1], [0, 1, 2, 3]])
def test_mean_variance_normalization(axes):
    check_native("MeanVarianceNormalization", {"x": X + 3}, opset=13, **({} if axes is None else {"axes": axes}))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization(axis, p):
    attrs = {} if axis is None else {"axis": axis}
    check_native("LpNormalization", {"x": X}, opset=7, p=p, **attrs)
    check_native("LpNormalization", {"x": np.zeros((2, 3), np.float32)}, opset=7, p=p)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, 0, 2, -3, 50, -50])
def test_trilu(upper, k):
    given = {"x": X, "k": None if k is None else np.array(k, np.int64)}
    check_native("Trilu", given, [] if k is None else ["k"], opset=14, upper=upper)
    check_native("Trilu", {**given, "x": (X * 9).astype(np.int64)}, opset=14, upper=upper)


def test_range_and_constant_of_shape_from_what_the_run_computes():
    """The extent is the largest index of the input plus one: nothing before the run knows it."""
    nodes = [helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0), helper.make_node("Add", ["top", "one"], ["n"]),
             helper.make_node("Range", ["zero", "n", "one"], ["r"]), helper.make_node("Unsqueeze", ["n", "axis"], ["shape"]),
             helper.make_node("ConstantOfShape", ["shape"], ["c"], value=numpy_helper.from_array(np.array([7], np.int64))),
             helper.make_node("Add", ["r", "c"], ["y"])]
    kept = {"one": np.array(1), "zero": np.array(0), "axis": np.array([0])}
    graph = helper.make_graph(nodes, "late", [helper.make_tensor_value_info("x", TensorProto.INT64, ("k",))],
                              [helper.make_tensor_value_info("y", TensorProto.INT64, None)],
                              [numpy_helper.from_array(a, n) for n, a in kept.items()])
    model = fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))
    for x in ([3, 1], [0], [100, 5, 9]):
        np.testing.assert_array_equal(model(np.array(x, np.int64)), np.arange(max(x) + 1) + 7)
    assert not model.fallback_nodes
