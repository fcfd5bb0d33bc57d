"""Removes nodes that compute the same as another node."""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.fold.constant_folding import RANDOM
from fastcnn.passes.rewrite import Bypass


def duplicate_removal(graph: Graph) -> bool:
    """Readers of the second of two equal nodes read the first; random and control-flow nodes are left alone."""
    alike: dict[Any, Node] = {}                 # the first node by what is quick to compare
    seen: dict[Any, Node] = {}                  # where there are several: each by all that it computes with
    bypass = Bypass(graph)
    for node in graph.nodes:
        inputs = tuple([bypass.resolve(v) for v in node.inputs]) if bypass.names else node.inputs
        key = node.op_type, inputs, node.domain
        other = alike.setdefault(key, node)
        if other is node or not _is_repeatable(node):
            continue
        if _is_repeatable(other):
            seen.setdefault((key, _rest(other)), other)
        first = seen.setdefault((key, _rest(node)), node)
        if first is not node and node.outputs[0] not in bypass.outputs:
            bypass.take_out(node, first.outputs[0])
    return bypass.apply()


def _is_repeatable(node: Node) -> bool:
    return not node.bodies and node.op_type not in RANDOM and len([v for v in node.outputs if v]) == 1


def _rest(node: Node) -> Any:
    """A key of everything in which two nodes with equal operator and inputs may differ."""
    return node.version, node.activation, tuple(sorted((k, _key(v)) for k, v in node.attrs.items()))


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    return tuple(map(_key, value)) if isinstance(value, list) else repr(value)
