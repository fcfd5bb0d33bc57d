"""Writes the quantised graph: Q/DQ at every value that is stored as bytes, weights as signed bytes, biases as int32."""
from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fastcnn.expansion import add_constant
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.rewrite import renamed
from fastcnn.precision.products import BIAS, WEIGHT, output_axis, rows, weights_of
from fastcnn.precision.regions import PRODUCT, Regions
from fastcnn.precision.scales import Memo, Scale, stored_bias, stored_rows, weight_scales

VERSION = 13            # of QuantizeLinear and DequantizeLinear: the first with a scale a channel


@dataclass
class Writer:
    """Nodes and constants of a graph that is written.

    per_channel  a scale for each output of weights; else one for all
    shifts       product -> what is added to its bias
    memo         keeps weights as bytes, for other graphs of the same products
    """

    graph: Graph
    scales: dict[str, Scale]
    per_channel: bool = True
    shifts: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    weights: dict[tuple[str, int, bytes], str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    memo: Memo = field(default_factory=Memo)

    @property
    def version(self) -> int:
        """The opset version of added nodes: the graph's own if later than VERSION, since when their meaning is the same."""
        return max(self.graph.opsets.get("", VERSION), VERSION)

    def fresh(self, stem: str) -> str:
        """A name that neither the graph nor a new value has."""
        name, k = self.graph.fresh_name(stem), 0
        while name in self.taken:
            k += 1
            name = self.graph.fresh_name(f"{stem}_{k}")
        self.taken.add(name)
        return name

    def value(self, value: str, source: str, target: str) -> None:
        """`target` = `source` as bytes at the scale of a value, and floats again."""
        at = self.scales[value]
        scale = add_constant(self.graph, f"{value}_scale", np.asarray(at.scale))
        zero = add_constant(self.graph, f"{value}_zero_point", at.zero)
        middle = self.fresh(f"{target}_bytes")
        self.nodes.append(Node("QuantizeLinear", (source, scale, zero), (middle,), {}, f"{target}/QuantizeLinear", "", self.version))
        self.nodes.append(Node("DequantizeLinear", (middle, scale, zero), (target,), {}, f"{target}/DequantizeLinear", "", self.version))

    def product(self, node: Node, x: str, y: str, name: str) -> None:
        """The product of x, a value stored as bytes, as y."""
        constants, at = self.graph.constants, self.scales[node.inputs[0]]
        w, axis = constants[node.inputs[WEIGHT]], output_axis(node)
        bias = constants[node.inputs[BIAS]] if node.input(BIAS) else None
        shift = self.shifts.get(node.outputs[0])
        if shift is not None:
            bias = shift if bias is None else bias.reshape(-1) + shift
        key = ("stored", node.outputs[0], float(at.scale), shift is None)
        if key not in self.memo:
            flat = rows(node, w)
            scales = weight_scales(flat, bias, float(at.scale), self.per_channel)
            self.memo[key] = scales, np.ascontiguousarray(weights_of(node, stored_rows(flat, scales), w.shape))
        scales, bytes_ = self.memo[key]
        inputs = [x, self._weights(node, axis, scales, bytes_)]
        if bias is not None:
            stored, products = stored_bias(bias, scales, at.scale)
            inputs.append(self._dequantised(f"{y}_bias", stored, products, 0))
        self.nodes.append(node.but(inputs=tuple(inputs), outputs=(y,), name=name))

    def _weights(self, node: Node, axis: int, scales: np.ndarray, stored: np.ndarray) -> str:
        key = (node.inputs[WEIGHT], axis, scales.tobytes())
        if key not in self.weights:
            self.weights[key] = self._dequantised(node.inputs[WEIGHT], stored, scales, axis)
        return self.weights[key]

    def _dequantised(self, stem: str, array: np.ndarray, scales: np.ndarray, axis: int) -> str:
        """Floats of a constant."""
        one = not self.per_channel and np.unique(scales).size == 1
        scale = scales[0][()] if one else scales
        names = [add_constant(self.graph, f"{stem}_quantized", np.ascontiguousarray(array)),
                 add_constant(self.graph, f"{stem}_scale", np.asarray(scale)),
                 add_constant(self.graph, f"{stem}_zero_point", np.zeros(np.shape(scale), array.dtype))]
        y = self.fresh(f"{stem}_dequantized")
        attrs = {} if one else {"axis": axis}
        self.nodes.append(Node("DequantizeLinear", tuple(names), (y,), attrs, f"{y}/DequantizeLinear", "", self.version))
        return y


def quantised(found: Regions, scales: dict[str, Scale], per_channel: bool = True, shifts: dict[str, np.ndarray] | None = None,
              memo: Memo | None = None) -> Graph:
    """The graph with its regions on bytes, in standard ONNX of opset 13 and up.

    What computes on bytes reads and makes them; floats read what comes of them, those of `found.rounded` the value before it is rounded.
    Products that are not stored, because only floats are computed from them, make floats of their sums.
    """
    graph = replace(found.graph, constants=dict(found.graph.constants), types=dict(found.graph.types), shapes=dict(found.graph.shapes))
    out = Writer(graph, scales, per_channel, shifts or {}, memo=Memo() if memo is None else memo)
    outputs = graph.output_names()
    raw = {v: out.fresh(f"{v}_float") for v in sorted(found.stored & outputs - found.rounded)}
    back = {v: v if v in raw else out.fresh(f"{v}_dequantized") for v in sorted(found.stored)}
    floats = {v: back[v] for v in found.stored - found.rounded}
    for info in graph.inputs:
        if info.name in found.stored:
            out.value(info.name, info.name, back[info.name])
    for node in found.graph.nodes:
        made = tuple(raw.get(v, v) for v in node.outputs)
        if found.kind(node) == PRODUCT:
            out.product(node, back[node.inputs[0]], made[0], node.name)
        else:
            out.nodes.append(renamed(node, back if found.on_bytes(node) else floats).but(outputs=made))
        for value in node.outputs:
            if value in found.stored:
                out.value(value, raw.get(value, value), back[value])
    return _finished(graph, out.nodes)


def _finished(graph: Graph, nodes: list[Node]) -> Graph:
    """The graph of these nodes, without constants that nobody reads, of which nothing is known but what the file says."""
    read = {v for node in nodes for v in node.reads} | graph.output_names()
    constants = {name: array for name, array in graph.constants.items() if name in read}
    opsets = {**graph.opsets, "": max(graph.opsets.get("", VERSION), VERSION)}
    return replace(graph.forgetful(), nodes=nodes, constants=constants, opsets=opsets)


def beside(found: Regions, scales: dict[str, Scale], per_channel: bool, shifts: dict[str, np.ndarray]) -> tuple[Graph, dict[str, str]]:
    """The float graph, and every product a second time on bytes of the float values that it reads: product -> its result there.

    What comes of one layer alone, without the errors of those before it.
    """
    graph = replace(found.graph, constants=dict(found.graph.constants))
    out = Writer(graph, scales, per_channel, shifts)
    producers, twins = graph.producers(), dict[str, str]()
    back = dict[str, str]()
    for node in found.products():
        x, result = node.inputs[0], found.result(node)
        if x not in back:
            back[x] = out.fresh(f"{x}/twin")
            out.value(x, x, back[x])
        last = out.fresh(f"{node.outputs[0]}/twin")
        out.product(node, back[x], last, f"{last}/product")
        if result != node.outputs[0]:
            limit = producers[result]
            limited, last = last, out.fresh(f"{result}/twin")
            out.nodes.append(limit.but(inputs=(limited, *limit.inputs[1:]), outputs=(last,), name=f"{last}/limit"))
        if result in scales:
            exact, last = last, out.fresh(f"{result}/twin_bytes")
            out.value(result, exact, last)
        twins[node.outputs[0]] = last
    return _finished(graph, [*graph.nodes, *out.nodes]), twins
