"""Adds casts at the border of a graph that computes in float32, for inputs and outputs of float16.

It runs once, after all passes, so that these meet no half precision. The casts are ordinary steps.
"""
from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.passes.rewrite import describe, renamed

HALF, FLOAT = 10, 1         # TensorProto.DataType
CAST_VERSION = 13


def half_border(graph: Graph, halves: Set[str]) -> Graph:
    """The graph whose inputs of that type, and outputs of these names, are float16."""
    inputs = [info.name for info in graph.inputs if info.type == "tensor(float16)"]
    outputs = [name for name in graph.output_names() if name in halves and name not in inputs]
    if not inputs and not outputs:
        return graph
    graph = replace(graph, constants=dict(graph.constants), types=dict(graph.types), shapes=dict(graph.shapes))
    wide = {name: graph.fresh_name(f"{name}.float32") for name in (*inputs, *outputs)}
    for name, other in wide.items():
        describe(graph, other, name)
    for name in outputs:
        if name in graph.constants:
            graph.constants[wide[name]], graph.constants[name] = graph.constants[name], _half(graph.constants[name])
    nodes = [_cast(name, wide[name], FLOAT) for name in inputs]
    nodes += [_made_wide(_of_input(node, inputs) or renamed(node, wide), wide) for node in graph.nodes]
    made = {node.outputs[0]: node for node in graph.nodes if node.op_type == "RoundFloat16" and node.domain == OWN_DOMAIN}
    for name in outputs:
        if name not in graph.constants:
            rounded = made.get(name)         # the cast rounds by itself
            source = rounded.inputs[0] if rounded is not None and rounded.activation is None else name
            nodes.append(_cast(wide.get(source, source), name, HALF))
    read = {name for node in nodes for name in node.reads} | graph.output_names()
    graph.nodes = [node for node in nodes if not read.isdisjoint(node.outputs)]
    return graph


def _cast(x: str, y: str, to: int) -> Node:
    return Node("Cast", (x,), (y,), {"to": to}, f"{y if to == HALF else x}/border", "", CAST_VERSION)


def _of_input(node: Node, inputs: list[str]) -> Node | None:
    """The Cast that makes a float32 value from a float16 input."""
    same = node.op_type == "Identity" or (node.op_type == "Cast" and node.attrs["to"] == FLOAT)
    same = same and not node.domain and node.activation is None and node.inputs[0] in inputs
    return _cast(node.inputs[0], node.outputs[0], FLOAT) if same else None


def _made_wide(node: Node, wide: dict[str, str]) -> Node:
    if not any(name in wide for name in node.outputs):
        return node
    return replace(node, outputs=tuple(wide.get(name, name) for name in node.outputs))


def _half(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float16)
