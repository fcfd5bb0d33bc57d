"""Rewrites Add, Sub, Mul, average pooling, and Concat of bytes at several scales."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.passes.quantized.bytes import Operand, Region, Scale
from fastcnn.passes.quantized.goal import ALL_FLOATS, Goal
from fastcnn.passes.quantized.stored import constant_floats
from fastcnn.passes.quantized.tables import dequantised, requantising

POOLING = ("strides", "pads", "auto_pad", "kernel_shape", "ceil_mode", "count_include_pad", "dilations")

LARGEST, MOST = 255, 2.0 ** 30          # difference of bytes; numbers that are rounded to 32-bit integers


def binary(region: Region, node: Node, goal: Goal) -> bool:
    """Add, Sub or Mul of two values of bytes."""
    a, b = (region.operand(v) for v in node.inputs)
    if a is None or b is None or goal.target is None:
        return False
    emit_binary(region, "QMul" if node.op_type == "Mul" else "QAdd", a, b, goal, -1.0 if node.op_type == "Sub" else 1.0)
    return True


def emit_binary(region: Region, op_type: str, a: Operand, b: Operand, goal: Goal, sign: float = 1.0) -> None:
    """QAdd: factors of each; QMul: one of the product."""
    assert goal.target is not None, "sums and products of bytes are bytes"
    if op_type == "QMul":
        factors = {"factor": a.at.scale * b.at.scale / goal.target.scale}
    else:
        factors = {"a_factor": a.at.scale / goal.target.scale, "b_factor": sign * b.at.scale / goal.target.scale}
    rounded: dict[str, Any] = {name: float(np.float32(value)) for name, value in factors.items()}
    region.add(op_type, [a.name, b.name], goal.output, goal.like, a_zero=a.at.zero, b_zero=b.at.zero, **rounded, **goal.attrs())


def prelu(region: Region, node: Node, goal: Goal) -> bool:
    """PRelu of bytes with slopes that are constant; one slope alone would be a table."""
    x, slope = region.operand(node.input(0)), _floats(region, node.input(1))
    if x is None or slope is None or goal.target is None or slope.ndim > region.rank(node.input(0)):
        return False
    positive = np.float32(x.at.scale / goal.target.scale)
    negative = (slope * (x.at.scale / goal.target.scale)).astype(np.float32)
    if not np.isfinite(negative).all():
        return False
    region.add("QPRelu", [x.name, region.constant(f"{goal.output}/slope", negative)], goal.output, goal.like, x_zero=x.at.zero,
               positive=float(positive), **goal.attrs())
    return True


def affine(region: Region, node: Node, goal: Goal) -> bool:
    """BatchNormalization with constant statistics, stored as floats or as integers: a factor and a shift a channel."""
    x, rank = region.operand(node.input(0)), region.rank(node.input(0))
    constants = [constant_floats(region.graph, v) for v in node.inputs[1:5]]
    if x is None or goal.target is None or rank not in (2, 3, 4) or any(node.outputs[1:]) or node.attrs.get("training_mode", 0):
        return False
    if node.version < 9 or any(v is None for v in constants):
        return False
    gamma, beta, mean, variance = (v.astype(np.float64) for v in constants if v is not None)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
        factor, shift = scale * x.at.scale / goal.target.scale, (beta - mean * scale) / goal.target.scale
    if not (np.abs(factor) * LARGEST + np.abs(shift) < MOST).all():
        return False
    stem = goal.output
    names = [region.constant(f"{stem}/{name}", v.astype(np.float32)) for name, v in (("scale", factor), ("shift", shift))]
    region.add("QAffine", [x.name, *names], goal.output, goal.like, x_zero=x.at.zero, **goal.attrs())
    return True


def _floats(region: Region, value: str) -> np.ndarray | None:
    """A constant of floats, or of bytes that stand for floats."""
    array, stored = region.graph.constants.get(value), region.operand(value)
    if stored is not None and stored.name in region.graph.constants:
        return dequantised(region.graph.constants[stored.name], stored.at.scale, stored.at.zero)
    return array if array is not None and array.dtype == np.float32 else None


def average(region: Region, node: Node, goal: Goal) -> bool:
    """AveragePool, GlobalAveragePool, or a ReduceMean that is one."""
    x = region.operand(node.input(0))
    if x is None or goal.target is None or goal.limits != ALL_FLOATS or region.rank(node.input(0)) not in (3, 4):
        return False
    if node.op_type == "AveragePool":
        emit_average(region, "QAveragePool", x, goal, {name: node.attrs[name] for name in POOLING if name in node.attrs})
        return True
    if node.op_type == "ReduceMean" and not _is_global(region, node):
        return False
    emit_average(region, "QGlobalAveragePool", x, goal, {})
    return True


def emit_average(region: Region, op_type: str, x: Operand, goal: Goal, attrs: dict[str, Any]) -> None:
    """The mean of windows, or of whole planes."""
    assert goal.target is not None, "means of bytes are bytes"
    factor = float(np.float32(x.at.scale / goal.target.scale))
    region.add(op_type, [x.name], goal.output, goal.like, x_zero=x.at.zero, factor=factor, **goal.attrs(), **attrs)


def _is_global(region: Region, node: Node) -> bool:
    """Whether a ReduceMean takes the mean of all that lies behind the channels and keeps the axes."""
    array, rank = region.graph.constants.get(node.input(1)), region.rank(node.input(0))
    axes = node.attrs.get("axes") if array is None else array.reshape(-1).tolist()
    return bool(node.attrs.get("keepdims", 1)) and axes is not None and sorted(int(a) % rank for a in axes) == list(range(2, rank))


def concat(region: Region, node: Node, goal: Goal) -> bool:
    """Concat of bytes at several scales: each goes to the one that is made, without a change where it has it."""
    operands = [region.operand(v) for v in node.inputs]
    if goal.target is None or any(v is None for v in operands) or goal.limits != ALL_FLOATS:
        return False
    emit_concat(region, node, [v for v in operands if v is not None], node.inputs, goal)
    return True


def emit_concat(region: Region, node: Node, operands: Sequence[Operand], values: Sequence[str], goal: Goal) -> None:
    """Each through the table to the target's scale, then Concat of bytes; values: of what shapes they are."""
    assert goal.target is not None, "bytes that are joined are bytes"
    names = [requantised(region, x, goal.target, region.fresh(f"{value}/bytes"), value) for x, value in zip(operands, values)]
    joined = Node("Concat", tuple(names), (goal.output,), {"axis": node.attrs.get("axis", 1)}, f"{node.name}/bytes", "", 4)
    region.put(joined, goal.like)


def requantised(region: Region, x: Operand, target: Scale, output: str, like: str) -> str:
    """The bytes at another scale: x itself where that is its own."""
    if x.at == target:
        return x.name
    return region.add("ByteTable", [x.name, region.constant(f"{output}/table", requantising(x.at, target))], output, like)
