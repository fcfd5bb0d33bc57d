"""Reductions as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_fallback, check_native

from fastcnn import _native

X = np.random.default_rng(0).random((2, 5, 7, 6)).astype(np.float32) + np.float32(0.2)
KINDS = list(_native.REDUCE)
AXES_AS_INPUT = {"Sum": 13}        # the others: 18


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [None, [0], [1], [-1], [2, 3], [1, -1], [0, 1, 2, 3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes_as_attribute(kind, axes, keepdims):
    attrs = {} if axes is None else {"axes": axes}
    check_native(f"Reduce{kind}", {"x": X}, opset=11, keepdims=keepdims, **attrs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [[1], [-1, 2], []])
def test_axes_as_input(kind, axes):
    check_native(f"Reduce{kind}", {"x": X, "axes": np.array(axes, np.int64)}, ["axes"], opset=AXES_AS_INPUT.get(kind, 18))


def test_axes_left_out():
    check_native("ReduceSum", {"x": X}, opset=13)
    check_native("ReduceMax", {"x": X, "axes": None}, opset=18)


def test_scalar():
    check_native("ReduceSum", {"x": np.array(3, np.float32)}, opset=11)


def test_integers_and_no_operation_fall_back():
    check_fallback("ReduceSum", {"x": (X * 9).astype(np.int64)}, opset=11, axes=[1])
    check_fallback("ReduceSum", {"x": X, "axes": np.zeros(0, np.int64)}, ["axes"], opset=13, noop_with_empty_axes=1)
