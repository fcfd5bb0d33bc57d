"""Computes nodes that do not depend on the graph's inputs once, at load; known sizes become constants too."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.budget import MAX_RANK, MOST_FOLDED_ROUNDS
from fastcnn.ir.errors import ExecutionError, ShapeError, UnsupportedOperatorError
from fastcnn.ir.graph import Graph, Node, is_control_flow
from fastcnn.ir.spec import Args, Spec
from fastcnn.passes.quantized.stored import is_stored_as_integers
from fastcnn.reference import evaluate, infer_outputs

# A folded value costs memory for as long as the model lives: large ones only where the inputs are about as large.
MAX_BYTES = 64 << 20
SMALL_BYTES = 1 << 20
MAX_GROWTH = 4
MAX_REPEATED_BYTES = 1 << 31

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
# Operators that can make much out of little: their size is asked for before they are computed.
GROWING = frozenset({"EyeLike", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample", "Loop",
                     "Scan", "SequenceMap", "CenterCropPad", "Col2Im", "MelWeightMatrix", "HannWindow", "HammingWindow",
                     "BlackmanWindow", "MatMul", "Gemm", "Einsum", "Gather", "Conv", "ConvTranspose"})


def constant_folding(graph: Graph) -> bool:
    """Replaces nodes by constants."""
    sizes = graph.contents or {}
    kept: list[Node] = []
    before = len(graph.nodes)
    constants = graph.constants
    for node in graph.nodes:
        size = sizes[node.outputs[0]].known if node.outputs[0] in sizes else None
        if size is None and node.reads and node.reads[0] not in constants:          # most nodes: what they read first is computed
            kept.append(node)
            continue
        values = [size] if size is not None else _folded(graph, node)
        if values is None:
            kept.append(node)
            continue
        for name, value in zip(node.outputs, values):
            if name:
                graph.constants[name] = value
    if len(kept) < before:
        graph.nodes = kept
    return len(kept) < before


def _folded(graph: Graph, node: Node) -> list[np.ndarray] | None:
    if not graph.constants.keys() >= set(node.reads) or _is_random(node) or is_stored_as_integers(graph, node):
        return None
    inputs = [graph.constants[v] if v else None for v in node.inputs]
    read = sum(graph.constants[v].nbytes for v in node.reads)
    if node.op_type == "ConstantOfShape" and not node.domain:
        return _constant_of_shape(node, graph.constants[node.inputs[0]])
    if is_control_flow(node) and _rounds(node, inputs) > MOST_FOLDED_ROUNDS:
        return None
    asked = node.op_type in GROWING or any(x is not None and not x.size for x in inputs)
    if asked and not _affordable(_inferred_bytes(node, inputs), read):
        return None
    try:
        outputs = evaluate(node, inputs, {inner: graph.constants[v] for inner, v in node.captures}, graph.opsets)
    except (ExecutionError, UnsupportedOperatorError):      # it fails when it is run, if it is run
        return None
    if not all(isinstance(y, np.ndarray) for y in outputs) or not _affordable(sum(y.nbytes for y in outputs), read):
        return None
    return [np.ascontiguousarray(y).reshape(y.shape) for y in outputs]


def _rounds(node: Node, inputs: list[np.ndarray | None]) -> float:
    """The most rounds that the bodies of a node can run; infinite where that is not known."""
    if any(is_control_flow(inner) and inner.op_type != "If" for body in node.bodies.values() for inner in body.nodes):
        return math.inf                      # loops in loops multiply
    if node.op_type == "Loop":
        return math.inf if inputs[0] is None else int(inputs[0].reshape(-1)[0])
    return max((max(x.shape, default=0) for x in inputs if x is not None), default=0) if node.op_type == "Scan" else 1


def _is_random(node: Node) -> bool:
    return node.op_type in RANDOM or any(_is_random(inner) for body in node.bodies.values() for inner in body.nodes)


def _constant_of_shape(node: Node, shape: np.ndarray) -> list[np.ndarray] | None:
    """One element repeated by strides of zero: takes no memory, so that only absurd sizes are left to run time."""
    value = node.attrs.get("value", np.zeros(1, np.float32))
    sizes = tuple(int(d) for d in np.ravel(shape))
    if value.size != 1 or any(d < 0 for d in sizes) or len(sizes) > MAX_RANK or _loops(sizes) * value.itemsize > MAX_REPEATED_BYTES:
        return None
    return [np.broadcast_to(value.reshape(()), sizes)]


def _loops(shape: tuple[int, ...]) -> int:
    """The number of elements with extents of 0 counted as 1, a bound for the time of loops over the tensor."""
    return math.prod([max(extent, 1) for extent in shape])


def _affordable(size: int | None, read: int) -> bool:
    return size is not None and size <= MAX_BYTES and (size <= SMALL_BYTES or size <= MAX_GROWTH * read)


def _inferred_bytes(node: Node, inputs: list[np.ndarray | None]) -> int | None:
    """Bytes of the outputs, and of empty inputs if their extents of 0 were 1; None where shapes are unknown."""
    specs = tuple(None if x is None else Spec(x.dtype, x.shape) for x in inputs)
    try:
        outputs = infer_outputs(Args(node, specs, tuple(inputs)))
    except ShapeError:
        return None
    if None in outputs:
        return None
    empty = [spec for spec in specs if spec is not None and not spec.size]
    return sum(spec.dtype.itemsize * _loops(spec.shape) for spec in [*outputs, *empty] if spec is not None)
