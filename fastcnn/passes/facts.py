"""Predicates and queries on nodes that several passes share, and the loops that replace nodes."""
from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from fastcnn.expansion import type_of
from fastcnn.ir.graph import Activation, Graph, Node
from fastcnn.passes.rewrite import constant, scalar

# Operators that may scale and shift what they read.
AFFINE = frozenset({"BatchNormalization", "Neg", "Mul", "Add", "Sub", "Div"})
FLOATS = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)", "tensor(bfloat16)"})


def is_float(graph: Graph, value: str) -> bool:
    """Whether a value is known to be a tensor of floats."""
    return type_of(graph, value) in FLOATS


def clip_limits(graph: Graph, node: Node) -> tuple[float, float] | None:
    """(min, max) of a Clip, from attributes before opset 11 and constant inputs since; None when they are not known."""
    if node.version < 11:
        return node.attrs.get("min", -math.inf), node.attrs.get("max", math.inf)
    limits = []
    for i, default in ((1, -math.inf), (2, math.inf)):
        limit = scalar(graph, node, i) if node.input(i) else default
        if limit is None:
            return None
        limits.append(limit)
    return limits[0], limits[1]


def limits_of(graph: Graph, node: Node) -> tuple[float, float] | None:
    """(least, largest) result of a Relu or a Clip; None for other nodes, and where a limit is not known or the least is larger."""
    if node.domain or node.activation is not None:
        return None
    if node.op_type == "Relu":
        return 0.0, math.inf
    limits = clip_limits(graph, node) if node.op_type == "Clip" else None
    return limits if limits is not None and limits[0] <= limits[1] else None


def limits_of_activation(activation: Activation) -> tuple[float, float] | None:
    """The same of an epilogue."""
    if activation.name == "Relu":
        return 0.0, math.inf
    return (activation.alpha, activation.beta) if activation.name == "Clip" else None


def reduced_axes(graph: Graph, node: Node) -> list[int] | None:
    """`axes` of a reduction, an attribute or a constant input; None when there are none or they are computed."""
    array = constant(graph, node, 1)
    return node.attrs.get("axes") if array is None else [int(a) for a in array.reshape(-1)]


def sole_reader(node: Node, consumers: Mapping[str, list[Node]], outputs: set[str]) -> Node | None:
    """The node that alone reads the only output of `node`, once; None where there are other readers."""
    value = node.outputs[0]
    readers = consumers.get(value)
    if readers is None or len(readers) != 1 or value in outputs or (len(node.outputs) > 1 and any(node.outputs[1:])):
        return None
    return readers[0] if readers[0].reads.count(value) == 1 else None


def has_epilogue(node: Node) -> bool:
    """Whether something is fused onto the node's result (residual, activation, slope)."""
    if node.op_type in ("Conv", "ConvTranspose", "MatMul") and any(node.inputs[3:]):
        return True
    return node.activation is not None


def has_slope(node: Node) -> bool:
    """Whether a PRelu is fused onto the node."""
    return node.op_type in ("Conv", "ConvTranspose") and bool(node.input(4))


def per_channel(array: np.ndarray, rank: int, channels: int, axis: int) -> np.ndarray | None:
    """The constant as a float64 vector, one number a channel, when it broadcasts so and only so; a scalar is spread."""
    if array.dtype.kind != "f" or array.ndim > rank or not np.isfinite(array).all():
        return None
    if array.size == 1:
        return np.full(channels, float(array.reshape(())))
    shape = (1,) * (rank - array.ndim) + array.shape
    if array.size != channels or shape[axis] != channels:
        return None
    return array.reshape(-1).astype(np.float64)


def batch_affine(graph: Graph, node: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, shift) of y = scale * x + shift, float64 vectors, of a BatchNormalization with constant parameters."""
    if any(node.outputs[1:]) or node.attrs.get("training_mode", 0) or not node.attrs.get("spatial", 1):
        return None
    parameters = [constant(graph, node, i) for i in range(1, 5)]
    if any(p is None or p.ndim != 1 for p in parameters):
        return None
    gamma, beta, mean, var = (p.astype(np.float64) for p in parameters if p is not None)
    scale = gamma / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
    shift = beta - mean * scale
    return (scale, shift) if np.isfinite(scale).all() and np.isfinite(shift).all() else None


def affine(
    graph: Graph, node: Node, value: str, rank: int, channels: int, axis: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, shift) a channel of a node that maps `value` to scale * value + shift; None for any other node.

    rank, axis: how many axes the value has and which is the channels'. The node must not add axes or sizes to it.
    """
    if node.domain or node.activation is not None:
        return None
    if node.op_type == "BatchNormalization":
        found = batch_affine(graph, node) if axis == 1 and node.inputs[0] == value else None
        return found if found is not None and found[0].size == channels else None
    if node.op_type == "Neg":
        return -np.ones(channels), np.zeros(channels)
    if node.op_type not in AFFINE or len(node.inputs) != 2:
        return None
    side = 1 if node.inputs[0] == value else 0
    array = constant(graph, node, side)
    vector = per_channel(array, rank, channels, axis) if array is not None else None
    if vector is None or (side == 0 and node.op_type == "Div"):
        return None
    ones, zeros = np.ones(channels), np.zeros(channels)
    if node.op_type == "Add":
        return ones, vector
    if node.op_type == "Sub":
        return (ones, -vector) if side == 1 else (-ones, vector)
    return (vector, zeros) if node.op_type == "Mul" else (1 / vector, zeros) if vector.all() else None


def replace_nodes(graph: Graph, changed: Mapping[int, Node | None]) -> bool:
    """Replaces nodes: id of the old node -> the new node, or None to remove it. True if there were any."""
    if changed:
        graph.nodes = [m for m in [changed.get(id(n), n) for n in graph.nodes] if m is not None]
    return bool(changed)


def replace_by_several(graph: Graph, changed: Mapping[int, Sequence[Node]]) -> bool:
    """Replaces nodes: id of the old node -> the new nodes. True if there were any."""
    if changed:
        graph.nodes = [m for n in graph.nodes for m in changed.get(id(n), (n,))]
    return bool(changed)


def absorb_readers(graph: Graph, absorb: Callable[[Node, Node], Node | None], starts: Collection[str], taken_in: Collection[str]) -> bool:
    """Merges nodes of the operators `starts` with their only readers: absorb(node, reader) returns the merged node, or None to stop.

    taken_in  the operators of such readers

    The result stands at the node's place and writes the last reader's outputs. True when something was taken in.
    """
    there = graph.operators()
    if there.isdisjoint(starts) or there.isdisjoint(taken_in):
        return False
    consumers, outputs = graph.consumers(), graph.output_names()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.op_type not in starts or node.domain or id(node) in changed:
            continue
        merged = node
        while True:
            reader = sole_reader(merged, consumers, outputs)
            taken = absorb(merged, reader) if reader is not None and reader.op_type in taken_in else None
            if taken is None or reader is None:
                break
            changed[id(reader)] = None
            merged = taken.but(outputs=reader.outputs)
        if merged is not node:
            changed[id(node)] = merged
    return replace_nodes(graph, changed)
