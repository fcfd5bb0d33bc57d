"""What passes fuse onto a node, as numpy: the definition that native kernels are tested against."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fastcnn.ir.graph import Activation, Node

# Element type -> the operator of this package's own domain that rounds floats to what the type can hold.
OWN_DOMAIN = "fastcnn"
ROUNDINGS = {"tensor(float16)": "RoundFloat16", "tensor(bfloat16)": "RoundBfloat16"}
# Inputs ONNX's own form of an operator has at most; a fused residual, slope or bias stands after them.
_ONNX_ARITY = {"Conv": 3, "ConvTranspose": 3, "MatMul": 2}


def onnx_arity(node: Node) -> int:
    """How many of the node's inputs ONNX knows of."""
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
    return ACTIVATIONS[activation.name](wide, activation.alpha, activation.beta).astype(x.dtype)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def _gelu(x: np.ndarray, *_: float) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))


def _gelu_tanh(x: np.ndarray, *_: float) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """The upper half of a float32, to nearest even."""
    bits = np.atleast_1d(np.asarray(x, np.float32)).view(np.uint32)          # numpy 1 makes int64 of a scalar's bits
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32).reshape(np.shape(x)))


# f(x, alpha, beta): the formulas of ONNX's operators of the same names.
ACTIVATIONS: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    "Relu": lambda x, a, b: np.maximum(x, 0),
    "LeakyRelu": lambda x, a, b: np.where(x < 0, a * x, x),
    "Clip": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "Sigmoid": lambda x, a, b: _sigmoid(x),
    "Tanh": lambda x, a, b: np.tanh(x),
    "HardSigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "HardSwish": lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1),
    "Elu": lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "Selu": lambda x, a, b: b * np.where(x <= 0, a * np.expm1(np.minimum(x, 0)), x),
    "Softplus": lambda x, a, b: _softplus(x),
    "Softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "Mish": lambda x, a, b: x * np.tanh(_softplus(x)),
    "Gelu": _gelu,
    "GeluTanh": _gelu_tanh,
    "Swish": lambda x, a, b: x * _sigmoid(a * x),
    "RoundFloat16": lambda x, a, b: x.astype(np.float16),
    "RoundBfloat16": lambda x, a, b: _bfloat16(x),
}
