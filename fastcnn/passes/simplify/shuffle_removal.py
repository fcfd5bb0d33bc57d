"""Merges successive transposes and successive reshapes."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import replace_nodes

# Operators that only say how the same elements in the same order are cut into axes.
RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


def transpose_merging(graph: Graph) -> bool:
    """Transpose of a Transpose is one Transpose (identity_removal takes it out where it is none)."""
    producers, changed = graph.producers(), dict[int, Node]()
    for node in graph.nodes:
        first = _now(producers, changed, node.inputs[0]) if node.op_type == "Transpose" and not node.domain else None
        if first is None or first.op_type != "Transpose" or first.domain:
            continue
        outer, inner = node.attrs.get("perm"), first.attrs.get("perm")
        if outer is None or inner is None:
            continue
        merged = node.but(inputs=first.inputs, attrs={"perm": [inner[p] for p in outer]})
        changed[id(node)] = merged
    return replace_nodes(graph, changed)


def reshape_merging(graph: Graph) -> bool:
    """A reshape of a reshape is one Reshape of the first's input, where at most one size of the result is unknown."""
    producers, changed = graph.producers(), dict[int, Node]()
    for node in graph.nodes:
        first = _now(producers, changed, node.inputs[0]) if node.op_type in RESHAPES and not node.domain else None
        target = _target(graph, node) if first is not None and first.op_type in RESHAPES and not first.domain else None
        if first is None or target is None:
            continue
        shape = add_constant(graph, f"{node.outputs[0]}.shape", np.array(target, np.int64))
        version = max(graph.opsets.get("", 0), 5)
        merged = Node("Reshape", (first.inputs[0], shape), node.outputs, {}, node.name, "", version)
        changed[id(node)] = merged
    return replace_nodes(graph, changed)


def _now(producers: Mapping[str, Node], changed: Mapping[int, Node], value: str) -> Node | None:
    """The node that writes the value, as it has become."""
    node = producers.get(value)
    return None if node is None else changed.get(id(node), node)


def _target(graph: Graph, node: Node) -> list[int] | None:
    shape = shape_of(graph, node.outputs[0])
    if shape is None or 0 in shape or sum(not isinstance(d, int) for d in shape) > 1:
        return None
    return [d if isinstance(d, int) else -1 for d in shape]
