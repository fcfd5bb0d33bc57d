"""Helpers of rewrites: constants of nodes, renaming values, taking nodes out."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastcnn.expansion import shape_of
from fastcnn.ir.graph import Graph, Node, Shape


def static_shape(graph: Graph, value: str) -> tuple[int, ...] | None:
    """The sizes when all of them are known."""
    shape = shape_of(graph, value)
    sizes = tuple(d for d in shape or () if isinstance(d, int))
    return sizes if shape is not None and len(sizes) == len(shape) else None


def same_shape(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes are known to be equal: by numbers or by symbols."""
    return a is not None and b is not None and None not in a and a == b


def constant(graph: Graph, node: Node, i: int) -> np.ndarray | None:
    """The array of input i if it is constant, else None."""
    return graph.constants.get(node.input(i))


def scalar(graph: Graph, node: Node, i: int) -> float | None:
    """The number that input i is if it is a constant of one element, else None."""
    array = constant(graph, node, i)
    return float(array.reshape(())) if array is not None and array.size == 1 and array.dtype.kind in "fiu" else None


def describe(graph: Graph, value: str, like: str) -> None:
    """A new value has the shape and type of a known one."""
    if like in graph.shapes:
        graph.shapes[value] = graph.shapes[like]
    if like in graph.types:
        graph.types[value] = graph.types[like]


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The node with inputs renamed; names inside its bodies stay."""
    if names.keys().isdisjoint(node.reads):
        return node
    return node.but(inputs=tuple(names.get(v, v) for v in node.inputs),
                   captures=tuple((inner, names.get(v, v)) for inner, v in node.captures))


class Bypass:
    """Collects nodes whose output equals one of their inputs, and takes them out together.

    A graph output keeps its name: the producer of the input writes it instead, and where that cannot be (the input is a
    graph input, a constant or another output) the node becomes an Identity.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = graph.output_names()
        self.names: dict[str, str] = {}          # read instead: old -> new
        self.written: dict[str, str] = {}        # written instead: old -> new
        self.gone: set[int] = set()

    def resolve(self, value: str) -> str:
        while value in self.names:
            value = self.names[value]
        return value

    def take_out(self, node: Node, source: str) -> bool:
        """outputs[0] of the node is `source`; False when it has to stay."""
        target, source = node.outputs[0], self.resolve(source)
        if target not in self.outputs:
            self.names[target] = source
        elif source in self.graph.producers() and source not in self.outputs and source not in self.written.values():
            self.names[source] = target
            self.written[source] = target
        else:
            return False
        self.gone.add(id(node))
        return True

    def apply(self) -> bool:
        """Rewrites the node list; True when something was taken out."""
        if not self.gone:
            return False
        names = {old: self.resolve(old) for old in self.names}
        for old, new in self.written.items():
            describe(self.graph, new, old)
        kept = []
        for node in self.graph.nodes:
            if id(node) in self.gone:
                continue
            if self.written and not self.written.keys().isdisjoint(node.outputs):
                node = node.but(outputs=tuple(self.written.get(v, v) for v in node.outputs))
            kept.append(renamed(node, names))
        self.graph.nodes = kept
        return True
