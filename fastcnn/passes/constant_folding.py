"""Nodes whose value does not depend on the graph's inputs, computed once; sizes that are known, known as constants."""
from __future__ import annotations

import math

import numpy as np

from ..errors import ExecutionError, ShapeError, UnsupportedOperatorError
from ..graph import Dim, Graph, Node
from ..inference import infer_types
from ..reference import evaluate, infer_outputs
from .rewrite import shape_of

# A folded value costs memory for as long as the model lives: large ones only where the inputs are about as large.
MAX_BYTES = 64 << 20
SMALL_BYTES = 1 << 20
MAX_GROWTH = 4

RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"})
# Operators that can make much out of little: their size is asked for before they are computed.
GROWING = frozenset({"ConstantOfShape", "EyeLike", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample", "Loop",
                     "Scan", "SequenceMap", "CenterCropPad", "Col2Im", "MelWeightMatrix", "HannWindow", "HammingWindow",
                     "BlackmanWindow", "MatMul", "Gemm", "Einsum", "Gather", "Conv", "ConvTranspose"})


def constant_folding(graph: Graph) -> bool:
    """Replaces nodes by constants; runs shape inference anew when that may tell more."""
    sizes: dict[str, list[Dim]] = {}
    kept: list[Node] = []
    before = len(graph.nodes)
    for node in graph.nodes:
        values = _known_sizes(graph, node, sizes) or _folded(graph, node)
        if values is None:
            kept.append(node)
            continue
        for name, value in zip(node.outputs, values):
            if name:
                graph.constants[name] = value
    graph.nodes = kept
    changed = len(kept) < before
    if changed:
        graph.metadata["types"], graph.metadata["shapes"] = infer_types(graph)
    return changed


def _folded(graph: Graph, node: Node) -> list[np.ndarray] | None:
    if node.op_type in RANDOM or not all(v in graph.constants for v in node.reads):
        return None
    inputs = [graph.constants[v] if v else None for v in node.inputs]
    read = sum(graph.constants[v].nbytes for v in node.reads)
    if node.op_type in GROWING and not _affordable(_inferred_bytes(graph, node, inputs), read):
        return None
    try:
        outputs = evaluate(node, inputs, {inner: graph.constants[v] for inner, v in node.captures}, graph.opsets)
    except (ExecutionError, UnsupportedOperatorError):      # it fails when it is run, if it is run
        return None
    if not all(isinstance(y, np.ndarray) for y in outputs) or not _affordable(sum(y.nbytes for y in outputs), read):
        return None
    return [np.ascontiguousarray(y).reshape(y.shape) for y in outputs]


def _affordable(size: int | None, read: int) -> bool:
    return size is not None and size <= MAX_BYTES and (size <= SMALL_BYTES or size <= MAX_GROWTH * read)


def _inferred_bytes(graph: Graph, node: Node, inputs: list[np.ndarray | None]) -> int | None:
    types = [None if x is None else (x.dtype, x.shape) for x in inputs]
    try:
        outputs = infer_outputs(node, types, graph.constants, graph.opsets)
    except ShapeError:
        return None
    if any(t is None for t in outputs):
        return None
    return sum(t[0].itemsize * math.prod(t[1]) for t in outputs if t is not None)


def _known_sizes(graph: Graph, node: Node, sizes: dict[str, list[Dim]]) -> list[np.ndarray] | None:
    """Follows sizes, known and symbolic, from Shape through indexing; an array once all that is left are numbers."""
    if node.domain or node.op_type not in _SIZE_RULES:
        return None
    try:
        found = _SIZE_RULES[node.op_type](graph, node, sizes)
    except (IndexError, ValueError, TypeError):
        return None
    if found is None:
        return None
    if all(isinstance(d, int) for d in found):
        shape = () if _is_scalar_gather(graph, node) else (len(found),)
        return [np.array(found, np.int64).reshape(shape)]
    if not _is_scalar_gather(graph, node):
        sizes[node.outputs[0]] = found
    return None


def _is_scalar_gather(graph: Graph, node: Node) -> bool:
    return node.op_type == "Gather" and graph.constants[node.inputs[1]].ndim == 0


def _shape_rule(graph: Graph, node: Node, sizes: dict[str, list[Dim]]) -> list[Dim] | None:
    shape = shape_of(graph, node.inputs[0])
    return None if shape is None else list(shape)[node.attrs.get("start", 0):node.attrs.get("end")]


def _gather_rule(graph: Graph, node: Node, sizes: dict[str, list[Dim]]) -> list[Dim] | None:
    dims, indices = sizes.get(node.inputs[0]), graph.constants.get(node.inputs[1])
    if dims is None or indices is None or indices.ndim > 1:
        return None
    return [dims[int(i)] for i in indices.reshape(-1)]


def _slice_rule(graph: Graph, node: Node, sizes: dict[str, list[Dim]]) -> list[Dim] | None:
    dims = sizes.get(node.inputs[0])
    if dims is None:
        return None
    if node.version < 10:
        return dims[node.attrs["starts"][0]:node.attrs["ends"][0]]
    parameters = [graph.constants.get(v) for v in node.inputs[1:] if v]
    if any(p is None for p in parameters):
        return None
    start, end = (int(p[0]) for p in parameters[:2])
    step = int(graph.constants[node.inputs[4]][0]) if node.input(4) else 1
    return dims[start:end:step]


_SIZE_RULES = {"Shape": _shape_rule, "Gather": _gather_rule, "Slice": _slice_rule}
