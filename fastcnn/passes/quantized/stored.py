"""Constants that a file stores as integers: quantised operators read them directly; for others they become floats."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.reference import evaluate

INTEGERS = (np.int8, np.uint8, np.int32)


def is_stored_as_integers(graph: Graph, node: Node) -> bool:
    """Whether a node makes floats of a constant of integers, in a form that quantized_regions may take."""
    if node.op_type != "DequantizeLinear" or node.domain or node.attrs.get("block_size", 0) or node.attrs.get("output_dtype", 0) > 1:
        return False
    x, scale = graph.constants.get(node.input(0)), graph.constants.get(node.input(1))
    return x is not None and scale is not None and x.dtype in INTEGERS and scale.dtype == np.float32 and scale.ndim <= 1 \
        and all(v in graph.constants for v in node.reads)


def constant_floats(graph: Graph, value: str) -> np.ndarray | None:
    """A constant of floats, or what one of integers stands for; None for other values."""
    array, node = graph.constants.get(value), graph.producers().get(value)
    if array is None and node is not None and is_stored_as_integers(graph, node):
        array = evaluate(node, [graph.constants[v] if v else None for v in node.inputs], {}, graph.opsets)[0]
    return array if array is not None and array.dtype == np.float32 else None


def widen_stored(graph: Graph) -> bool:
    """Makes constants of floats of those that no quantised operator has taken."""
    kept = []
    for node in graph.nodes:
        if not is_stored_as_integers(graph, node):
            kept.append(node)
            continue
        inputs = [graph.constants[v] if v else None for v in node.inputs]
        graph.constants[node.outputs[0]] = np.ascontiguousarray(evaluate(node, inputs, {}, graph.opsets)[0])
    changed = len(kept) < len(graph.nodes)
    if changed:
        graph.nodes = kept
    return changed
