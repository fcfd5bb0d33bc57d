"""The exact definition of this package's operators on bytes: sums are integers, factors float32, results round half to even.

They are what quantised operators become (fastcnn.passes.quantized). An unsigned byte u stands for (u - zero) * scale. Sums are kept in
float64, which holds whole numbers up to 2^53.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.reference.conv import conv, conv_transpose, mean_windows

Inputs = Sequence[Any]


def quantize(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """saturate(round(x / scale) + zero)."""
    whole = np.rint(inputs[0] / np.float32(node.attrs["scale"])).astype(np.float64) + node.attrs["zero"]
    return [np.clip(np.where(np.isnan(whole), node.attrs["zero"], whole), 0, 255).astype(np.uint8)]


def quantize_scaled(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x, factor, offset): quantize() of x * factor + offset, of each channel, within limits."""
    shape = (-1, *[1] * (inputs[0].ndim - 2))
    factor, offset = (v.astype(np.float64).reshape(shape) for v in inputs[1:3])
    return quantize(node, [np.clip(inputs[0] * factor + offset, node.attrs["lo"], node.attrs["hi"]).astype(np.float32)])


def dequantize(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(u - zero) * scale."""
    return [(inputs[0].astype(np.float32) - np.float32(node.attrs["zero"])) * np.float32(node.attrs["scale"])]


def table(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """table[u], u the bits of a byte."""
    return [inputs[1][inputs[0].view(np.uint8)]]


def q_conv(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x, w, bias?, factor, residual?, table?): sums of (x - x_zero) * w + bias."""
    x, w = inputs[0].astype(np.float64) - node.attrs["x_zero"], inputs[1].astype(np.float64)
    return [_result(node, conv(node, [x, w])[0], inputs[2:], (-1, *[1] * (w.ndim - 2)))]


def q_conv_transpose(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x, w, bias?, factor, residual?, table?), w (C, M/group, k...): the same of a transposed convolution."""
    x, w = inputs[0].astype(np.float64) - node.attrs["x_zero"], inputs[1].astype(np.float64)
    return [_result(node, conv_transpose(node, [x, w])[0], inputs[2:], (-1, *[1] * (w.ndim - 2)))]


def q_matmul(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x, w, bias?, factor, residual?, table?), w (N, K): the same of rows."""
    x, w = inputs[0].astype(np.float64) - node.attrs["x_zero"], inputs[1].astype(np.float64)
    return [_result(node, x @ w.T, inputs[2:], (-1,))]


def qlinear_conv(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """ONNX QLinearConv: sums of (x - x_zero) * (w - w_zero) + bias, scaled and rounded, then the zero point added, saturated."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = (*inputs, None)[:9]
    channel = (-1, *[1] * (w.ndim - 2))
    sums = conv(node, [_above(x, x_zero), _above(w, w_zero, (-1, *[1] * (w.ndim - 1)))])[0]
    sums = sums if bias is None else sums + bias.astype(np.float64).reshape(channel)
    return [_scaled(sums, x_scale, np.reshape(w_scale, channel if w_scale.size > 1 else ()), y_scale, y_zero)]


def qlinear_matmul(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """ONNX QLinearMatMul: the same of (a - a_zero) @ (b - b_zero); scales of a along its rows, of b along its columns."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    rows = (-1, 1)
    sums = _above(a, a_zero, rows) @ _above(b, b_zero, (-1,))
    return [_scaled(sums, np.reshape(a_scale, rows if a_scale.ndim == 1 and a_scale.size > 1 else a_scale.shape), b_scale, y_scale, y_zero)]


def _above(x: np.ndarray, zero: np.ndarray, along: tuple[int, ...] = ()) -> np.ndarray:
    """x - zero in float64; a vector of zero points lies `along` these axes."""
    return x.astype(np.float64) - (np.reshape(zero, along) if zero.ndim == 1 and zero.size > 1 else zero).astype(np.float64)


def _scaled(sums: np.ndarray, left: np.ndarray, right: np.ndarray, y_scale: np.ndarray, y_zero: np.ndarray) -> np.ndarray:
    limits = np.iinfo(y_zero.dtype)
    whole = np.rint(sums * (left.astype(np.float64) * right / y_scale)) + y_zero
    return np.clip(whole, limits.min, limits.max).astype(y_zero.dtype)


def _result(node: Node, sums: np.ndarray, more: Inputs, channel: tuple[int, ...]) -> np.ndarray:
    """(sum + bias) * factor; rounded to bytes of its own first, where it is; plus the residual; floats or bytes; these looked up."""
    bias, factor, residual, last = (*more, None, None)[:4]
    attrs = node.attrs
    total = sums if bias is None else sums + bias.reshape(channel)
    if attrs["to"] == "int32":
        return total.astype(np.int32)
    y = total * factor.astype(np.float64).reshape(channel)
    if "first_factor" in attrs:
        zero = attrs["first_zero"]
        y = (np.clip(np.rint(y) + zero, attrs["first_lo"], attrs["first_hi"]) - zero) * attrs["first_factor"]
    if residual is not None:
        y = y + (residual.astype(np.float64) - attrs["r_zero"]) * attrs["r_factor"]
    if attrs["to"] == "float":
        return np.clip(y, attrs["lo"], attrs["hi"]).astype(np.float32)
    y = _rounded(node, y)
    return y if last is None else last[y]


def _rounded(node: Node, y: np.ndarray) -> np.ndarray:
    """Whole numbers from the zero point, as bytes within limits."""
    return np.clip(np.rint(y) + node.attrs["y_zero"], node.attrs["lo"], node.attrs["hi"]).astype(np.uint8)


def add(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(a - a_zero) * a_factor + (b - b_zero) * b_factor."""
    a, b = _centred(node, inputs)
    return [_rounded(node, a * node.attrs["a_factor"] + b * node.attrs["b_factor"])]


def multiply(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(a - a_zero) * (b - b_zero) * factor."""
    a, b = _centred(node, inputs)
    return [_rounded(node, a * b * node.attrs["factor"])]


def prelu(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x - x_zero) * (negative where x < x_zero, else positive)."""
    x = inputs[0].astype(np.float64) - node.attrs["x_zero"]
    return [_rounded(node, x * np.where(x < 0, inputs[1].astype(np.float64), node.attrs["positive"]))]


def affine(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x - x_zero) * scale + shift, of each channel."""
    shape = (-1, *[1] * (inputs[0].ndim - 2))
    scale, shift = (v.astype(np.float64).reshape(shape) for v in inputs[1:3])
    return [_rounded(node, (inputs[0].astype(np.float64) - node.attrs["x_zero"]) * scale + shift)]


def batch_matmul(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The sums of (a - a_zero) * (b - b_zero), times a factor."""
    a, b = (x.astype(np.int64) - node.attrs[f"{name}_zero"] for name, x in zip("ab", inputs))
    sums, attrs = a @ b, node.attrs
    if attrs["to"] == "int32":
        return [sums.astype(np.int32)]
    y = sums * attrs["factor"]
    return [np.clip(y, attrs["lo"], attrs["hi"]).astype(np.float32) if attrs["to"] == "float" else _rounded(node, y)]


def _centred(node: Node, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    a, b = (x.astype(np.float64) - node.attrs[f"{name}_zero"] for name, x in zip("ab", inputs))
    return a, b


def average(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The mean of x - x_zero over windows, times a factor; padding counts as 0."""
    return [_rounded(node, mean_windows(node, inputs[0].astype(np.float64) - node.attrs["x_zero"]) * node.attrs["factor"])]


def global_average(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """average() over whole planes."""
    x = inputs[0].astype(np.float64) - node.attrs["x_zero"]
    return [_rounded(node, x.mean(tuple(range(2, x.ndim)), keepdims=True) * node.attrs["factor"])]


BYTES: dict[tuple[str, str], Callable[[Node, Inputs], list[np.ndarray]]] = {(OWN_DOMAIN, name): f for name, f in {
    "QuantizeBytes": quantize, "QuantizeScaled": quantize_scaled, "DequantizeBytes": dequantize, "ByteTable": table,
    "QConv": q_conv, "QConvTranspose": q_conv_transpose, "QMatMul": q_matmul, "QAdd": add, "QMul": multiply, "QPRelu": prelu,
    "QAffine": affine, "QBatchMatMul": batch_matmul, "QAveragePool": average, "QGlobalAveragePool": global_average}.items()}
