"""Recognises channel shuffles: they become a Gather along axis 1 (ShuffleNet: Zhang et al., CVPR 2018).

Reshape (N, C, ...) to (N, g, C/g, ...), Transpose of the two, Reshape back: y[:, i*g + k] = x[:, k*C/g + i].
"""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import replace_by_several, sole_reader
from fastcnn.passes.rewrite import constant, same_shape


def channel_order_of(graph: Graph, node: Node) -> np.ndarray | None:
    """The channels of its input in the order in which a Gather along axis 1 takes them; None for any other node."""
    if node.op_type != "Gather" or node.domain or node.attrs.get("axis", 0) != 1:
        return None
    indices = constant(graph, node, 1)
    shape = shape_of(graph, node.inputs[0]) if node.inputs else None
    channels = shape[1] if shape is not None and len(shape) > 2 else None
    if indices is None or not isinstance(channels, int):
        return None
    if indices.ndim != 1 or indices.size == 0:
        return None
    least = np.minimum.reduce(indices)
    if least < -channels or np.maximum.reduce(indices) >= channels:
        return None
    return indices if least >= 0 and indices.dtype == np.int64 else indices.astype(np.int64) % channels


def channel_gather(graph: Graph, like: Node, source: str, order: np.ndarray, output: str) -> Node:
    """The Gather of these channels of `source`, named like another node."""
    indices = add_constant(graph, f"{output}.channels", order.astype(np.int64))
    version = max(graph.opsets.get("", 1), 1)
    return Node("Gather", (source, indices), (output,), {"axis": 1}, like.name, "", version)


def shuffle_to_gather(graph: Graph) -> bool:
    """Replaces every Reshape, Transpose, Reshape that is a channel shuffle; nothing else may read what is between them."""
    consumers, outputs = graph.consumers(), graph.output_names()
    new: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op_type != "Reshape" or node.domain:
            continue
        transpose = sole_reader(node, consumers, outputs)
        back = sole_reader(transpose, consumers, outputs) if transpose is not None else None
        if transpose is None or back is None or transpose.op_type != "Transpose" or back.op_type != "Reshape" or back.domain:
            continue
        order = _shuffled(graph, node, transpose, back)
        if order is not None:
            new[id(node)] = new[id(transpose)] = []
            new[id(back)] = [channel_gather(graph, back, node.inputs[0], order, back.outputs[0])]
    return replace_by_several(graph, new)


def _shuffled(graph: Graph, split: Node, transpose: Node, back: Node) -> np.ndarray | None:
    x, parts, y = (shape_of(graph, v) for v in (split.inputs[0], split.outputs[0], back.outputs[0]))
    if x is None or parts is None or len(x) < 3 or len(parts) != len(x) + 1 or transpose.domain or not same_shape(x, y):
        return None
    groups, each, channels = parts[1], parts[2], x[1]
    if not isinstance(groups, int) or not isinstance(each, int) or groups * each != channels or min(groups, each) < 2:
        return None
    if transpose.attrs.get("perm") != [0, 2, 1, *range(3, len(parts))] or parts[:1] + parts[3:] != x[:1] + x[2:]:
        return None
    return np.arange(groups * each).reshape(groups, each).T.reshape(-1)


def gather_slicing(graph: Graph) -> bool:
    """Slices and Splits of a channel Gather, its only readers, become Gathers of their own."""
    consumers, outputs = graph.consumers(), graph.output_names()
    new: dict[int, list[Node]] = {}
    for node in graph.nodes:
        order = channel_order_of(graph, node)
        if order is None or node.outputs[0] in outputs:
            continue
        parts = [_parts(graph, reader, node.outputs[0], order) for reader in consumers.get(node.outputs[0], [])]
        if not parts or any(part is None for part in parts):
            continue
        new[id(node)] = []
        for reader, part in zip(consumers[node.outputs[0]], parts):
            new[id(reader)] = [channel_gather(graph, reader, node.inputs[0], taken, name) for name, taken in part or []]
    return replace_by_several(graph, new)


def _parts(graph: Graph, reader: Node, value: str, order: np.ndarray) -> list[tuple[str, np.ndarray]] | None:
    """(output, channels) of a node that cuts the value along axis 1; None where it does anything else."""
    if reader.domain or reader.reads.count(value) != 1 or reader.inputs[0] != value:
        return None
    rank = len(shape_of(graph, value) or ())
    if reader.op_type == "Split":
        sizes = [shape[1] if (shape := shape_of(graph, v)) is not None and len(shape) == rank else None for v in reader.outputs]
        known = [n for n in sizes if isinstance(n, int)]
        if reader.attrs.get("axis", 0) % max(rank, 1) != 1 or len(known) != len(sizes) or sum(known) != order.size or 0 in known:
            return None
        return [(v, part) for v, part in zip(reader.outputs, np.split(order, np.cumsum(known)[:-1])) if v]
    if reader.op_type != "Slice" or reader.version < 10:
        return None
    starts, ends, axes, steps = (constant(graph, reader, i) for i in (1, 2, 3, 4))
    if starts is None or ends is None or axes is None or (reader.input(4) and steps is None):
        return None
    if axes.size != 1 or int(axes[0]) % max(rank, 1) != 1 or (steps is not None and steps[0] != 1):
        return None
    taken = order[int(starts[0]):int(ends[0])]
    return [(reader.outputs[0], taken)] if taken.size else None
