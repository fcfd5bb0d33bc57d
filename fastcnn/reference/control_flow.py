"""If, Loop, Scan and optionals: bodies evaluated node by node, with the same corrections as the graph around them.

onnx.reference runs bodies by its own operators only, glues the scan outputs of a Loop together along their first axis,
and knows no Scan-8, no axes or directions of Scan and no empty optional out of an If. Here an optional that holds x is
x, an empty one None.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto

from fastcnn.graph import Node, Shape
from fastcnn.onnx_proto.attributes import attribute_value, outer_reads, subgraphs
from fastcnn.onnx_proto.tensor_data import dense_array, sparse_array
from fastcnn.onnx_proto.types import element_of, normal_domain, numpy_type, type_shape, type_string

Value = Any
Evaluate = Callable[[Node, Sequence[Value], Mapping[str, Value], Mapping[str, int]], list[Value]]


@dataclass(frozen=True)
class Body:
    """A GraphProto as nodes; outputs are (name, type string, shape)."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, str, Shape | None], ...]
    constants: Mapping[str, np.ndarray]

    def run(self, inputs: Sequence[Value], captured: Mapping[str, Value], opsets: Mapping[str, int], evaluate: Evaluate) -> list[Value]:
        """Outputs for inputs in order; its own names hide those of the graph around it."""
        values: dict[str, Value] = {**captured, "": None, **self.constants, **dict(zip(self.inputs, inputs))}
        for node in self.nodes:
            around = {inner: values[outer] for inner, outer in node.captures}
            values.update(zip(node.outputs, evaluate(node, [values[v] for v in node.inputs], around, opsets)))
        return [values[name] for name, _, _ in self.outputs]


_kept: dict[int, tuple[weakref.ref[Node], dict[tuple[tuple[str, int], ...], dict[str, Body]]]] = {}


def bodies_of(node: Node, opsets: Mapping[str, int]) -> dict[str, Body]:
    """The bodies of a control-flow node by attribute, made once and kept as long as the node lives."""
    key, entry = id(node), _kept.get(id(node))
    if entry is None or entry[0]() is not node:
        def forget(_: weakref.ref[Node], pop: Callable[..., object] = _kept.pop) -> None:
            pop(key, None)                   # a default, since module globals may be gone when the interpreter ends
        entry = _kept[key] = weakref.ref(node, forget), {}
    variant = tuple(sorted(opsets.items()))
    if variant not in entry[1]:
        entry[1][variant] = {name: _body(value, opsets) for name, value in node.attrs.items() if isinstance(value, GraphProto)}
    return entry[1][variant]


def _body(graph: GraphProto, opsets: Mapping[str, int]) -> Body:
    constants = {t.name: dense_array(t, None, f"initializer {t.name!r}") for t in graph.initializer}
    constants.update((t.values.name, sparse_array(t, None, f"initializer {t.values.name!r}")) for t in graph.sparse_initializer)
    nodes = []
    for index, proto in enumerate(graph.node):
        domain, name = normal_domain(proto.domain), proto.name or f"{proto.op_type}_{index}"
        attrs = {a.name: attribute_value(a, f"{proto.op_type} {name!r}") for a in proto.attribute}
        node = Node(proto.op_type, tuple(proto.input), tuple(proto.output), attrs, name, domain, opsets.get(domain, 0))
        reads = dict.fromkeys(value for inner in subgraphs(node) for value in outer_reads(inner))
        nodes.append(Node(node.op_type, node.inputs, node.outputs, attrs, name, domain, node.version, tuple((v, v) for v in reads)))
    outputs = tuple((o.name, type_string(o.type), type_shape(o.type)) for o in graph.output)
    return Body(tuple(nodes), tuple(i.name for i in graph.input if i.name not in constants), outputs, constants)


@dataclass(frozen=True)
class Around:
    """What a control-flow node runs in: values captured from outside, opsets, how to evaluate a node of a body."""

    captured: Mapping[str, Value]
    opsets: Mapping[str, int]
    evaluate: Evaluate

    def run(self, body: Body, inputs: Sequence[Value]) -> list[Value]:
        return body.run(inputs, self.captured, self.opsets, self.evaluate)


def if_(node: Node, inputs: Sequence[Value], around: Around) -> list[Value]:
    """The outputs of then_branch where the condition holds, of else_branch otherwise."""
    taken = "then_branch" if bool(np.reshape(inputs[0], ())) else "else_branch"
    return around.run(bodies_of(node, around.opsets)[taken], [])


def loop(node: Node, inputs: Sequence[Value], around: Around) -> list[Value]:
    """Final carried values, then each scan output stacked along a new first axis, of at most M rounds while cond holds."""
    body = bodies_of(node, around.opsets)["body"]
    limit, condition, *carried = (*inputs, None, None)[:max(len(inputs), 2)]
    rounds = None if limit is None else int(np.reshape(limit, ()))
    going = True if condition is None else bool(np.reshape(condition, ()))
    rows: list[list[Value]] = []
    while going and (rounds is None or len(rows) < rounds):
        outputs = around.run(body, [np.array(len(rows), np.int64), np.array(going), *carried])
        going = bool(np.reshape(outputs[0], ()))
        rows.append(outputs[1 + len(carried):])
        carried = outputs[1:1 + len(carried)]
    return [*carried, *_stacked(body, rows, 1 + len(carried))]


def _stacked(body: Body, rows: Sequence[Sequence[Value]], first: int) -> list[np.ndarray]:
    """Scan outputs, which are the body's from `first` on; after no round at all what their types say."""
    if rows:
        return [np.stack(column) for column in zip(*rows)]
    return [np.zeros((0, *(d if isinstance(d, int) else 0 for d in shape or ())), numpy_type(element_of(kind) or "float"))
            for _, kind, shape in body.outputs[first:]]


def scan(node: Node, inputs: Sequence[Value], around: Around) -> list[Value]:
    """Final states, then scan outputs, of the body run over slices of the scan inputs; batched and with lengths before opset 9."""
    if node.version < 9:
        return _scan_batches(node, inputs, around)
    body, count, attrs = bodies_of(node, around.opsets)["body"], node.attrs["num_scan_inputs"], node.attrs
    states, scanned = list(inputs[:-count]), inputs[-count:]
    axes, backward = attrs.get("scan_input_axes") or [0] * count, attrs.get("scan_input_directions") or [0] * count
    slices = [np.flip(np.moveaxis(x, a, 0), 0) if b else np.moveaxis(x, a, 0) for x, a, b in zip(scanned, axes, backward)]
    states, outputs = _scan_rounds(body, states, slices, len(slices[0]), around)
    axes, backward = attrs.get("scan_output_axes") or [0] * len(outputs), attrs.get("scan_output_directions") or [0] * len(outputs)
    return states + [np.moveaxis(np.flip(y, 0) if b else y, 0, a) for y, a, b in zip(outputs, axes, backward)]


def _scan_rounds(body: Body, states: list[Value], slices: Sequence[np.ndarray], rounds: int,
                 around: Around) -> tuple[list[Value], list[np.ndarray]]:
    rows = []
    for k in range(rounds):
        outputs = around.run(body, [*states, *(x[k] for x in slices)])
        rows.append(outputs[len(states):])
        states = outputs[:len(states)]
    return states, _stacked(body, rows, len(states))


def _scan_batches(node: Node, inputs: Sequence[Value], around: Around) -> list[Value]:
    """Scan-8: every input has a batch axis first, scanned ones the sequence second; rows past a sequence's length are zeros."""
    body, count = bodies_of(node, around.opsets)["body"], node.attrs["num_scan_inputs"]
    lengths, states, scanned = inputs[0], inputs[1:-count], inputs[-count:]
    backward, extent = node.attrs.get("directions") or [0] * count, scanned[0].shape[1]
    results = []
    for n in range(len(scanned[0])):
        rounds = extent if lengths is None else int(lengths[n])
        slices = [np.flip(x[n, :rounds], 0) if b else x[n, :rounds] for x, b in zip(scanned, backward)]
        final, outputs = _scan_rounds(body, [s[n] for s in states], slices, rounds, around)
        padded = [np.concatenate([y, np.zeros((extent - rounds, *y.shape[1:]), y.dtype)]) for y in outputs]
        results.append([*final, *padded])
    return [np.stack(column) for column in zip(*results)]


def optional(node: Node, inputs: Sequence[Value], around: Around) -> list[Value]:
    """An optional that holds the input; an empty one, None, without."""
    return [inputs[0] if inputs else None]


def has_element(node: Node, inputs: Sequence[Value], around: Around) -> list[Value]:
    """Whether an optional holds something."""
    return [np.array(bool(inputs) and inputs[0] is not None)]


CONTROL_FLOW: dict[str, Callable[[Node, Sequence[Value], Around], list[Value]]] = {
    "If": if_,
    "Loop": loop,
    "Optional": optional,
    "OptionalHasElement": has_element,
    "Scan": scan,
}
