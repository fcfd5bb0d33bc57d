"""Softmax and LogSoftmax as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_native

X = np.random.default_rng(0).standard_normal((2, 5, 7, 6)).astype(np.float32) * 4


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -1, -2])
def test_axes(op, opset, axis):
    if opset < 11 and axis is not None and axis < 0:
        return
    check_native(op, {"x": X}, opset=opset, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(1, 1000), (3, 10), (7,), (1, 21, 1, 1), (2, 3, 40, 40)])
@pytest.mark.parametrize("opset", [11, 13])
def test_shapes(op, shape, opset):
    check_native(op, {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}, opset=opset, axis=min(1, len(shape) - 1))
