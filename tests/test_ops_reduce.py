"""Reductions as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_fallback, check_native

from fastcnn import _native
from fastcnn.ops.reduction.reduce import MAX_POOLING

X = np.random.default_rng(0).random((2, 5, 7, 6)).astype(np.float32) + np.float32(0.2)
# operator: the opset from which axes are an input
KINDS = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18, "ReduceMin": 18, "ReduceProd": 18, "ReduceL1": 18, "ReduceL2": 18,
         "ReduceSumSquare": 18, "ReduceLogSum": 18, "ReduceLogSumExp": 18}


def test_every_kind_is_here():
    assert KINDS.keys() == {f"Reduce{kind}" for kind in _native.REDUCE if kind != MAX_POOLING}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [None, [0], [1], [-1], [2, 3], [1, -1], [0, 1, 2, 3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes_as_attribute(kind, axes, keepdims):
    attrs = {} if axes is None else {"axes": axes}
    check_native(kind, {"x": X}, opset=11, keepdims=keepdims, **attrs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [[1], [-1, 2], []])
def test_axes_as_input(kind, axes):
    check_native(kind, {"x": X, "axes": np.array(axes, np.int64)}, ["axes"], opset=KINDS[kind])


def test_axes_left_out():
    check_native("ReduceSum", {"x": X}, opset=13)
    check_native("ReduceMax", {"x": X, "axes": None}, opset=18)


def test_scalar():
    check_native("ReduceSum", {"x": np.array(3, np.float32)}, opset=11)


@pytest.mark.parametrize("kind", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceSumSquare"])
@pytest.mark.parametrize("axes", [None, [0], [1], [-1], [0, 3], [1, -1]])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_other_numbers(kind, axes, dtype):
    if dtype == np.int64 and kind in ("ReduceL1", "ReduceMean"):
        dtype = np.int32                     # onnxruntime lacks them
    if dtype == np.float64 and kind == "ReduceL1":
        pytest.skip("onnxruntime lacks it")
    x = ((X - 0.7) * 9).astype(dtype) if kind != "ReduceMean" else (X * 9).astype(dtype)
    for keepdims in (0, 1):
        check_native(kind, {"x": x}, opset=11, keepdims=keepdims, rtol=1e-12, **({} if axes is None else {"axes": axes}))


def test_no_operation_falls_back():
    check_fallback("ReduceSum", {"x": X, "axes": np.zeros(0, np.int64)}, ["axes"], opset=13, noop_with_empty_axes=1)
