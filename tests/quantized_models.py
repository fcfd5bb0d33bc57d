"""Small quantised models: values between QuantizeLinear and DequantizeLinear, weights stored as bytes."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from graph_helper import model
from onnx import ModelProto, NodeProto, helper

from fastcnn.ir.graph import Graph
from fastcnn.passes import run_passes
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

# The largest signed weight where onnxruntime is the reference: without dot products of bytes it adds two products in 16 bits, which
# saturates with eight bits. Kernels are tested with all of them against exact sums (test_kernel_qconv.py).
SEVEN_BITS = 63


class Quantised:
    """Builds one: x and y are names of floats, what quant() and weights() return likewise."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.count = 0

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def constant(self, array: np.ndarray) -> str:
        name = self.name("c")
        self.constants[name] = array
        return name

    def op(self, op_type: str, *inputs: str, domain: str = "", outputs: int = 1, **attrs: object) -> str:
        """A node; the name of its first output."""
        y = self.name("v")
        names = [y, *(f"{y}.{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=f"node {y}", domain=domain, **attrs))
        return y

    def scale(self, scale: float, zero: int, dtype: type = np.uint8) -> tuple[str, str]:
        """A scale and a zero point as constants."""
        return self.constant(np.array(scale, np.float32)), self.constant(np.array(zero, dtype))

    def bytes(self, x: str, scale: float, zero: int, dtype: type = np.uint8) -> str:
        """QuantizeLinear of x."""
        return self.op("QuantizeLinear", x, *self.scale(scale, zero, dtype))

    def quant(self, x: str, scale: float, zero: int, dtype: type = np.uint8) -> str:
        """x as bytes and back."""
        at = self.scale(scale, zero, dtype)
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *at), *at)

    def weights(self, shape: Sequence[int], scales: np.ndarray | float, zeros: np.ndarray | int = 0, dtype: type = np.int8,
                axis: int = 0) -> str:
        """Constant weights of bytes, one scale or one for each index of an axis."""
        info = np.iinfo(dtype)
        stored = self.rng.integers(info.min, info.max + 1, shape).astype(dtype)
        attrs = {"axis": axis} if np.ndim(scales) else {}
        return self.op("DequantizeLinear", self.constant(stored), self.constant(np.asarray(scales, np.float32)),
                       self.constant(np.asarray(zeros).astype(dtype)), **attrs)

    def bias(self, count: int, scales: np.ndarray | float) -> str:
        """A constant bias of int32 at these scales."""
        stored = self.rng.integers(-3000, 3000, count).astype(np.int32)
        attrs = {"axis": 0} if np.ndim(scales) else {}
        return self.op("DequantizeLinear", self.constant(stored), self.constant(np.asarray(scales, np.float32)), **attrs)

    def conv(self, x: str, x_scale: float, shape: Sequence[int], scales: np.ndarray | float, dtype: type = np.int8,
             zeros: np.ndarray | int = 0, bias: bool = True, **attrs: object) -> str:
        """Conv of x, which is at x_scale, with weights and bias at theirs."""
        b = [self.bias(shape[0], np.asarray(scales, np.float32) * np.float32(x_scale))] if bias else []
        return self.op("Conv", x, self.weights(shape, scales, zeros, dtype), *b, **attrs)

    def model(self, inputs: Mapping[str, Sequence[int | str]], *outputs: str, opset: int = 13,
              types: Mapping[str, int] | None = None) -> ModelProto:
        return model(self.nodes, inputs, outputs, self.constants, opset, types)


def agree(got: np.ndarray, wanted: np.ndarray, quantum: float = 1.0, share: float = 0.05) -> None:
    """Equal but for one quantum where float32 has rounded the other way: a small share of what there is."""
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    off = np.abs(got.astype(np.float64) - wanted.astype(np.float64)) / quantum
    assert off.max(initial=0) < 1.01 and (off > 0.01).mean() <= share, (off.max(), (off > 0.01).mean())


def rewritten(proto: ModelProto, wanted: dict[str, int], quantum: float = 0.05, feeds: dict[str, np.ndarray] | None = None) -> Graph:
    """The graph after the passes: these operators, and the results of the graph before them."""
    before = read(proto)
    after = run_passes(before)
    assert Counter(node.op_type for node in after.nodes) == wanted
    rng = np.random.default_rng(1)
    fed = feeds or {i.name: rng.normal(size=i.shape).astype(np.float32) for i in before.inputs}
    for name, y in evaluate_graph(before, fed).items():
        agree(evaluate_graph(after, fed)[name], y, quantum if y.dtype == np.float32 else 1)
    return after
