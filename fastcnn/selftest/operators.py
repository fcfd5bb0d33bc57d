"""The self-test's operators: those whose kernels differ between instruction sets, at sizes around their tiles."""
from __future__ import annotations

import numpy as np

from fastcnn.selftest.maker import Case, Make, Maker


def layers(m: Maker) -> dict[str, Make]:
    """The operators that most networks consist of."""
    return {
        "Conv 1x1": lambda: m.one("Conv", (1, 19, 7, 9), m.normal(35, 19, 1, 1), m.normal(35)),
        "Conv 3x3 (Winograd)": lambda: m.one("Conv", (1, 32, 29, 29), m.normal(48, 32, 3, 3), pads=[1, 1, 1, 1]).but(prefers="winograd"),
        "Conv 3x3, strides 2": lambda: m.one("Conv", (2, 5, 13, 17), m.normal(33, 5, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
        "Conv, dilated": lambda: m.one("Conv", (1, 6, 15, 15), m.normal(20, 6, 3, 3), dilations=[2, 2]),
        "Conv, depthwise": lambda: m.one("Conv", (1, 37, 14, 15), m.normal(37, 1, 3, 3), pads=[1, 1, 1, 1],
                                         group=37).but(prefers="depthwise"),
        "Conv, depthwise, strides 2": lambda: m.one("Conv", (1, 24, 15, 33), m.normal(24, 1, 5, 5), pads=[2, 2, 2, 2], strides=[2, 2],
                                                  group=24),
        "Conv, groups of 4": lambda: m.one("Conv", (1, 32, 11, 13), m.normal(32, 4, 3, 3), pads=[1, 1, 1, 1],
                                           group=8).but(prefers="grouped"),
        "ConvTranspose": lambda: m.one("ConvTranspose", (1, 9, 6, 7), m.normal(9, 17, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1]),
        "MatMul": lambda: m.one("MatMul", (5, 67), m.normal(67, 35)),
        "Gemm": lambda: m.one("Gemm", (1, 257), m.normal(257, 33), m.normal(33)),
        "MaxPool": lambda: m.one("MaxPool", (1, 21, 15, 15), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        "AveragePool": lambda: m.one("AveragePool", (1, 21, 15, 15), kernel_shape=[2, 3]),
        "GlobalAveragePool": lambda: m.one("GlobalAveragePool", (2, 21, 9, 9)),
        "Softmax": lambda: m.one("Softmax", (3, 77), axis=-1),
        "LayerNormalization": lambda: m.one("LayerNormalization", (3, 77), m.normal(77), m.normal(77), axis=-1),
        "InstanceNormalization": lambda: m.one("InstanceNormalization", (1, 19, 9, 9), m.normal(19), m.normal(19)),
        "LRN": lambda: m.one("LRN", (1, 21, 5, 5), size=5),
        "Resize, linear": lambda: m.one("Resize", (1, 5, 7, 9), np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32),
                                      mode="linear"),
        "ReduceMean": lambda: m.one("ReduceMean", (3, 37, 5), axes=[1], keepdims=0),
        **{op: m.function(op) for op in ("Sigmoid", "Tanh", "Exp", "HardSwish", "Elu", "Softplus", "Erf")},
        "Add": lambda: m.one("Add", (2, 3, 7, 11), m.normal(3, 1, 1)),
    }


def others(m: Maker) -> dict[str, Make]:
    """Other forms of these; bytes and integers, casts, indexing, sampling, recurrence."""
    return {
        "ConvTranspose, long strides": lambda: m.one("ConvTranspose", (1, 33, 37), m.normal(33, 1, 64), strides=[16]),
        "BatchNormalization": lambda: m.one("BatchNormalization", (1, 21, 5, 7), m.normal(21), m.normal(21), m.normal(21), m.positive(21)),
        "MeanVarianceNormalization": lambda: m.one("MeanVarianceNormalization", (2, 19, 7, 5)),
        "Resize, cubic": lambda: m.one("Resize", (1, 5, 7, 9), np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32),
                                     mode="cubic"),
        "Resize, nearest": lambda: m.one("Resize", (1, 21, 7, 9), np.zeros(0, np.float32), np.array([1, 1, 2, 3], np.float32)),
        "ArgMax": lambda: m.one("ArgMax", (3, 77), axis=1),
        "Transpose": lambda: m.one("Transpose", (2, 37, 19), perm=[0, 2, 1]),
        "DepthToSpace": lambda: m.one("DepthToSpace", (1, 36, 5, 7), blocksize=2),
        "Pad": lambda: m.one("Pad", (1, 5, 7, 9), np.array([0, 0, 2, 1, 0, 0, 1, 2]), mode="reflect"),
        "CumSum": lambda: m.one("CumSum", (3, 77), np.array(1)),
        "TopK": lambda: m.one("TopK", (3, 77), np.array([5])),
        "Clip": lambda: m.one("Clip", (3, 77), np.float32(-0.5), np.float32(0.5)),
        "Gather": lambda: m.one("Gather", (9, 37), np.array([3, 0, 8]), axis=0),
        "GatherElements": lambda: m.one("GatherElements", (5, 7), m.rng.integers(0, 5, (3, 7)), axis=0),
        "GatherND": lambda: m.one("GatherND", (5, 7, 19), m.rng.integers(0, 5, (4, 2))),
        "ScatterElements": lambda: m.one("ScatterElements", (5, 7), np.array([[1, 0, 4, 2, 3, 1, 0]]), m.normal(1, 7), axis=0),
        "ScatterND": lambda: m.one("ScatterND", (5, 19), np.array([[3], [0]]), m.normal(2, 19)),
        "ReverseSequence": lambda: m.one("ReverseSequence", (7, 3, 5), np.array([2, 7, 4]), time_axis=0, batch_axis=1),
        "Compress": lambda: m.one("Compress", (5, 19), np.array([True, False, True]), axis=0),
        "NonZero": lambda: m.one("NonZero", (5, 19)),
        "GridSample": lambda: m.one("GridSample", (1, 5, 7, 9), m.rng.uniform(-1, 1, (1, 6, 5, 2)).astype(np.float32)),
        "RoiAlign": lambda: m.one("RoiAlign", (1, 5, 13, 15), np.array([[1, 2, 9, 11]], np.float32), np.array([0]), output_height=3,
                                output_width=4, sampling_ratio=2),
        "MaxRoiPool": lambda: m.one("MaxRoiPool", (1, 5, 13, 15), np.array([[0, 1, 2, 9, 11]], np.float32), pooled_shape=[3, 4]),
        "Add of int64": lambda: m.one("Add", (3, 77), m.rng.integers(-9, 9, (3, 77)), dtype=np.int64),
        "Abs of int64": lambda: m.one("Abs", (3, 77), dtype=np.int64),
        "ReduceSum of int64": lambda: m.one("ReduceSum", (3, 77), np.array([1]), dtype=np.int64),
        "MatMul of int64": lambda: m.one("MatMul", (5, 67), m.rng.integers(-9, 9, (67, 19)), dtype=np.int64),
        "Equal": lambda: m.one("Equal", (3, 77), m.rng.integers(0, 256, (3, 77)), dtype=np.int64),
        "LSTM": lambda: m.one("LSTM", (5, 2, 19), m.normal(1, 4 * 17, 19), m.normal(1, 4 * 17, 17), hidden_size=17),
        "DynamicQuantizeLSTM": lambda: _dynamic_lstm(m),
        "GRU": lambda: m.one("GRU", (5, 2, 19), m.normal(1, 3 * 17, 19), m.normal(1, 3 * 17, 17), hidden_size=17),
        **{f"Cast to {name}": m.cast(number) for name, number in (("int32", 6), ("int64", 7), ("int8", 3), ("bool", 9), ("float16", 10))},
        "QuantizeLinear": lambda: m.one("QuantizeLinear", (1, 5, 7, 11), np.float32(0.02), np.uint8(128)),
        "DequantizeLinear": lambda: m.one("DequantizeLinear", (1, 5, 7, 11), np.float32(0.02), np.uint8(128), dtype=np.uint8),
        "QLinearConv": lambda: m.quantized(35, 19, 1),
        "QLinearConv, depthwise": lambda: m.quantized(24, 1, 24),
        "QLinearMatMul": lambda: m.one("QLinearMatMul", (5, 67), np.float32(0.02), np.uint8(128), m.small(67, 35), np.float32(0.01),
                                       np.int8(0), np.float32(0.5), np.uint8(100), dtype=np.uint8),
    }


def _dynamic_lstm(m: Maker) -> Case:
    """Weights of both signs with a scale and a zero point a direction."""
    names = ("x", "w", "r", "", "", "", "", "", "w_scale", "w_zero", "r_scale", "r_zero")
    node = m.node("DynamicQuantizeLSTM", names, ("y",), domain="com.microsoft", hidden_size=17)
    zero, scale = np.array([5], np.int8), np.array([0.01], np.float32)
    return m.case([node], {"x": m.normal(5, 2, 19)}, {"w": m.small(1, 19, 4 * 17), "r": m.small(1, 17, 4 * 17), "w_scale": scale,
                                                      "w_zero": zero, "r_scale": scale, "r_zero": zero})
