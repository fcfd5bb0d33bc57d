"""Nodes without readers, constants without readers."""
from __future__ import annotations

from fastcnn.ir.graph import Graph


def dead_code(graph: Graph) -> bool:
    """Keeps what a graph output depends on."""
    needed = graph.output_names()
    kept = []
    for node in reversed(graph.nodes):
        if any(v in needed for v in node.outputs):
            kept.append(node)
            needed.update(node.reads)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    changed = len(kept) < len(graph.nodes) or len(constants) < len(graph.constants)
    graph.nodes, graph.constants = kept[::-1], constants
    return changed
