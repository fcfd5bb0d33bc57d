"""Inference for whole graphs: types and shapes of all values, and the elements of small tensors of sizes; incremental after a rewrite."""
from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from fastcnn.inference.infer import infer_graph, infer_node, rule_of
from fastcnn.inference.site import Known
from fastcnn.inference.sizes import symbol
from fastcnn.ir.graph import Graph, Memory, Node, Shape, ValueInfo
from fastcnn.ir.record import dataclass
from fastcnn.onnx_proto.types import tensor_of


def infer_types(graph: Graph, types: Mapping[str, str] = MappingProxyType({}), memory: Memory | None = None) -> Known:
    """Types, shapes and contents of all values, as far as they can be inferred; never fails. types: value -> type already known.

    Each unknown size gets a symbol of its own ("x.2" is axis 2 of value x), since two inputs whose sizes have one name in the file may
    still be fed with different sizes. Equal strings are equal sizes.
    """
    given = graph.types          # a pass may compute an input in another type than it is fed in
    known = Known(types=dict(types), constants=graph.constants, memory=memory)
    for info in graph.inputs:
        if info.type:
            known.types[info.name] = given.get(info.name, info.type)
        if info.shape is not None:
            known.shapes[info.name] = _own_symbols(info.name, info.shape)
    for name, array in graph.constants.items():
        known.types[name], known.shapes[name] = tensor_of(array.dtype), array.shape
    infer_graph(graph, known)
    return known


@dataclass(frozen=True)
class Source:
    """What an inference was based on: the nodes, and the type and shape of each constant."""

    nodes: list[Node]
    inputs: list[ValueInfo]
    constants: dict[str, tuple[np.dtype, tuple[int, ...]]]


def source_of(graph: Graph) -> Source:
    """The Source of the graph in its present state."""
    return Source(graph.nodes, graph.inputs, {name: (array.dtype, array.shape) for name, array in graph.constants.items()})


def infer_changed(graph: Graph, known: Known, before: Source, after: Source) -> list[tuple[Shape | None, Shape | None]]:
    """Updates `known` after a rewrite: infers only from nodes and constants that have changed since, and what follows from them.

    before, after  the Source of the inference that `known` has, and that of the graph now
    A rewrite may compute a value in another way under the same name. Returns the shapes, before and after, of the values that were
    inferred again.
    """
    same = set(map(id, before.nodes))
    now = after.constants
    news = {name for name, kind in now.items() if before.constants.get(name) != kind}
    for name in news:
        known.types[name], known.shapes[name] = tensor_of(now[name][0]), now[name][1]
    news |= before.constants.keys() - now.keys()
    looked: list[tuple[Shape | None, Shape | None]] = []
    for node in graph.nodes:
        if (id(node) in same and news.isdisjoint(node.reads)) or _stays_known(node, known, news, now):
            continue
        tables: tuple[dict[str, Any], ...] = (known.types, known.shapes, known.contents)
        old = {name: [table.pop(name, None) for table in tables] for name in node.outputs if name}
        infer_node(node, known)
        for name, facts in old.items():
            looked.append((facts[1], known.shapes.get(name)))
            if facts != [table.get(name) for table in tables]:
                news.add(name)
    return looked


def _stays_known(node: Node, known: Known, news: Collection[str], constants: Container[str]) -> bool:
    """Whether a rewritten node says nothing new: its output was known, by a rule of shapes alone, and only its constants are others."""
    rule = rule_of(node)
    if rule is None or not rule.alike or rule.contents is not None or len(node.outputs) != 1 or node.outputs[0] not in known.shapes:
        return False
    same_type = known.types.get(node.outputs[0]) == known.type(node.inputs[0])
    return same_type and not any([v in news and v not in constants for v in node.reads])


def _own_symbols(name: str, shape: Shape) -> Shape:
    return tuple(d if isinstance(d, int) else symbol(name, axis) for axis, d in enumerate(shape))
