"""Rewrites convolutions and matrix products of bytes with constant weights of signed bytes."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.passes.quantized.bytes import Operand, Region, Weights
from fastcnn.passes.quantized.goal import Goal

SUMS = 2 ** 31 - 1 - 255 * 128
# How far the scale of a bias may be from that of the sums: products of float32 are rounded.
BIAS_SCALE = 1e-6
# The most that one unit of the sums may be of the results' scale where a bias is rounded to such units: results are then the same but where
# they lie within half of this of a tie. onnxruntime rounds such biases, too.
BIAS_UNIT = 1 / 64
LARGEST = 255 * 128         # product of an unsigned and a signed byte
WINDOW = ("strides", "dilations", "pads", "auto_pad", "kernel_shape", "group")


def conv(region: Region, node: Node, goal: Goal) -> bool:
    """Rewrites a Conv whose input is made from bytes."""
    x, w = region.operand(node.input(0)), region.weights(node.input(1), 0)
    if x is None or w is None or not is_covered(node, w, goal.target is None):
        return False
    bias = _bias(region, node.input(2), x.at.scale * w.scales.astype(np.float64), goal)
    window = {name: node.attrs[name] for name in WINDOW if name in node.attrs}
    return bias is not None and product(region, "QConv", x, w, bias, goal, node.name, **window)


def conv_transpose(region: Region, node: Node, goal: Goal) -> bool:
    """ConvTranspose of what is bytes; a scale of its weights belongs to an output channel of each group."""
    group, x, w = node.attrs.get("group", 1), region.operand(node.input(0)), region.weights(node.input(1), 1)
    if x is None or w is None or w.excess is not None or not _is_covered_transposed(w.array, group, goal.target is None):
        return False
    w = replace(w, scales=np.tile(w.scales, group))
    bias = _bias(region, node.input(2), x.at.scale * w.scales.astype(np.float64), goal)
    attrs = {name: node.attrs[name] for name in (*WINDOW, "output_shape", "output_padding") if name in node.attrs}
    return bias is not None and product(region, "QConvTranspose", x, w, bias, goal, node.name, **attrs)


def is_covered(node: Node, w: Weights, floats: bool) -> bool:
    """Whether there is a kernel: of one channel a group for one output each, and for bytes as results.

    Of volumes dense ones, not dilated in depth.
    """
    group, (channels, each) = node.attrs.get("group", 1), w.array.shape[:2]
    if w.array.ndim == 5:
        return group == 1 and (node.attrs.get("dilations") or [1])[0] == 1
    return w.array.ndim in (3, 4) and (group == 1 or each > 1 or (channels == group and w.excess is None and not floats))


def _is_covered_transposed(w: np.ndarray, group: int, floats: bool) -> bool:
    """is_covered() for a transposed convolution, w (C, M/group, k...)."""
    each, outputs = w.shape[0] // group, w.shape[1]
    return w.ndim in (3, 4) and (group == 1 or each > 1 or (outputs == 1 and not floats))


def gemm(region: Region, node: Node, goal: Goal) -> bool:
    """Gemm of rows of bytes."""
    attrs, turned = node.attrs, node.attrs.get("transB", 0)
    x, w = region.operand(node.input(0)), region.weights(node.input(1), 0 if turned else 1)
    plain = attrs.get("alpha", 1.0) == 1.0 and (attrs.get("beta", 1.0) == 1.0 or not node.input(2)) and not attrs.get("transA", 0)
    if x is None or w is None or not plain or w.array.ndim != 2:
        return False
    bias = _bias(region, node.input(2), x.at.scale * w.scales.astype(np.float64), goal)
    return bias is not None and product(region, "QMatMul", x, w if turned else transposed(region, w), bias, goal, node.name)


def matmul(region: Region, node: Node, goal: Goal) -> bool:
    """MatMul of bytes with a constant matrix."""
    x, w = region.operand(node.input(0)), region.weights(node.input(1), 1)
    if w is None:
        return x is not None and computed_product(region, node, x, region.operand(node.input(1)), (0, 1), goal)
    if x is None or w.array.ndim != 2 or region.rank(node.input(0)) < 2:
        return False
    return product(region, "QMatMul", x, transposed(region, w), np.zeros(w.scales.size, np.int64), goal, node.name)


def computed_product(region: Region, node: Node, a: Operand, b: Operand | None, inputs: tuple[int, int], goal: Goal) -> bool:
    """The product of two matrices, or stacks of them, that the run computes; inputs: their places among those of the node."""
    computed = b is not None and not {a.name, b.name} & region.graph.constants.keys()
    if b is None or not computed or min(region.rank(node.input(i)) for i in inputs) < 2:
        return False
    sums = a.at.scale * b.at.scale
    factor = float(np.float32(sums if goal.target is None else sums / goal.target.scale))
    kind = "float" if goal.target is None else "uint8"
    region.add("QBatchMatMul", [a.name, b.name], goal.output, goal.like, kind, node.name, a_zero=a.at.zero, b_zero=b.at.zero, factor=factor,
               **goal.attrs())
    return True


def transposed(region: Region, w: Weights) -> Weights:
    """Weights (K, N) as (N, K)."""
    array = np.ascontiguousarray(w.array.T)
    return Weights(region.constant(f"{w.name}/transposed", array), array, w.scales, None if w.excess is None else w.excess.T)


def fits(w: Weights, bias: np.ndarray | int = 0) -> bool:
    """Whether 32 bits hold every sum, whatever the bytes; w with its output channels along the first axis."""
    inputs = w.array.size // len(w.array) * (1 if w.excess is None else 2)
    if LARGEST * inputs + int(np.abs(bias).max(initial=0)) <= SUMS:
        return True
    parts = [np.abs(part.astype(np.int64)).reshape(len(part), -1).sum(1) for part in (w.array, w.excess) if part is not None]
    return bool((255 * sum(parts) + np.abs(bias)).max(initial=0) <= SUMS)


def _outputs_first(w: np.ndarray, group: int) -> np.ndarray:
    """w (C, M/group, k...) of a transposed convolution as (M, C/group, k...)."""
    split = w.reshape(group, w.shape[0] // group, *w.shape[1:]).swapaxes(1, 2)
    return split.reshape(group * w.shape[1], *split.shape[2:])


def whole_operands(region: Region, x: str, w: Weights, stem: str, group: int = 1) -> tuple[str, str] | None:
    """Names of bytes and weights. What weights have in excess of signed bytes is for a second copy of the bytes behind the first."""
    if w.excess is None:
        return x, w.name
    if group != 1:
        return None
    twice = region.fresh(f"{stem}/twice")
    axis = -1 if w.array.ndim == 2 else 1
    region.put(Node("Concat", (x, x), (twice,), {"axis": axis}, f"{stem}/Concat", "", 11))
    return twice, region.constant(f"{stem}/weights", np.concatenate([w.array, w.excess], 1))


def product(region: Region, op_type: str, x: Operand, w: Weights, bias: np.ndarray, goal: Goal, name: str,
            **attrs: Any) -> bool:
    """QConv, QConvTranspose or QMatMul: y = sum of (x - x_zero) * w + bias, exact, times a factor.

    False where 32 bits may not hold the sum.
    """
    group = attrs.get("group", 1)
    filters = w if op_type != "QConvTranspose" else replace(w, array=_outputs_first(w.array, group))
    operands = whole_operands(region, x.name, w, goal.output, group) if fits(filters, bias) else None
    if operands is None:
        return False
    inputs = [*operands, region.constant(f"{goal.output}/bias", bias.astype(np.int32)) if bias.any() else ""]
    sums = w.scales.astype(np.float64) * x.at.scale
    factor = (sums if goal.target is None else sums / goal.target.scale).astype(np.float32)
    inputs.append(region.constant(f"{goal.output}/factor", factor))
    kind = "float" if goal.target is None else "uint8"
    region.add(op_type, inputs, goal.output, goal.like, kind, name, x_zero=x.at.zero, **goal.attrs(), **attrs)
    return True


def _bias(region: Region, value: str, scales: np.ndarray, goal: Goal) -> np.ndarray | None:
    """The bias of sums at these scales as integers; none is zeros. None where it is not stored in them and they are too coarse for it."""
    if not value:
        return np.zeros(scales.size, np.int64)
    stored = _stored_bias(region, value, scales)
    floats = _float_bias(region, value)
    if stored is not None or floats is None or goal.target is None or floats.size != scales.size:
        return stored
    units = floats / scales
    fine = np.isfinite(units).all() and scales.max(initial=0) <= BIAS_UNIT * goal.target.scale and np.abs(units).max(initial=0) <= SUMS
    return np.rint(units).astype(np.int64) if fine else None


def _float_bias(region: Region, value: str) -> np.ndarray | None:
    """A bias that is a constant of floats, or of integers at scales of its own."""
    node, constants = region.producer(value), region.graph.constants
    if value in constants:
        return constants[value].reshape(-1).astype(np.float64) if constants[value].dtype == np.float32 else None
    if node is None or node.op_type != "DequantizeLinear" or any(v not in constants for v in node.reads) or node.attrs.get("block_size", 0):
        return None
    array, own = constants[node.inputs[0]].reshape(-1).astype(np.float64), constants[node.inputs[1]].reshape(-1).astype(np.float64)
    zero = constants[node.input(2)].reshape(-1).astype(np.float64) if node.input(2) else np.zeros(1)
    return (array - zero) * own if own.size in (1, array.size) and zero.size in (1, array.size) else None


def _stored_bias(region: Region, value: str, scales: np.ndarray) -> np.ndarray | None:
    """A bias of 32-bit integers at the scales of the sums."""
    node, constants = region.producer(value), region.graph.constants
    if node is None or node.op_type != "DequantizeLinear" or any(v not in constants for v in node.reads):
        return None
    array, own = constants[node.inputs[0]], constants[node.inputs[1]].reshape(-1).astype(np.float64)
    zero = constants.get(node.input(2))
    if array.dtype != np.int32 or array.size != scales.size or own.size not in (1, scales.size) or (zero is not None and zero.any()):
        return None
    used = array.reshape(-1) != 0
    off = np.abs(np.broadcast_to(own, scales.shape) - scales) > BIAS_SCALE * scales
    return None if (off & used).any() else array.reshape(-1).astype(np.int64)
