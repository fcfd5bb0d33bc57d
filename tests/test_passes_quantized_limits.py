"""Limits of bytes: tables that are no more than limits become those of the node before them, and mean the same."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import onnxruntime_run
from quantized_models import Quantised, agree

import fastcnn


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("zero", [0, 117, 255])
def test_limits_behind_an_average_are_kept(whole, zero):
    """The pooling step has no limits: those of a table behind it, as Relu's, are a step of their own."""
    q = Quantised()
    x = q.quant("x", 0.03, 117)
    mean = q.op("GlobalAveragePool", x) if whole else q.op("AveragePool", x, kernel_shape=[2, 2])
    y = q.quant(q.op("Relu", q.quant(mean, 0.02, zero)), 0.02, zero)
    proto = q.model({"x": [2, 5, 6, 7]}, q.op("Mul", y, q.constant(np.float32(2))))
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 7)).astype(np.float32)
    agree(fastcnn.load(proto, threads=1).run(None, {"x": x})[0], onnxruntime_run(proto, {"x": x})[0], 0.04)


@pytest.mark.parametrize("last", ["float", "sum", "product", "moved"])
def test_a_table_that_only_limits_may_have_a_zero_point_of_its_own(last):
    """All that is at most zero becomes zero, which other bytes say: they are read by their own zero point."""
    q = Quantised()
    made = q.quant(q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02), 0.03, 255)
    y = q.quant(q.op("Tanh", made), 0.03125, 0)
    if last == "moved":
        y = q.quant(q.op("MaxPool", y, kernel_shape=[2, 2]), 0.03125, 0)
    if last == "sum":
        y = q.quant(q.op("Add", y, made), 0.05, 255)
    elif last in ("product", "moved"):
        y = q.quant(q.conv(y, 0.03125, (4, 6, 1, 1), 0.02), 0.05, 90)
    proto = q.model({"x": [1, 5, 4, 4]}, y)
    x = np.random.default_rng(0).standard_normal((1, 5, 4, 4)).astype(np.float32)
    agree(fastcnn.load(proto, threads=1).run(None, {"x": x})[0], onnxruntime_run(proto, {"x": x})[0], 0.05)
