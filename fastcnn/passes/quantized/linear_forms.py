"""Rewrites operators with scales and zero points among their inputs: QLinearConv, QLinearMatMul, and those of onnxruntime."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.operators.functions import sigmoid
from fastcnn.passes.quantized.bytes import Operand, Region, Scale
from fastcnn.passes.quantized.goal import Goal
from fastcnn.passes.quantized.pointwise import POOLING, emit_average, emit_binary, emit_concat
from fastcnn.passes.quantized.products import WINDOW, computed_product, is_covered, product, transposed
from fastcnn.passes.quantized.tables import ALL, dequantised, quantised

MICROSOFT = "com.microsoft"
Rule = Callable[[Region, Node], bool]


def _operand(region: Region, node: Node, x: int, scale: int, zero: int) -> Operand | None:
    """Bytes at one scale from inputs of a node."""
    kind = region.kind_of(node.input(x), node.input(zero))
    at = region.scale(node, scale, zero, kind)
    return None if at is None else Operand(region.bytes_of(node.input(x), kind), at)


def _target(region: Region, node: Node, scale: int, zero: int) -> tuple[Scale, str] | None:
    """Scale and element type of the output of a node."""
    kind = region.kind_of(node.outputs[0], node.input(zero)) or region.kind_of(node.input(0))
    at = region.scale(node, scale, zero, kind)
    return None if at is None else (at, kind)


def _given(region: Region, node: Node, y: tuple[Scale, str], make: Callable[[Goal], object]) -> bool:
    """Whether the unsigned bytes of the output have been made; then it is given what the file says."""
    goal = Goal(y[0], region.target(node.outputs[0], y[1]), node.outputs[0])
    if make(goal) is False:
        return False
    region.give(node.outputs[0], y[1], goal.output)
    return True


def _conv(region: Region, node: Node) -> bool:
    x, y = _operand(region, node, 0, 1, 2), _target(region, node, 6, 7)
    w = region.signed_weights(node, 3, 4, 5, 0)
    if x is None or y is None or w is None or not is_covered(node, w, floats=False):
        return False
    bias = _integers(region, node, 8, w.scales.size)
    window = {name: node.attrs[name] for name in WINDOW if name in node.attrs}
    return bias is not None and _given(region, node, y, lambda goal: product(region, "QConv", x, w, bias, goal, node.name, **window))


def _integers(region: Region, node: Node, i: int, count: int) -> np.ndarray | None:
    """Input i as int64, zeros where it is left out."""
    array = region.graph.constants.get(node.input(i))
    if not node.input(i):
        return np.zeros(count, np.int64)
    return array.reshape(-1).astype(np.int64) if array is not None and array.size == count else None


def _matmul(region: Region, node: Node) -> bool:
    x, y = _operand(region, node, 0, 1, 2), _target(region, node, 6, 7)
    w, b = region.signed_weights(node, 3, 4, 5, 1), _operand(region, node, 3, 4, 5)
    if w is None:
        return x is not None and y is not None and _given(region, node, y, lambda goal: computed_product(region, node, x, b, (0, 3), goal))
    if x is None or y is None or w.array.ndim != 2 or region.rank(node.input(0)) < 2:
        return False
    bias = np.zeros(w.scales.size, np.int64)
    return _given(region, node, y, lambda goal: product(region, "QMatMul", x, transposed(region, w), bias, goal, node.name))


def _binary(op_type: str) -> Rule:
    """(A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero)."""
    def rule(region: Region, node: Node) -> bool:
        a, b, y = _operand(region, node, 0, 1, 2), _operand(region, node, 3, 4, 5), _target(region, node, 6, 7)
        if a is None or b is None or y is None:
            return False
        return _given(region, node, y, lambda goal: emit_binary(region, op_type, a, b, goal))
    return rule


def _pool(op_type: str) -> Rule:
    """(X, X_scale, X_zero, Y_scale, Y_zero)."""
    def rule(region: Region, node: Node) -> bool:
        x, y = _operand(region, node, 0, 1, 2), _target(region, node, 3, 4)
        if x is None or y is None or node.attrs.get("channels_last", 0) or region.rank(node.input(0)) not in (3, 4):
            return False
        attrs = {name: node.attrs[name] for name in POOLING if name in node.attrs}
        return _given(region, node, y, lambda goal: emit_average(region, op_type, x, goal, attrs))
    return rule


def _table(function: Callable[[Node, np.ndarray], np.ndarray]) -> Rule:
    """A function of one value, with the inputs of a pooling."""
    def rule(region: Region, node: Node) -> bool:
        x, y = _operand(region, node, 0, 1, 2), _target(region, node, 3, 4)
        if x is None or y is None:
            return False
        table = quantised(function(node, dequantised(ALL, x.at.scale, x.at.zero).astype(np.float64)).astype(np.float32), y[0])
        name = region.constant(f"{node.outputs[0]}/table", table)
        return _given(region, node, y, lambda goal: region.add("ByteTable", [x.name, name], goal.output, goal.like))
    return rule


def _concat(region: Region, node: Node) -> bool:
    """(Y_scale, Y_zero, X0, X0_scale, X0_zero, X1, ...)."""
    y = _target(region, node, 0, 1)
    operands = [_operand(region, node, i, i + 1, i + 2) for i in range(2, len(node.inputs), 3)]
    if y is None or any(x is None for x in operands):
        return False
    joined = [x for x in operands if x is not None]
    return _given(region, node, y, lambda goal: emit_concat(region, node, joined, node.inputs[2::3], goal))


def _softmax(region: Region, node: Node) -> bool:
    """In floats: over `axis`, over all axes from it on where the attribute `opset` is below 13."""
    x, y = _operand(region, node, 0, 1, 2), _target(region, node, 3, 4)
    if x is None or y is None:
        return False
    output = node.outputs[0]
    floats = region.add("DequantizeBytes", [x.name], region.fresh(f"{output}/floats"), output, "float", scale=x.at.scale, zero=x.at.zero)
    shares, version = region.fresh(f"{output}/shares"), 13 if node.attrs.get("opset", 13) >= 13 else 11
    softmax = Node("Softmax", (floats,), (shares,), {"axis": node.attrs.get("axis", -1)}, f"{node.name}/Softmax", "", version)
    region.put(softmax, output, kind="float")
    scale, zero = y[0].scale, y[0].zero
    return _given(region, node, y, lambda goal: region.add("QuantizeBytes", [shares], goal.output, goal.like, scale=scale, zero=zero))


LINEAR_FORMS: dict[tuple[str, str], Rule] = {
    ("", "QLinearConv"): _conv,
    ("", "QLinearMatMul"): _matmul,
    (MICROSOFT, "QLinearAdd"): _binary("QAdd"),
    (MICROSOFT, "QLinearMul"): _binary("QMul"),
    (MICROSOFT, "QLinearAveragePool"): _pool("QAveragePool"),
    (MICROSOFT, "QLinearGlobalAveragePool"): _pool("QGlobalAveragePool"),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearSoftmax"): _softmax,
    (MICROSOFT, "QLinearSigmoid"): _table(lambda node, x: sigmoid(x)),
    (MICROSOFT, "QLinearLeakyRelu"): _table(lambda node, x: np.where(x < 0, node.attrs.get("alpha", 0.01) * x, x)),
}
