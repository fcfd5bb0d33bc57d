"""Follows elements of a value back through nodes that only move them (Pad, Slice, Gather, Reshape, Transpose ...)."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.rewrite import scalar, static_shape
from fastcnn.reference import evaluate

MOVING = frozenset({"Concat", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
# Index maps of more elements are not made: int64, and a few of them at a time.
MAX_ELEMENTS = 1 << 23


class IndexMaps:
    """map(value) -> (source, array of 1 + the element of the source at each place, 0 in padding), None where there is none."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.producers = graph, graph.producers()
        self.found: dict[str, tuple[str, np.ndarray] | None] = {}

    def map(self, value: str) -> tuple[str, np.ndarray] | None:
        """The map from the first value that is not made by moving elements; `value` itself may be that."""
        chain = [value]
        while chain:                                   # no recursion: Keras writes a slice for every position
            name = chain[-1]
            node = self.producers.get(name)
            waiting = [] if node is None or not self._moves(node) else [v for v in self._data(node) if v not in self.found]
            if name not in self.found and waiting:
                chain += waiting
                continue
            if name not in self.found:
                self.found[name] = self._moved(node) if node is not None and self._moves(node) else self._start(name)
            chain.pop()
        return self.found[value]

    def _moves(self, node: Node) -> bool:
        """Data in the first input, or all of Concat's; everything else constant, and zeros for padding."""
        if node.domain or node.op_type not in MOVING or node.activation is not None or len(node.outputs) != 1:
            return False
        if node.op_type == "Pad" and (node.attrs.get("mode", "constant") != "constant" or not self._zero_padding(node)):
            return False
        return all(v in self.graph.constants for v in node.inputs[len(self._data(node)):] if v)

    def _zero_padding(self, node: Node) -> bool:
        given = scalar(self.graph, node, 2) if node.input(2) else 0.0
        return given == 0 and node.attrs.get("value", 0.0) == 0

    def _data(self, node: Node) -> tuple[str, ...]:
        return node.inputs if node.op_type == "Concat" else node.inputs[:1]

    def _start(self, name: str) -> tuple[str, np.ndarray] | None:
        shape = static_shape(self.graph, name)
        if shape is None or not 0 < math.prod(shape) <= MAX_ELEMENTS or name in self.graph.constants:
            return None
        return name, np.arange(1, 1 + math.prod(shape)).reshape(shape)

    def _moved(self, node: Node) -> tuple[str, np.ndarray] | None:
        maps = [self.found[v] for v in self._data(node)]
        if any(m is None or m[0] != maps[0][0] for m in maps if maps[0] is not None) or maps[0] is None:
            return None
        arrays: list[np.ndarray | None] = [m[1] for m in maps if m is not None]
        rest = node.inputs[len(arrays):]
        arrays += [self.graph.constants[v] if v and not (node.op_type == "Pad" and k == 1) else None for k, v in enumerate(rest)]
        try:
            moved = evaluate(node, arrays)[0]
        except FastCNNError:
            return None
        return (maps[0][0], moved) if moved.size <= MAX_ELEMENTS else None

