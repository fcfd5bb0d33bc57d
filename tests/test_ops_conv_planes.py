"""Conv of planes as models of one node or two: what lies channels first is read and written so."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import helper
from single_node import check_native

import fastcnn


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


WIDE_WINDOWS = [((2, 5, 9, 40), dict(pads=[1, 1, 1, 1])), ((1, 5, 30, 61), dict(pads=[0, 1, 1, 0], strides=[2, 2])),
                ((1, 5, 12, 50), dict(dilations=[2, 3])), ((1, 5, 12, 29), dict(auto_pad="SAME_LOWER")),
                ((2, 5, 77), dict(pads=[2, 2], strides=[2]))]


@pytest.mark.parametrize("shape, window", WIDE_WINDOWS, ids=str)
def test_depthwise_of_planes(shape, window):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (shape, (5, 1, *[3] * (len(shape) - 2)), (5,)))
    check_native("Conv", {"x": x, "w": w, "b": b}, ["w", "b"], group=5, **window)
    check_native("Conv", {"x": x, "w": w}, ["w"], group=5, **window)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels", [2, 3, 14])
def test_planes_of_one_row_have_a_stride_of_rows_that_means_nothing(channels, precision):
    """What was channels-last before a Transpose lies in planes after it; the stride of its only row is that of what was outermost."""
    rng = np.random.default_rng(channels)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in (("u", (4, 1, 3, 3)), ("w", (8, channels, 1, 7)))}
    nodes = [helper.make_node("Conv", ["x", "u"], ["a"], pads=[1] * 4), helper.make_node("Transpose", ["a"], ["t"], perm=[2, 3, 0, 1]),
             helper.make_node("Conv", ["t", "w"], ["y"], pads=[1, 0, 1, 4], strides=[1, 2])]
    proto = model(nodes, {"x": [1, 1, 24, channels]}, ["y"], weights)
    x = rng.standard_normal((1, 1, 24, channels)).astype(np.float32)
    (wanted,) = onnxruntime_run(proto, {"x": x})
    for threads in (1, 2):
        (y,) = fastcnn.load(proto, threads=threads, precision=precision).run(None, {"x": x})
        assert abs(y - wanted).max() < {"fp32": 1e-5, "bf16": 2e-2}[precision] * abs(wanted).max()


@pytest.mark.parametrize("case", [(3, (8, 8), (3, 3), (2, 2)), (14, (1, 8), (1, 7), (1, 2)), (3, (5, 4), (1, 7), (1, 2)),
                                  (4, (9, 9), (5, 5), (1, 1))], ids=str)
def test_planes_in_and_out_in_bfloat16(case):
    """A lone layer reads planes and writes planes: a kernel that writes pixels is none for it."""
    channels, extents, kernel, strides = case
    x, w = normal(2, channels, *extents), normal(8, channels, *kernel, seed=1)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[k // 2 for k in kernel] * 2, strides=strides)
    proto = model([node], {"x": list(x.shape)}, ["y"], {"w": w})
    (wanted,), (y,) = onnxruntime_run(proto, {"x": x}), fastcnn.load(proto, precision="bf16", threads=2).run(None, {"x": x})
    assert abs(y - wanted).max() < 2e-2 * abs(wanted).max()
