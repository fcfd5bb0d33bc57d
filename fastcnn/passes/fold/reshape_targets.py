"""Reshape targets computed from the input's own sizes become constants: 0 copies a size, -1 is what is left.

Exporters write Shape, Gather, Unsqueeze and Concat to flatten a batch of unknown size; [0, -1] says the same.
"""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Dim, Graph, Node
from fastcnn.passes.facts import replace_nodes


def reshape_targets(graph: Graph) -> bool:
    """Writes constant targets where at most one size is not a number and not one of the input's in its place."""
    known = graph.contents or {}
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.op_type != "Reshape" or node.domain or node.inputs[1] not in known or node.attrs.get("allowzero", 0):
            continue
        target = _constant_target(known[node.inputs[1]].dims, shape_of(graph, node.inputs[0]) or ())
        if target is not None:
            name = add_constant(graph, f"{node.outputs[0]}.shape", np.array(target, np.int64))
            changed[id(node)] = node.but(inputs=(node.inputs[0], name))
    return replace_nodes(graph, changed)


def _constant_target(dims: tuple[Dim, ...], source: tuple[Dim, ...]) -> list[int] | None:
    target = [d if isinstance(d, int) else 0 if i < len(source) and d is not None and d == source[i] else None
              for i, d in enumerate(dims)]
    if target.count(None) > 1 or (None in target and -1 in target):
        return None
    return [-1 if d is None else d for d in target]
