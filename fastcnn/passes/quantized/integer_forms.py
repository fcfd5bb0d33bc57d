"""Products of integers that stay integers, ConvInteger and MatMulInteger: dynamic quantisation computes their zero points."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS
from fastcnn.passes.quantized.bytes import Region, Weights
from fastcnn.passes.quantized.products import WINDOW, fits, is_covered, transposed, whole_operands

X, W, X_ZERO, W_ZERO = range(4)         # inputs
PADDED_SINCE = 11                       # Pad with its sizes as inputs


def _conv(region: Region, node: Node) -> bool:
    w = region.signed_weights(node, W, None, W_ZERO, 0)
    if w is None or not is_covered(node, w, floats=True):
        return False
    window = {name: node.attrs[name] for name in WINDOW if name in node.attrs}
    channel = [1, -1, *[1] * (w.array.ndim - 2)]
    zero = _known_zero(region, node)
    if zero is not None:
        return _sums(region, node, "QConv", region.bytes_of(*_typed(region, node)), w, zero, node.outputs[0], **window)
    zero_name = _computed_zero(region, node)
    if zero_name is None or window.get("auto_pad") in ("SAME_UPPER", "SAME_LOWER"):
        return False
    x, pads = region.bytes_of(*_typed(region, node)), window.pop("pads", [])
    if any(pads) and window.get("auto_pad") != "VALID":
        half = len(pads) // 2
        sizes = region.constant(f"{node.name}/pads", np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64))
        padded = region.fresh(f"{node.input(X)}/padded")
        region.put(Node("Pad", (x, sizes, zero_name), (padded,), {}, f"{node.name}/Pad", "", PADDED_SINCE))
        x = padded
    return _less_zero(region, node, "QConv", x, w, zero_name, channel, **window)


def _matmul(region: Region, node: Node) -> bool:
    w = region.signed_weights(node, W, None, W_ZERO, 1)
    if w is None:
        return _computed_product(region, node)
    if w.array.ndim != 2 or region.rank(node.input(X)) < 2:
        return False
    zero = _known_zero(region, node)
    if zero is not None:
        return _sums(region, node, "QMatMul", region.bytes_of(*_typed(region, node)), transposed(region, w), zero, node.outputs[0])
    zero_name = _computed_zero(region, node)
    if zero_name is None:
        return False
    return _less_zero(region, node, "QMatMul", region.bytes_of(*_typed(region, node)), transposed(region, w), zero_name, [-1])


def _computed_product(region: Region, node: Node) -> bool:
    """The sums of two matrices, or stacks of them, that the run computes; their zero points are known."""
    x_zero, w_zero = _known_zero(region, node), _known_zero(region, node, W, W_ZERO)
    kinds, constants = [region.kind_of(node.input(i)) for i in (X, W)], region.graph.constants
    computed = not {node.input(X), node.input(W)} & constants.keys() and min(region.rank(node.input(i)) for i in (X, W)) >= 2
    if x_zero is None or w_zero is None or not computed or not all(kind in ("uint8", "int8") for kind in kinds):
        return False
    operands = [region.bytes_of(node.input(i), kind) for i, kind in zip((X, W), kinds)]
    region.add("QBatchMatMul", operands, node.outputs[0], node.outputs[0], "int32", node.name, a_zero=x_zero, b_zero=w_zero, factor=1.0,
               to="int32", y_zero=0, lo=-np.inf, hi=np.inf)
    return True


def _typed(region: Region, node: Node) -> tuple[str, str]:
    """x and its kind."""
    return node.input(X), region.kind_of(node.input(X))


def _known_zero(region: Region, node: Node, x: int = X, zero: int = X_ZERO) -> int | None:
    """The zero point of x, or another input, as an unsigned byte where it is one constant, or left out."""
    sign = 128 if region.kind_of(node.input(x)) == "int8" else 0
    array = region.graph.constants.get(node.input(zero))
    if not node.input(zero):
        return sign
    return int(array.reshape(())) + sign if array is not None and array.size == 1 else None


def _computed_zero(region: Region, node: Node) -> str | None:
    """The zero point of x as an unsigned byte that the run computes, one number; None where it is none or several."""
    name, kind = node.input(X_ZERO), region.kind_of(node.input(X))
    single = region.graph.shapes.get(name) in ((), (1,)) and name not in region.graph.constants
    return region.bytes_of(name, kind) if single and region.kind_of(name) == kind else None


def _sums(region: Region, node: Node, op_type: str, x: str, w: Weights, zero: int, output: str, **attrs: Any) -> bool:
    """The sums of (x - zero) * w as int32; False where they may not hold them."""
    operands = whole_operands(region, x, w, output, attrs.get("group", 1)) if fits(w) else None
    if operands is None:
        return False
    ones = region.constant(f"{output}/factor", np.ones(len(w.array), np.float32))
    whole = {"to": "int32", "y_zero": 0, "lo": -np.inf, "hi": np.inf}
    region.add(op_type, [*operands, "", ones], output, node.outputs[0], "int32", node.name, x_zero=zero, **whole, **attrs)
    return True


def _less_zero(region: Region, node: Node, op_type: str, x: str, w: Weights, zero: str, channel: list[int], **attrs: Any) -> bool:
    """The sums of x * w, less the zero point times the sum of w."""
    y = node.outputs[0]
    sums, wide, less = (region.fresh(f"{y}/{name}") for name in ("sums", "zero", "less"))
    if not _sums(region, node, op_type, x, w, 0, sums, **attrs):
        return False
    totals = sum(part.reshape(len(part), -1).sum(1, dtype=np.int32) for part in (w.array, w.excess) if part is not None)
    opset = region.graph.opsets.get("", 13)
    region.put(Node("Cast", (zero,), (wide,), {"to": ELEMENT_NUMBERS["int32"]}, f"{node.name}/Cast", "", opset), zero, kind="int32")
    name = region.constant(f"{y}/totals", np.reshape(totals, channel))
    region.put(Node("Mul", (wide, name), (less,), {}, f"{node.name}/Mul", "", opset), kind="int32")
    region.put(Node("Sub", (sums, less), (y,), {}, f"{node.name}/Sub", "", opset), y, kind="int32")
    return True


INTEGER_FORMS: dict[tuple[str, str], Callable[[Region, Node], bool]] = {("", "ConvInteger"): _conv, ("", "MatMulInteger"): _matmul}
