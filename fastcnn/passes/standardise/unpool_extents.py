"""Gives MaxUnpool the shape that its indices refer to: that of the input of the MaxPool before it."""
from __future__ import annotations

from fastcnn.ir.graph import Graph, Node

OUTPUT_SHAPE, EXTENTS = 2, 3        # inputs of MaxUnpool; the second is ours


def unpool_extents(graph: Graph) -> bool:
    """Gives each MaxUnpool with an output_shape, whose indices a MaxPool of the graph found, the shape of that MaxPool's input as input 3.

    The windows of a MaxPool may leave out the last rows: 2x2 of 5x5 are 2x2, and its indices count in rows of 5, where kernel, strides and
    pads of the MaxUnpool give rows of 4.
    """
    producers = graph.producers()
    nodes: list[Node] = []
    for node in graph.nodes:
        pool = producers.get(node.input(1)) if node.op_type == "MaxUnpool" and not node.domain else None
        known = pool is not None and pool.op_type == "MaxPool" and not pool.domain and pool.outputs[1:2] == (node.input(1),)
        if pool is not None and known and node.input(OUTPUT_SHAPE) and not node.input(EXTENTS):
            shape = graph.fresh_name(f"{node.outputs[0]}_extents")
            nodes.append(Node("Shape", pool.inputs[:1], (shape,), name=node.name, version=node.version))
            node = node.but(inputs=(*node.inputs, shape))
        nodes.append(node)
    changed = len(nodes) > len(graph.nodes)
    if changed:
        graph.nodes = nodes
    return changed
