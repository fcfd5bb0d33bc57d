"""Integer tensors made of sizes: what shape arithmetic computes, symbol by symbol."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastcnn.expansion import shape_of
from fastcnn.graph import Dim, Graph, Node

MAX_ELEMENTS = 64


@dataclass(frozen=True)
class Sizes:
    """A vector (or, scalar=True, a single number) whose elements are numbers or symbols."""

    dims: tuple[Dim, ...]
    scalar: bool = False

    @property
    def known(self) -> np.ndarray | None:
        """The int64 tensor when all elements are numbers."""
        if not all(isinstance(d, int) for d in self.dims):
            return None
        return np.array(self.dims, np.int64).reshape(() if self.scalar else (len(self.dims),))


Known = dict[str, Sizes]


def size_values(graph: Graph) -> Known:
    """Follows sizes from Shape through indexing, joining and casts."""
    known: Known = {}
    for node in graph.nodes:
        rule = _RULES.get(node.op_type) if not node.domain else None
        if rule is None:
            continue
        try:
            found = rule(graph, node, known)
        except (IndexError, ValueError, TypeError, KeyError):      # fails when it is run, if it is run
            continue
        if found is not None:
            known[node.outputs[0]] = found
    return known


def _sizes(graph: Graph, value: str, known: Known) -> Sizes | None:
    array = graph.constants.get(value)
    if array is None:
        return known.get(value)
    if array.dtype.kind != "i" or array.ndim > 1 or array.size > MAX_ELEMENTS:
        return None
    return Sizes(tuple(int(d) for d in array.reshape(-1)), array.ndim == 0)


def _shape(graph: Graph, node: Node, known: Known) -> Sizes | None:
    shape = shape_of(graph, node.inputs[0])
    return None if shape is None else Sizes(tuple(shape)[node.attrs.get("start", 0):node.attrs.get("end")])


def _gather(graph: Graph, node: Node, known: Known) -> Sizes | None:
    sizes, indices = _sizes(graph, node.inputs[0], known), graph.constants.get(node.inputs[1])
    if sizes is None or sizes.scalar or indices is None or indices.ndim > 1:
        return None
    return Sizes(tuple(sizes.dims[int(i)] for i in indices.reshape(-1)), indices.ndim == 0)


def _slice(graph: Graph, node: Node, known: Known) -> Sizes | None:
    sizes = _sizes(graph, node.inputs[0], known)
    if sizes is None or sizes.scalar:
        return None
    if node.version < 10:
        return Sizes(sizes.dims[node.attrs["starts"][0]:node.attrs["ends"][0]])
    start, end = (int(graph.constants[v].reshape(-1)[0]) for v in node.inputs[1:3])
    step = int(graph.constants[node.inputs[4]].reshape(-1)[0]) if node.input(4) else 1
    return Sizes(sizes.dims[start:end:step])


def _concat(graph: Graph, node: Node, known: Known) -> Sizes | None:
    parts = [_sizes(graph, v, known) for v in node.inputs]
    if any(p is None or p.scalar for p in parts):
        return None
    return Sizes(tuple(d for p in parts if p is not None for d in p.dims))


def _recut(graph: Graph, node: Node, known: Known) -> Sizes | None:
    """A scalar becomes a vector of one element, or the other way."""
    sizes, shape = _sizes(graph, node.inputs[0], known), shape_of(graph, node.outputs[0])
    if sizes is None or shape is None or len(shape) > 1:
        return None
    return Sizes(sizes.dims, scalar=not shape)


def _cast(graph: Graph, node: Node, known: Known) -> Sizes | None:
    return _sizes(graph, node.inputs[0], known) if node.attrs["to"] == 7 else None      # to int64


_RULES: dict[str, Callable[[Graph, Node, Known], Sizes | None]] = {
    "Shape": _shape,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _recut,
    "Squeeze": _recut,
    "Reshape": _recut,
    "Cast": _cast,
}
