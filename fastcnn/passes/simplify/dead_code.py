"""Removes nodes and constants that nothing reads."""
from __future__ import annotations

from fastcnn.ir.graph import Graph


def dead_code(graph: Graph) -> bool:
    """Keeps the nodes and constants that a graph output depends on."""
    needed = graph.output_names()
    kept = []
    for node in reversed(graph.nodes):
        outputs = node.outputs
        if (outputs and outputs[0] in needed) or (len(outputs) > 1 and not needed.isdisjoint(outputs)):
            kept.append(node)
            needed.update(node.reads)
    unread = graph.constants.keys() - needed
    for name in unread:
        del graph.constants[name]
    if len(kept) == len(graph.nodes):
        return bool(unread)
    graph.nodes = kept[::-1]
    return True
