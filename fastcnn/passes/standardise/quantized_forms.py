"""Rewrites quantised operators that no region has taken: integers exactly in int32, scales in float32."""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import Expansion, Rule, expand_nodes, shape_of, type_of
from fastcnn.ir.graph import Graph
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS

# What scales and zero points are for here, with the least and the largest value; int32 only as what is made of sums.
RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def quantized_forms(graph: Graph) -> bool:
    """Rewrites the nodes of QUANTIZED_FORMS."""
    return expand_nodes(graph, QUANTIZED_FORMS)


def _element(e: Expansion, name: str) -> str:
    """Element type of a value, "" when it is not known."""
    kind = type_of(e.graph, name) or ""
    return kind[7:-1] if kind.startswith("tensor(") else ""


def _single(e: Expansion, i: int) -> bool:
    """Whether input i is known to be one number."""
    return shape_of(e.graph, e.input(i)) in ((), (1,))


def _along(e: Expansion, i: int, axis: int, rank: int | None) -> str | None:
    """Input i, one number or one for each index of an axis of a tensor of that rank, so that it broadcasts; None when it does not."""
    own = e.rank(i)
    if own == 0 or (rank and _single(e, i)):
        return e.input(i)
    if own != 1 or rank is None or not -rank <= axis < rank:
        return None
    return e.add("Reshape", e.input(i), e.constant([1] * (axis % rank) + [-1] + [1] * (rank - 1 - axis % rank), np.int64))


def _centred(e: Expansion, x: int, zero: int, axis: int, rank: int | None) -> str | None:
    """int32 of input x, less its zero point where there is one."""
    wide = e.add("Cast", e.input(x), to=ELEMENT_NUMBERS["int32"])
    if not e.input(zero):
        return wide
    point = _along(e, zero, axis, rank)
    return None if point is None else e.add("Sub", wide, e.add("Cast", point, to=ELEMENT_NUMBERS["int32"]))


def _float(e: Expansion, x: str) -> str:
    return e.add("Cast", x, to=ELEMENT_NUMBERS["float"])


def _quantized(e: Expansion, x: str, zero: str, kind: str) -> str:
    """saturate(round(x) + zero), halves to even."""
    y = e.add("Round", x, version=11)
    y = e.add("Add", y, _float(e, zero)) if zero else y
    lowest, highest = RANGES[kind]
    limits = (e.constant(lowest, np.float32), e.constant(highest, np.float32))
    return e.add("Cast", e.add("Clip", y, *limits, version=13), to=ELEMENT_NUMBERS[kind])


def _dequantize(e: Expansion) -> tuple[str, ...] | None:
    """(x - zero) * scale."""
    known = _element(e, e.input(0)) in {*RANGES, "int32"} and _element(e, e.input(1)) == "float" and not e.attr("block_size", 0)
    axis, rank = e.attr("axis", 1), e.rank(0)
    if not known or e.attr("output_dtype", 0) not in (0, ELEMENT_NUMBERS["float"]):
        return None
    centred, scale = _centred(e, 0, 2, axis, rank), _along(e, 1, axis, rank)
    return None if centred is None or scale is None else (e.add("Mul", _float(e, centred), scale),)


def _quantize(e: Expansion) -> tuple[str, ...] | None:
    """saturate(round(x / scale) + zero)."""
    kinds = {number: name for name, number in ELEMENT_NUMBERS.items()}
    kind = _element(e, e.input(2)) if e.input(2) else kinds.get(e.attr("output_dtype", 0), "uint8")
    floats = _element(e, e.input(0)) == _element(e, e.input(1)) == "float" and e.attr("precision", 0) in (0, ELEMENT_NUMBERS["float"])
    axis, rank = e.attr("axis", 1), e.rank(0)
    scale = _along(e, 1, axis, rank) if kind in RANGES and floats and not e.attr("block_size", 0) else None
    if scale is None:
        return None
    zero = _along(e, 2, axis, rank) if e.input(2) else ""
    return None if zero is None else (_quantized(e, e.add("Div", e.input(0), scale), zero, kind),)


def _dynamic(e: Expansion) -> tuple[str, ...] | None:
    """To uint8 with the scale of the range of x, which is made to contain 0; a range of nothing has scale 1, as in onnxruntime."""
    if _element(e, e.input(0)) != "float":
        return None
    zero = e.constant(0.0)
    low = e.add("Min", e.add("ReduceMin", e.input(0), keepdims=0), zero)
    span = e.add("Sub", e.add("Max", e.add("ReduceMax", e.input(0), keepdims=0), zero), low)
    scale = e.add("Where", e.add("Equal", span, zero), e.constant(1.0), e.add("Div", span, e.constant(255.0)))
    point = _quantized(e, e.add("Neg", e.add("Div", low, scale)), "", "uint8")
    return _quantized(e, e.add("Div", e.input(0), scale), point, "uint8"), scale, point


def _conv_integer(e: Expansion) -> tuple[str, ...] | None:
    """A convolution of int32."""
    return _products(e, "Conv", (0, 1, 2, 3))


def _matmul_integer(e: Expansion) -> tuple[str, ...] | None:
    """A matrix product of int32; zero points of single rows of a stay in the fallback."""
    return _products(e, "MatMul", (0, 1, 2, 3))


def _products(e: Expansion, op_type: str, inputs: tuple[int, int, int, int]) -> tuple[str, ...] | None:
    """The int32 product of inputs x and w, each less its zero point: one number, or one for each row of filters, column of b."""
    x, w, x_zero, w_zero = inputs
    if any(_element(e, e.input(i)) not in ("int8", "uint8") for i in (x, w)) or (e.input(x_zero) and not _single(e, x_zero)):
        return None
    axis = 0 if op_type == "Conv" else -1
    a, b = _centred(e, x, x_zero, 1, e.rank(x)), _centred(e, w, w_zero, axis, e.rank(w))
    if a is None or b is None:
        return None
    return e.add(op_type, a, b, version=e.opset, **(e.node.attrs if op_type == "Conv" else {})),


def _qlinear(op_type: str) -> Rule:
    def rule(e: Expansion) -> tuple[str, ...] | None:
        """saturate(round(product * (x_scale * w_scale / y_scale)) + y_zero); the product is exact, bias and all."""
        kind, rank = _element(e, e.input(7)), e.rank(0)
        if any(_element(e, e.input(i)) != "float" for i in (1, 4, 6)) or kind not in RANGES or not (_single(e, 1) and _single(e, 6)):
            return None
        made, last = _products(e, op_type, (0, 3, 2, 5)), 1 if op_type == "Conv" else -1
        scale, bias = _along(e, 4, last, rank), _along(e, 8, 1, rank) if e.input(8) else ""
        if made is None or scale is None or bias is None:
            return None
        total = e.add("Add", made[0], bias) if bias else made[0]
        factor = e.add("Div", e.add("Mul", e.input(1), scale), e.input(6))
        return _quantized(e, e.add("Mul", _float(e, total), factor), e.input(7), kind),
    return rule


QUANTIZED_FORMS: dict[tuple[str, str], Rule] = {
    ("", "ConvInteger"): _conv_integer,
    ("", "DequantizeLinear"): _dequantize,
    ("", "DynamicQuantizeLinear"): _dynamic,
    ("", "MatMulInteger"): _matmul_integer,
    ("", "QLinearConv"): _qlinear("Conv"),
    ("", "QLinearMatMul"): _qlinear("MatMul"),
    ("", "QuantizeLinear"): _quantize,
}
