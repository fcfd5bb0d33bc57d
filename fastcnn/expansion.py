"""Replacing a node by simpler ones: the helper that the tables of rewrites (old opsets, com.microsoft ...) share."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np

from fastcnn.ir.graph import Graph, Node, Shape
from fastcnn.ir.record import dataclass
from fastcnn.onnx_proto.types import element_of, numpy_type, tensor_of

# Where a model imports no opset of ONNX's own, rewrites are written in this one.
DEFAULT_OPSET = 17


def shape_of(graph: Graph, value: str) -> Shape | None:
    """Sizes of a value, symbols where they depend on the input; None when the rank is unknown."""
    array = graph.constants.get(value)
    return array.shape if array is not None else graph.shapes.get(value)


def type_of(graph: Graph, value: str) -> str | None:
    """"tensor(float)" of a value, None when unknown."""
    array = graph.constants.get(value)
    return tensor_of(array.dtype) if array is not None else graph.types.get(value)


def add_constant(graph: Graph, stem: str, array: np.ndarray) -> str:
    """A new constant under a name of its own."""
    name = graph.fresh_name(stem)
    graph.constants[name] = array
    return name


@dataclass
class Expansion:
    """The nodes that replace `node`, collected while a rule adds them."""

    graph: Graph
    node: Node
    nodes: list[Node] = field(default_factory=list)

    @property
    def opset(self) -> int:
        return self.graph.opsets.get("", DEFAULT_OPSET)

    def attr(self, name: str, default: Any = None) -> Any:
        return self.node.attrs.get(name, default)

    def input(self, i: int) -> str:
        return self.node.input(i)

    def rank(self, i: int) -> int | None:
        shape = shape_of(self.graph, self.input(i))
        return None if shape is None else len(shape)

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Adds a constant and returns its name; its element type is `dtype`, else that of input 0."""
        if dtype is None:
            dtype = numpy_type(element_of(type_of(self.graph, self.input(0)) or "") or "float")
        return add_constant(self.graph, f"{self.node.name}/constant", np.array(values, dtype))

    def value(self, i: int) -> np.ndarray | None:
        """The array of input i, None where it is no constant."""
        return self.graph.constants.get(self.input(i))

    def add(self, op_type: str, *inputs: str, version: int = 0, outputs: int = 1, **attrs: Any) -> str:
        """A node of ONNX's own, of the model's opset unless another version is named; the name of its first output."""
        stem = f"{self.node.outputs[0]}/{len(self.nodes)}"
        names = tuple(f"{self.graph.fresh_name(stem)}{f'.{k}' if k else ''}" for k in range(outputs))
        kept = {name: value for name, value in attrs.items() if value is not None}
        made = Node(op_type, inputs, names, kept, f"{self.node.name}/{len(self.nodes)}", "", version or self.opset)
        self.nodes.append(made)
        return names[0]

    def slice(self, x: str, starts: list[int], ends: list[int], axes: list[int]) -> str:
        """x[starts:ends] along axes, in the form of the opset."""
        if self.opset < 10:
            return self.add("Slice", x, starts=starts, ends=ends, axes=axes)
        return self.add("Slice", x, *(self.constant(v, np.int64) for v in (starts, ends, axes)))


# outputs of the node in order, "" for those not made; None: the rule does not cover the node
Rule = Callable[[Expansion], "tuple[str, ...] | None"]


def operators_of(rules: Mapping[tuple[str, str], Rule]) -> frozenset[str]:
    """(domain, operator) of every rule."""
    return frozenset(op_type for _, op_type in rules)


def expand_nodes(graph: Graph, rules: Mapping[tuple[str, str], Rule]) -> bool:
    """Replaces each node that has a rule; where the rule declines, the node stays. Returns whether anything changed."""
    changed: dict[int, list[Node]] = {}
    for node in graph.nodes:
        rule = rules.get((node.domain, node.op_type))
        made = _expanded(graph, node, rule) if rule is not None else None
        if made is not None:
            changed[id(node)] = made
    if changed:
        graph.nodes = [new for node in graph.nodes for new in changed.get(id(node), (node,))]
    return bool(changed)


def _expanded(graph: Graph, node: Node, rule: Rule) -> list[Node] | None:
    """The replacement nodes, whose last ones write the outputs of the old node; a single replacement keeps its name.

    An epilogue of the old node would be lost: rules run before any fusion.
    """
    expansion = Expansion(graph, node)
    results = rule(expansion)
    if results is None or any(name and (k >= len(results) or not results[k]) for k, name in enumerate(node.outputs)):
        return None
    made = {value for new in expansion.nodes for value in new.outputs}
    names: dict[str, str] = {}
    for result, name in zip(results, node.outputs):
        if name and result in made and result not in names:
            names[result] = name
        elif name:
            expansion.nodes.append(Node("Identity", (result,), (name,), {}, f"{node.name}/{name}", "", expansion.opset))
    sole = node.name if len(expansion.nodes) == 1 else ""
    return [replace(new, inputs=tuple(names.get(v, v) for v in new.inputs), outputs=tuple(names.get(v, v) for v in new.outputs),
                    name=sole or new.name) for new in expansion.nodes]
