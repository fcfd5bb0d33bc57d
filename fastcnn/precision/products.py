"""The products that can be computed on bytes: Conv, ConvTranspose, Gemm and MatMul with constant weights; and their axis of outputs."""
from __future__ import annotations

import weakref
from functools import partial

import numpy as np

from fastcnn.expansion import shape_of
from fastcnn.ir.graph import Graph, Node

CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = (*CONVOLUTIONS, "Gemm", "MatMul")
WEIGHT, BIAS = 1, 2                     # inputs
LARGEST_SUM = 2 ** 30                   # of 255 * |w|: 32 bits hold that and a bias as large


_FINITE: dict[int, weakref.ref[np.ndarray]] = {}        # constants that have been looked at, by id


def _is_finite(array: np.ndarray) -> bool:
    """Whether a constant, which does not change, holds finite numbers alone; each is looked at once."""
    known = _FINITE.get(id(array))
    if known is not None and known() is array:
        return True
    finite = bool(np.isfinite(array).all())
    if finite:
        _FINITE[id(array)] = weakref.ref(array, partial(_forget, id(array)))
    return finite


def _forget(key: int, gone: weakref.ref[np.ndarray]) -> None:
    if _FINITE.get(key) is gone:
        del _FINITE[key]


def is_product(graph: Graph, node: Node) -> bool:
    """Whether a node is one whose sums of bytes fit into 32 bits."""
    if node.domain or node.op_type not in PRODUCTS or graph.types.get(node.input(0)) != "tensor(float)":
        return False
    w, bias = graph.constants.get(node.input(WEIGHT)), graph.constants.get(node.input(BIAS))
    if w is None or w.dtype != np.float32 or not w.size or not _is_finite(w):
        return False
    if node.input(BIAS) and (bias is None or not _is_finite(bias)):
        return False
    if node.op_type in CONVOLUTIONS:            # weights of a transposed one have no axis for the outputs of all groups
        plain = (w.ndim in (3, 4) or _is_plain_volume(node, w)) and (node.op_type == "Conv" or node.attrs.get("group", 1) == 1)
    else:
        plain = w.ndim == 2 and len(shape_of(graph, node.input(0)) or ()) >= 2
    if node.op_type == "Gemm":
        attrs = node.attrs
        plain &= attrs.get("alpha", 1.0) == 1.0 and not attrs.get("transA", 0) and (bias is None or attrs.get("beta", 1.0) == 1.0)
    outputs = w.shape[output_axis(node)] if plain else 0
    return plain and (bias is None or bias.size == outputs) and 255 * 127 * (w.size // outputs) < LARGEST_SUM


def _is_plain_volume(node: Node, w: np.ndarray) -> bool:
    """A convolution over three axes that there is on bytes: dense, not dilated in depth."""
    return w.ndim == 5 and node.op_type == "Conv" and node.attrs.get("group", 1) == 1 == node.attrs.get("dilations", (1,))[0]


def output_axis(node: Node) -> int:
    """The axis of a product's weights that counts outputs."""
    return 1 if node.op_type in ("MatMul", "ConvTranspose") or (node.op_type == "Gemm" and not node.attrs.get("transB", 0)) else 0


def rows(node: Node, w: np.ndarray) -> np.ndarray:
    """Weights as (outputs, what each sums over)."""
    outputs_first = np.moveaxis(w, output_axis(node), 0)
    return np.ascontiguousarray(outputs_first.reshape(len(outputs_first), -1))


def weights_of(node: Node, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of this shape whose rows() these are."""
    axis = output_axis(node)
    outputs_first = (shape[axis], *shape[:axis], *shape[axis + 1:])
    return np.moveaxis(rows.reshape(outputs_first), 0, axis)
