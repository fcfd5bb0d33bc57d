"""Scale and shift after a linear operator or a normalisation go into its weights: BatchNormalization, Mul, Div, Add and Sub a channel.

s * (W x + b) + t = (s W) x + (s b + t), computed in float64. The rewritten weights get names of their own.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.mapping import derived, filler, forget, is_derived
from fastcnn.passes.facts import AFFINE, absorb_readers, affine, batch_affine, has_epilogue
from fastcnn.passes.recognise.group_normalization import BY_CHANNEL
from fastcnn.passes.rewrite import constant


def affine_after(graph: Graph) -> bool:
    """Folds affine nodes, one after another, into the linear operator whose result they alone read."""
    def fold(node: Node, reader: Node) -> Node | None:
        return None if has_epilogue(node) else FOLDS[node.op_type](graph, node, reader)

    return absorb_readers(graph, fold, FOLDS, AFFINE)


def _vector(graph: Graph, node: Node, i: int, size: int) -> np.ndarray | None:
    """Input i as float64 of this size, zeros when it is omitted; None when it is computed."""
    if not node.input(i):
        return np.zeros(size)
    array = constant(graph, node, i)
    return array.reshape(-1).astype(np.float64) if array is not None and array.size == size else None


def _with_weights(graph: Graph, node: Node, w: np.ndarray, factors: np.ndarray, b: np.ndarray) -> Node | None:
    """The node with weights w * factors and bias b; None when they overflow w's type."""
    fill = partial(_scale, filler(w), factors) if is_derived(w) else partial(_scaled, w, factors)
    b, scaled = b.astype(w.dtype), derived(w, fill)
    forget(w)
    finite = math.isfinite(scaled.sum()) or np.isfinite(scaled).all()           # no sum with an infinity in it is finite
    if scaled.size and not (finite and np.isfinite(b).all()):
        return None
    if is_derived(w) and sum(node.inputs[1] in other.reads for other in graph.nodes) <= 1:
        del graph.constants[node.inputs[1]]             # else a chain of folds keeps the weights of each
    inputs = [node.inputs[0], add_constant(graph, f"{node.inputs[1]}.scaled", scaled)]
    return node.but(inputs=(*inputs, add_constant(graph, f"{node.inputs[1]}.bias", b)))


def _scale(fill: Callable[[np.ndarray], None], factors: np.ndarray, out: np.ndarray) -> None:
    """Fills `out` by `fill` and multiplies it by factors, in float64 but without a float64 copy of the whole array."""
    fill(out)
    np.multiply(out, factors, out=out, dtype=np.float64, casting="unsafe")


def _scaled(w: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    """out = w * factors, as _scale() of a copy."""
    np.multiply(w, factors, out=out, dtype=np.float64, casting="unsafe")


def _fold_conv(graph: Graph, node: Node, reader: Node) -> Node | None:
    w = constant(graph, node, 1)
    if w is None or w.dtype.kind != "f":
        return None
    transposed, group = node.op_type == "ConvTranspose", node.attrs.get("group", 1)
    channels = w.shape[1] * group if transposed else w.shape[0]
    bias, found = _vector(graph, node, 2, channels), affine(graph, reader, node.outputs[0], w.ndim, channels, 1)
    if bias is None or found is None:
        return None
    scale, shift = found
    ones = [1] * (w.ndim - 2)
    if transposed:
        factors = np.repeat(scale.reshape(group, 1, w.shape[1]), w.shape[0] // group, axis=1).reshape(
            *w.shape[:2], *ones
        )
    else:
        factors = scale.reshape(-1, 1, *ones)
    return _with_weights(graph, node, w, factors, bias * scale + shift)


def _fold_gemm(graph: Graph, node: Node, reader: Node) -> Node | None:
    b, c = constant(graph, node, 1), constant(graph, node, 2)
    if b is None or b.dtype.kind != "f" or (node.input(2) and (c is None or (c.ndim > 1 and c.shape[0] != 1))):
        return None
    rows_are_outputs = bool(node.attrs.get("transB", 0))
    channels = b.shape[0] if rows_are_outputs else b.shape[1]
    found = affine(graph, reader, node.outputs[0], 2, channels, 1)
    if found is None or (c is not None and c.size not in (1, channels)):
        return None
    scale, shift = found
    old = 0.0 if c is None else c.reshape(-1).astype(np.float64) * node.attrs.get("beta", 1.0)
    factors = scale.reshape(-1, 1) if rows_are_outputs else scale
    folded = _with_weights(graph, node, b, factors, np.broadcast_to(old, channels) * scale + shift)
    return None if folded is None else folded.but(attrs={**node.attrs, "beta": 1.0})


def _fold_matmul(graph: Graph, node: Node, reader: Node) -> Node | None:
    b, shape = constant(graph, node, 1), shape_of(graph, node.outputs[0])
    if b is None or b.ndim != 2 or b.dtype.kind != "f" or shape is None:
        return None
    bias, found = (
        _vector(graph, node, 2, b.shape[1]),
        affine(graph, reader, node.outputs[0], len(shape), b.shape[1], len(shape) - 1),
    )
    if bias is None or found is None:
        return None
    return _with_weights(graph, node, b, found[0], bias * found[0] + found[1])


def _fold_batch_norm(graph: Graph, node: Node, reader: Node) -> Node | None:
    own, shape = batch_affine(graph, node), shape_of(graph, node.outputs[0])
    if own is None or shape is None:
        return None
    found = affine(graph, reader, node.outputs[0], len(shape), own[0].size, 1)
    gamma, beta = constant(graph, node, 1), constant(graph, node, 2)
    if found is None or gamma is None or beta is None:
        return None
    stem = node.outputs[0]
    names = (add_constant(graph, f"{stem}.scale", (gamma * found[0]).astype(gamma.dtype)),
             add_constant(graph, f"{stem}.shift", (beta * found[0] + found[1]).astype(beta.dtype)))
    return node.but(inputs=(node.inputs[0], *names, *node.inputs[3:]))


def _fold_norm(graph: Graph, node: Node, reader: Node) -> Node | None:
    """Instance and group normalisation end with scale and bias a channel; before version 21 those of groups are left alone."""
    gamma, beta, shape = constant(graph, node, 1), constant(graph, node, 2), shape_of(graph, node.outputs[0])
    by_group = node.op_type == "GroupNormalization" and node.version < BY_CHANNEL
    if gamma is None or beta is None or shape is None or by_group:
        return None
    found = affine(graph, reader, node.outputs[0], len(shape), gamma.size, 1)
    if found is None:
        return None
    scaled, shifted = (gamma * found[0]).astype(gamma.dtype), (beta * found[0] + found[1]).astype(beta.dtype)
    if not np.isfinite([*scaled, *shifted]).all():
        return None
    names = add_constant(graph, f"{node.inputs[1]}.scaled", scaled), add_constant(graph, f"{node.inputs[2]}.shifted", shifted)
    return node.but(inputs=(node.inputs[0], *names))


FOLDS: dict[str, Callable[[Graph, Node, Node], Node | None]] = {
    "Conv": _fold_conv,
    "BatchNormalization": _fold_batch_norm,
    "InstanceNormalization": _fold_norm,
    "GroupNormalization": _fold_norm,
    "ConvTranspose": _fold_conv,
    "Gemm": _fold_gemm,
    "MatMul": _fold_matmul,
}
