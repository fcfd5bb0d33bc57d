"""The epilogue of a node (bias, residual, activation that passes fuse onto it) in numpy: the definition for tests of native kernels."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastcnn.ir.graph import Activation, Node
from fastcnn.operators.cards import FORMULAS

# Inputs ONNX's own form of an operator has at most; a fused residual, slope or bias stands after them.
_ONNX_ARITY = {"Conv": 3, "ConvTranspose": 3, "MatMul": 2}


def onnx_arity(node: Node) -> int:
    """The number of the node's inputs that ONNX defines; passes append others."""
    return len(node.inputs) if node.domain else _ONNX_ARITY.get(node.op_type, len(node.inputs))


def apply_epilogue(node: Node, y: np.ndarray, extra: Sequence[np.ndarray | None]) -> np.ndarray:
    """activation(y + residual), or PRelu with a slope per channel in its stead; MatMul's extra inputs are bias and residual."""
    before = () if node.op_type == "MatMul" else (None,)
    bias, residual, slope = (*before, *extra, None, None, None)[:3]
    if bias is not None:
        y = y + bias
    if residual is not None:
        y = y + residual
    if slope is not None:
        column = np.reshape(slope, (-1,) + (1,) * (y.ndim - 2))
        y = np.where(y < 0, y * column, y)
    return y if node.activation is None else activate(y, node.activation)


def activate(x: np.ndarray, activation: Activation) -> np.ndarray:
    """f(x) in the type of x, computed in float64 (float types only)."""
    wide = x.astype(np.float64)
    return FORMULAS[activation.name](wide, activation.alpha, activation.beta).astype(x.dtype)
