"""Operators that onnx.reference lacks: quantised ones of com.microsoft, and LocallyConnected. Passes rewrite those on floats.

They compute on real values (x - zero_point) * scale and round the result half to even, as in onnxruntime.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Activation, Node
from fastcnn.operators.elementwise import OWN_DOMAIN, ROUNDINGS
from fastcnn.operators.epilogue import activate
from fastcnn.reference.conv import mean_windows
from fastcnn.reference.quantized_lstm import dynamic_quantize_lstm

Inputs = Sequence[Any]
Contrib = Callable[[Node, Inputs], list[np.ndarray]]


def _real(x: np.ndarray, scale: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    return (x.astype(np.float64) - (0.0 if zero is None else zero.astype(np.float64))) * scale.astype(np.float64)


def _quantised(y: np.ndarray, scale: np.ndarray, zero: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    limits = np.iinfo(dtype)
    whole = np.rint(y / scale.astype(np.float64)) + (0.0 if zero is None else zero.astype(np.float64))
    return np.clip(whole, limits.min, limits.max).astype(dtype)


def _binary(f: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Contrib:
    """(A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero): C = f(A, B)."""
    def apply(node: Node, inputs: Inputs) -> list[np.ndarray]:
        a, a_scale, a_zero, b, b_scale, b_zero, c_scale, c_zero = (*inputs, None)[:8]
        return [_quantised(f(_real(a, a_scale, a_zero), _real(b, b_scale, b_zero)), c_scale, c_zero, a.dtype)]
    return apply


def _unary(f: Callable[[Node, np.ndarray], np.ndarray]) -> Contrib:
    """(X, X_scale, X_zero, Y_scale, Y_zero): Y = f(X)."""
    def apply(node: Node, inputs: Inputs) -> list[np.ndarray]:
        x, x_scale, x_zero, y_scale, y_zero = (*inputs, None)[:5]
        return [_quantised(f(node, _real(x, x_scale, x_zero)), y_scale, y_zero, x.dtype)]
    return apply


def _channels_first(node: Node, f: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    if not node.attrs.get("channels_last", 0):
        return f(x)
    return np.moveaxis(f(np.moveaxis(x, -1, 1)), 1, -1)


def _average_pool(node: Node, x: np.ndarray) -> np.ndarray:
    return _channels_first(node, lambda v: mean_windows(node, v), x)


def _global_average_pool(node: Node, x: np.ndarray) -> np.ndarray:
    return _channels_first(node, lambda v: v.mean(tuple(range(2, v.ndim)), keepdims=True), x)


def _softmax(node: Node, x: np.ndarray) -> np.ndarray:
    """Over `axis`; over all axes from it on in models before opset 13, which the attribute `opset` says."""
    axis = node.attrs.get("axis", -1)
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1) if node.attrs.get("opset", 13) < 13 else np.moveaxis(x, axis, -1)
    e = np.exp(rows - rows.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y.reshape(x.shape) if node.attrs.get("opset", 13) < 13 else np.moveaxis(y, -1, axis)


def qlinear_concat(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(Y_scale, Y_zero, X0, X0_scale, X0_zero, X1, ...): the X one after the other along `axis`, in Y's scale."""
    y_scale, y_zero, *rest = inputs
    parts = [_real(*rest[i:i + 3]) for i in range(0, len(rest), 3)]
    return [_quantised(np.concatenate(parts, node.attrs["axis"]), y_scale, y_zero, rest[0].dtype)]


def locally_connected(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """y[n,m,i,j] = b[i,j,m] + sum_{r,s,c} w[i,j,r,s,c,m] x[n, c, i*sh - pt + r*dh, j*sw - pl + s*dw]: what a pass makes of an unfold."""
    x, w, bias = (*inputs, None)[:3]
    (sh, sw), (dh, dw), (pt, pl) = (node.attrs[name] for name in ("strides", "dilations", "pads"))
    oh, ow, kh, kw, _, m = w.shape
    y = np.zeros((x.shape[0], m, oh, ow), np.float64)
    for i, j, r, s in np.ndindex(oh, ow, kh, kw):
        row, column = i * sh - pt + r * dh, j * sw - pl + s * dw
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            y[:, :, i, j] += x[:, :, row, column] @ w[i, j, r, s]
    return [(y if bias is None else y + bias.transpose(2, 0, 1)).astype(x.dtype)]


def _rounding(name: str) -> Contrib:
    return lambda node, inputs: [activate(inputs[0], Activation(name))]


CONTRIB: dict[tuple[str, str], Contrib] = {
    ("com.microsoft", "DynamicQuantizeLSTM"): dynamic_quantize_lstm,
    ("com.microsoft", "QLinearAdd"): _binary(np.add),
    ("com.microsoft", "QLinearAveragePool"): _unary(_average_pool),
    ("com.microsoft", "QLinearConcat"): qlinear_concat,
    ("com.microsoft", "QLinearGlobalAveragePool"): _unary(_global_average_pool),
    ("com.microsoft", "QLinearLeakyRelu"): _unary(
        lambda node, x: np.where(x < 0, node.attrs.get("alpha", 0.01) * x, x)
    ),
    ("com.microsoft", "QLinearMul"): _binary(np.multiply),
    ("com.microsoft", "QLinearSigmoid"): _unary(lambda node, x: 1 / (1 + np.exp(-x))),
    ("com.microsoft", "QLinearSoftmax"): _unary(_softmax),
    ("fastcnn", "LocallyConnected"): locally_connected,
    **{(OWN_DOMAIN, name): _rounding(name) for name in ROUNDINGS.values()},
}
