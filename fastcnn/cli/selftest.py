"""Doctor's self-test: small networks at every instruction set of this CPU beside numpy."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.model import Model
from fastcnn.reference import evaluate_graph

TOLERANCE = 2e-5                # of the largest output
OPSET = 17
Line = dict[str, Any]
Make = Callable[[], tuple[Graph, dict[str, np.ndarray]]]


def self_test() -> list[Line]:
    """Small networks at every instruction set of this CPU beside numpy: a line each. Leaves the instruction set as it was."""
    before, lines = _native.current_isa(), list[Line]()
    try:
        for name, graph, feeds in _networks():
            wanted = evaluate_graph(graph, feeds)
            for level in _native.levels():
                _native.set_isa(level)
                lines.append(_checked(name, level, graph, feeds, wanted))
    finally:
        _native.set_isa(before)
    return lines


def _checked(name: str, level: str, graph: Graph, feeds: dict[str, np.ndarray], wanted: dict[str, Any]) -> Line:
    model = Model(graph, 1)
    worst, allowed = 0.0, TOLERANCE
    for info, got in zip(graph.outputs, model.run(None, feeds)):
        other = wanted[info.name].astype(np.float64)
        worst = max(worst, float(np.abs(got - other).max() / max(np.abs(other).max(), 1e-30)))
        if got.dtype.itemsize == 1 and TOLERANCE > 0:
            allowed = float(1 / max(np.abs(other).max(), 1))            # a quantum, next to a tie
    computed = sorted({step.kind for plan in model._engine(model._output_names).plans.values() for stage in plan.stages
                       if not isinstance(stage, Node) for step in stage.steps})
    return {"network": name, "instruction_set": level, "steps": computed, "difference": worst, "ok": worst <= allowed}


class Maker:
    """Networks of one node, with seeded numbers."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def positive(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(0.5, 2, shape).astype(np.float32)

    def small(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-100, 100, shape).astype(np.int8)

    def one(self, op: str, x: tuple[int, ...], *constants: Any, dtype: Any = np.float32,
            **attrs: Any) -> tuple[Graph, dict[str, np.ndarray]]:
        """The graph of an operator that reads x and constants, and its feeds."""
        names = [f"c{k}" for k in range(len(constants))]
        node = Node(op, ("x", *names), ("y",), attrs, op, "", OPSET)
        kind = "tensor(float)" if dtype is np.float32 else f"tensor({np.dtype(dtype)})"
        graph = Graph([node], [ValueInfo("x", kind, x)], [ValueInfo("y", "tensor(float)", None)],
                      dict(zip(names, map(np.asarray, constants))), {"": OPSET})
        return graph, {"x": self.normal(*x) if dtype is np.float32 else self.rng.integers(0, 256, x).astype(dtype)}

    def function(self, op: str) -> Make:
        return lambda: self.one(op, (1, 3, 7, 11))

    def cast(self, number: int) -> Make:
        return lambda: self.one("Cast", (2, 3, 7, 11), to=number)

    def quantized(self, out: int, channels: int, group: int) -> tuple[Graph, dict[str, np.ndarray]]:
        return self.one("QLinearConv", (1, channels * group, 9, 11), np.float32(0.02), np.uint8(128), self.small(out, channels, 3, 3),
                        np.float32(0.01), np.int8(0), np.float32(0.3), np.uint8(120), dtype=np.uint8, pads=[1, 1, 1, 1], group=group)


def _networks() -> Iterator[tuple[str, Graph, dict[str, np.ndarray]]]:
    """(name, graph, feeds): operators whose kernels differ between instruction sets, at sizes beside their tiles."""
    make = Maker()
    for name, case in {**_layers(make), **_others(make)}.items():
        yield name, *case()


def _layers(m: Maker) -> dict[str, Make]:
    """What networks are made of."""
    return {
        "Conv 1x1": lambda: m.one("Conv", (1, 19, 7, 9), m.normal(35, 19, 1, 1), m.normal(35)),
        "Conv 3x3 (Winograd)": lambda: m.one("Conv", (1, 32, 29, 29), m.normal(48, 32, 3, 3), pads=[1, 1, 1, 1]),
        "Conv 3x3, strides 2": lambda: m.one("Conv", (2, 5, 13, 17), m.normal(33, 5, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
        "Conv, dilated": lambda: m.one("Conv", (1, 6, 15, 15), m.normal(20, 6, 3, 3), dilations=[2, 2]),
        "Conv, depthwise": lambda: m.one("Conv", (1, 37, 14, 15), m.normal(37, 1, 3, 3), pads=[1, 1, 1, 1], group=37),
        "Conv, depthwise, strides 2": lambda: m.one("Conv", (1, 24, 15, 33), m.normal(24, 1, 5, 5), pads=[2, 2, 2, 2], strides=[2, 2],
                                                  group=24),
        "Conv, groups of 4": lambda: m.one("Conv", (1, 32, 11, 13), m.normal(32, 4, 3, 3), pads=[1, 1, 1, 1], group=8),
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


def _others(m: Maker) -> dict[str, Make]:
    """Other forms of it, bytes and integers, casts, indexing, sampling, recurrence."""
    return {
        "ConvTranspose, long strides": lambda: m.one("ConvTranspose", (1, 9, 37), m.normal(9, 1, 32), strides=[8]),
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
        "GRU": lambda: m.one("GRU", (5, 2, 19), m.normal(1, 3 * 17, 19), m.normal(1, 3 * 17, 17), hidden_size=17),
        **{f"Cast to {name}": m.cast(number) for name, number in (("int32", 6), ("int64", 7), ("int8", 3), ("bool", 9), ("float16", 10))},
        "QuantizeLinear": lambda: m.one("QuantizeLinear", (1, 5, 7, 11), np.float32(0.02), np.uint8(128)),
        "DequantizeLinear": lambda: m.one("DequantizeLinear", (1, 5, 7, 11), np.float32(0.02), np.uint8(128), dtype=np.uint8),
        "QLinearConv": lambda: m.quantized(35, 19, 1),
        "QLinearConv, depthwise": lambda: m.quantized(24, 1, 24),
        "QLinearMatMul": lambda: m.one("QLinearMatMul", (5, 67), np.float32(0.02), np.uint8(128), m.small(67, 35), np.float32(0.01),
                                       np.int8(0), np.float32(0.5), np.uint8(100), dtype=np.uint8),
    }
