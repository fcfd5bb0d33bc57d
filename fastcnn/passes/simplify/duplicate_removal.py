"""Nodes that compute what another one does already."""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.fold.constant_folding import RANDOM
from fastcnn.passes.rewrite import Bypass


def duplicate_removal(graph: Graph) -> bool:
    """Readers of the second of two equal nodes read the first; random and control-flow nodes are left alone."""
    seen: dict[Any, Node] = {}
    bypass = Bypass(graph)
    for node in graph.nodes:
        if node.bodies or node.op_type in RANDOM or len([v for v in node.outputs if v]) != 1:
            continue
        key = (node.op_type, node.domain, node.version, tuple(bypass.resolve(v) for v in node.inputs), node.activation,
               tuple(sorted((k, _key(v)) for k, v in node.attrs.items())))
        first = seen.setdefault(key, node)
        if first is not node and node.outputs[0] not in bypass.outputs:
            bypass.take_out(node, first.outputs[0])
    return bypass.apply()


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    return tuple(map(_key, value)) if isinstance(value, list) else repr(value)
