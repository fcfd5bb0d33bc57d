"""Operators on bytes spelled as operators on floats: a byte u is the float u - zero, a whole number, rounded where the byte would be made.

Products get their factors into the weights, so that sums come out in units of the result. The numbers are those of the bytes, with sums
of float32.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from math import isinf

import numpy as np

from fastcnn.ir.graph import Activation, Node
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.mapping import give_back, recall
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.ops import OPS
from fastcnn.ops.base import BoundNode, Lowering, Op
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.elementwise.elementwise import emit_unary
from fastcnn.ops.layout import operand
from fastcnn.ops.quantized.bytes import LAST, U8, walk_fields, write_like
from fastcnn.ops.quantized.product_step import BIAS, FACTOR, RESIDUAL, TABLE

WINDOW = ("strides", "dilations", "pads", "auto_pad", "kernel_shape", "group", "output_shape", "output_padding")
PRODUCTS = ("QConv", "QConvTranspose", "QMatMul")

LOOKUPS = 258           # numbers of a table for the steps that look floats up
AVERAGES = ("QAveragePool", "QGlobalAveragePool")
POOLING = ("strides", "pads", "auto_pad", "kernel_shape", "ceil_mode", "count_include_pad", "dilations")
# Operators of ONNX that move elements of input 0, of all inputs, or pick the largest: the same on floats.
MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Split", "Slice", "Gather", "DepthToSpace",
                   "SpaceToDepth", "MaxPool"})
JOINS = frozenset({"Concat"})


class RoundSum(Op):
    """y = round(a * a_factor + b * b_factor) within [lo, hi], floats of one shape."""

    def lower(self, low: Lowering) -> None:
        y, attrs = write_like(low, [0, 1]), low.node.attrs
        a, b = operand(low, 0, y), operand(low, 1, y)
        low.emit("round_sum", [y, a, b], y.size, **{name: attrs[name] for name in ("a_factor", "b_factor", "lo", "hi")},
                 **walk_fields(y, a=a, b=b))


class Scaled(Op):
    """y = x * factor, floats."""

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0), write_like(low, [0])        # a copy to another layout is faster than a walk over both
        emit_unary(low, y, x, "Affine", low.node.attrs["factor"])


class RoundProduct(Op):
    """y[n,c,i,j] = round(x[n,c,i,j] * b[n,c] * factor) within [lo, hi], floats."""

    def lower(self, low: Lowering) -> None:
        x, b, y, attrs = low.read(0, "channels_last"), low.read(1, "dense"), low.write(0, "channels_last"), low.node.attrs
        n, c, h, w = y.shape
        low.emit("round_product", [y, x, b], y.size, n=n, h=h, w=w, c=c, factor=attrs["factor"], lo=attrs["lo"], hi=attrs["hi"],
                 **place("x", x), **place("y", y))


class Lookup(Op):
    """y = table[x mod 256], floats that are integers; table: LOOKUPS numbers of 16 bits."""

    def lower(self, low: Lowering) -> None:
        y = write_like(low, [0])
        table = low.packed(("table", low.node.input(1)), lambda: low.args.constant(1))
        x = operand(low, 0, y)
        low.emit("lookup", [y, x, table], y.size, **walk_fields(y, x=x))


ROUND_SUM, SCALED, ROUND_PRODUCT, LOOKUP = RoundSum(), Scaled(), RoundProduct(), Lookup()


@dataclass
class Floats:
    """What nodes as floats are made from, and the constants that they bring along.

    zeros  zero points of values of bytes     names  such a value -> the name of its floats
    """

    zeros: Mapping[str, int]
    specs: dict[str, Spec | None]
    names: dict[str, str] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, value: str) -> str:
        """The name of a value as floats."""
        if value not in self.names:
            self.names[value] = name = f"{value}/floats"
            spec = self.specs[value]
            assert spec is not None, f"{value} has no known shape"
            self.specs[name] = Spec(F32, spec.shape)
        return self.names[value]

    def bound(self, node: Node, op: Op, values: Sequence[np.ndarray | None] = ()) -> BoundNode:
        """The node with the specs of its inputs; values: of those that are constant."""
        padded = (*values, *[None] * (len(node.inputs) - len(values)))
        specs = tuple(Spec(v.dtype, v.shape) if v is not None else self.specs[name] if name else None
                      for name, v in zip(node.inputs, padded))
        return BoundNode(node, op, Args(node, specs, padded))

    def own(self, op: Op, inputs: tuple[str, ...], output: str, name: str, values: Sequence[np.ndarray | None] = (),
            **attrs: float) -> BoundNode:
        """A node of an operator of this file."""
        return self.bound(Node(type(op).__name__, inputs, (output,), attrs, name, OWN_DOMAIN), op, values)

    def from_bytes(self, value: str) -> BoundNode:
        """The node that makes the floats of a value of bytes."""
        attrs = {"scale": 1.0, "zero": self.zeros[value]}
        node = Node("DequantizeBytes", (value,), (self.of(value),), attrs, f"{value}/floats", OWN_DOMAIN)
        return self.bound(node, OPS[OWN_DOMAIN, "DequantizeBytes"])

    def to_bytes(self, value: str) -> BoundNode:
        """The node that makes a value of bytes from its floats."""
        attrs = {"scale": 1.0, "zero": self.zeros[value]}
        node = Node("QuantizeBytes", (self.of(value),), (value,), attrs, f"{value}/bytes", OWN_DOMAIN)
        return self.bound(node, OPS[OWN_DOMAIN, "QuantizeBytes"])


def is_covered(b: BoundNode, zeros: Mapping[str, int], made: Sequence[str]) -> bool:
    """Whether there is a form with floats: zero points known, of tables those that only change the scale. made: its outputs of bytes."""
    node = b.node
    if any(spec is not None and spec.dtype == U8 and b.args.values[i] is None and node.inputs[i] not in zeros
           for i, spec in enumerate(b.args.specs)) or not all(name in zeros for name in made):
        return False
    if node.domain != OWN_DOMAIN:
        return not node.domain and node.activation is None and (node.op_type in JOINS or node.op_type in MOVES) and _moves_floats(b)
    if node.op_type in ("DequantizeBytes", "QuantizeBytes", "QuantizeScaled", *AVERAGES):
        return True
    if node.op_type in PRODUCTS:
        return node.attrs["to"] != "int32" and (not b.args.has(TABLE) or _is_table(b, zeros))
    if node.op_type == "QAdd":
        return node.outputs[0] in zeros and b.args.spec(0).shape == b.args.spec(1).shape and b.args.values[0] is b.args.values[1] is None
    if node.op_type == "QMul":
        return node.outputs[0] in zeros and _scaled_input(b) is not None
    return node.op_type == "ByteTable" and _is_table(b, zeros)


def as_floats(b: BoundNode, to: Floats) -> list[BoundNode]:
    """The nodes that compute on floats what a covered node computes on bytes."""
    node, attrs = b.node, b.node.attrs
    if node.op_type in PRODUCTS:
        return _product(b, to)
    if node.op_type == "DequantizeBytes":
        return [to.own(SCALED, (to.of(node.inputs[0]),), node.outputs[0], node.name, factor=attrs["scale"])]
    if node.op_type == "QuantizeBytes":
        x, bounds = node.inputs[0], {"lo": -attrs["zero"], "hi": LAST - attrs["zero"]}
        return [to.own(ROUND_SUM, (x, x), to.of(node.outputs[0]), node.name, a_factor=1.0 / attrs["scale"], b_factor=0.0, **bounds)]
    if node.op_type == "QuantizeScaled":
        return [_scaled_first(b, to)]
    if node.op_type == "QAdd":
        zero, (a, c) = attrs["y_zero"], (to.of(v) for v in node.inputs)
        return [to.own(ROUND_SUM, (a, c), to.of(node.outputs[0]), node.name, a_factor=attrs["a_factor"], b_factor=attrs["b_factor"],
                       lo=attrs["lo"] - zero, hi=attrs["hi"] - zero)]
    if node.op_type in AVERAGES:
        return _average(b, to)
    if node.op_type == "QMul":
        i, zero = _scaled_input(b), attrs["y_zero"]
        assert i is not None, f"{b.where()}: is_covered() has found one"
        return [to.own(ROUND_PRODUCT, (to.of(node.inputs[i]), to.of(node.inputs[1 - i])), to.of(node.outputs[0]), node.name,
                       factor=attrs["factor"], lo=attrs["lo"] - zero, hi=attrs["hi"] - zero)]
    if node.op_type == "ByteTable":
        return [_changed(b, to, to.of(node.inputs[0]))]
    inputs = tuple(to.of(v) if b.args.values[i] is None and spec is not None and spec.dtype == U8 else v
                   for i, (v, spec) in enumerate(zip(node.inputs, b.args.specs)))
    return [to.bound(node.but(inputs=inputs, outputs=tuple(to.of(v) if v else "" for v in node.outputs)), OPS["", node.op_type],
                     b.args.values)]


def _scaled_first(b: BoundNode, to: Floats) -> BoundNode:
    """x * factor + offset of each channel in units of the scale, rounded: a normalisation by mean 0 and variance 1."""
    node, scale, zero = b.node, b.node.attrs["scale"], b.node.attrs["zero"]
    parameters = [(b.args.constant(i) / np.float32(scale)).astype(F32) for i in (1, 2)]
    parameters += [np.zeros_like(parameters[0]), np.ones_like(parameters[0])]
    names = [f"{node.outputs[0]}/{what}" for what in ("scaled factors", "scaled offsets", "zeros", "ones")]
    to.constants.update(zip(names, parameters))
    lo, hi = (float(np.clip(np.rint(node.attrs[name] / scale), -zero, LAST - zero)) for name in ("lo", "hi"))
    made = Node("BatchNormalization", (node.inputs[0], *names), (to.of(node.outputs[0]),), {"epsilon": 0.0}, node.name, version=15,
                activation=Activation("RoundClip", lo, hi))
    return to.bound(made, OPS["", "BatchNormalization"], (None, *parameters))


def _average(b: BoundNode, to: Floats) -> list[BoundNode]:
    """The mean, then rounded at its scale."""
    node, attrs, output = b.node, b.node.attrs, to.of(b.node.outputs[0])
    mean, kept, op_type = _between(to, output, "mean"), {name: attrs[name] for name in POOLING if name in attrs}, node.op_type[1:]
    bounds = {name: attrs[name] - attrs["y_zero"] for name in ("lo", "hi")}
    return [to.bound(Node(op_type, (to.of(node.inputs[0]),), (mean,), kept, node.name), OPS["", op_type]),
            to.own(ROUND_SUM, (mean, mean), output, node.name, a_factor=attrs["factor"], b_factor=0.0, **bounds)]


def _moves_floats(b: BoundNode) -> bool:
    """Whether the operator moves floats as it moves these bytes."""
    args, node = b.args, b.node
    moved = range(len(args.specs)) if node.op_type in JOINS else (0,)
    if any(args.specs[i] is None or args.spec(i).dtype != U8 or args.values[i] is not None for i in moved):
        return False
    specs = tuple(Spec(F32, spec.shape) if i in moved and spec is not None else spec for i, spec in enumerate(args.specs))
    return OPS["", node.op_type].native(replace(args, specs=specs))


def _product(b: BoundNode, to: Floats) -> list[BoundNode]:
    """The product, and what comes after the first rounding of its sums: a residual, a table, a factor."""
    node, attrs, own = b.node, b.node.attrs, "first_factor" in b.node.attrs
    zero, lo, hi = (attrs[f"first_{name}"] if own else attrs["y_zero" if name == "zero" else name] for name in ("zero", "lo", "hi"))
    floats = attrs["to"] == "float"
    output = node.outputs[0] if floats else to.of(node.outputs[0])
    twice = _twice(b, to) if not own and (lo, hi) == (0, LAST) else None
    if twice is not None:
        return [_sums(b, to, output, twice)]
    in_tile = node.op_type == "QConv" and not floats and b.args.spec(0).rank == 4
    if b.args.has(TABLE) and not own and in_tile and _ratio(b, to.zeros) is None:
        return [_sums(b, to, output, Activation("RoundClip", lo - zero, hi - zero), second=_table_name(b, to, zero))]
    if _adds_in_tile(b):
        second = _between(to, output, "whole") if b.args.has(TABLE) else output
        limits = Activation("RoundTwice", attrs["first_factor"], float(zero + (LAST + 1) * attrs["y_zero"]))
        return [_sums(b, to, second, limits, to.of(node.input(RESIDUAL)), _factor_name(b, to)),
                *([_changed(b, to, second)] if b.args.has(TABLE) else ())]
    first = _between(to, output, "sums") if own or b.args.has(TABLE) else output
    made = [_sums(b, to, first, _limits(floats and not own, lo - zero, hi - zero))]
    if b.args.has(RESIDUAL):
        bounds = {"lo": attrs["lo"] - attrs["y_zero"], "hi": attrs["hi"] - attrs["y_zero"]}
        second = _between(to, output, "whole") if b.args.has(TABLE) else output
        made.append(to.own(ROUND_SUM, (first, to.of(node.input(RESIDUAL))), second, node.name, a_factor=attrs["first_factor"],
                           b_factor=attrs["r_factor"], **bounds))
        first = second
    elif own:
        made.append(to.own(SCALED, (first,), output, node.name, factor=attrs["first_factor"]))
    if b.args.has(TABLE):
        made.append(_changed(b, to, first))
    return made


def _adds_in_tile(b: BoundNode) -> bool:
    """Whether the step of the product adds the residual: both roundings are to any byte."""
    attrs = b.node.attrs
    if b.node.op_type != "QConv" or not b.args.has(RESIDUAL) or attrs["to"] != "uint8" or b.args.spec(0).rank != 4:
        return False
    return (attrs["first_lo"], attrs["first_hi"], attrs["lo"], attrs["hi"]) == (0, LAST, 0, LAST)


def _factor_name(b: BoundNode, to: Floats) -> str:
    """A constant: what the residual is multiplied with."""
    name = f"{b.node.outputs[0]}/residual factor"
    to.constants[name] = np.full(1, b.node.attrs["r_factor"], F32)
    return name


def _is_table(b: BoundNode, zeros: Mapping[str, int]) -> bool:
    """Whether a node's table makes bytes with a known zero point from such."""
    own = b.node.op_type != "ByteTable"
    table = b.args.values[TABLE if own else 1]
    known = b.node.outputs[0] in zeros and (own or b.node.inputs[0] in zeros)
    return known and table is not None and table.dtype == np.uint8 and table.size == LAST + 1


def _table_name(b: BoundNode, to: Floats, zero: int) -> str:
    """A constant: the table of floats, which are bytes less their zero points, zero that of what is looked up; see the step."""
    own = b.node.op_type != "ByteTable"
    table = b.args.constant(TABLE if own else 1).reshape(-1).astype(np.int16) - np.int16(to.zeros[b.node.outputs[0]])
    name = f"{b.node.outputs[0]}/table less zero"
    to.constants[name] = np.concatenate([np.roll(table, -zero), np.zeros(LOOKUPS - LAST - 1, np.int16)])
    return name


def _changed(b: BoundNode, to: Floats, x: str) -> BoundNode:
    """A table: of a change of scale the numbers, else itself."""
    if _ratio(b, to.zeros) is not None:
        return _rescaled(b, to, x)
    zero = b.node.attrs["y_zero"] if b.node.op_type != "ByteTable" else to.zeros[b.node.inputs[0]]
    name = _table_name(b, to, zero)
    return to.own(LOOKUP, (x, name), to.of(b.node.outputs[0]), b.name, (None, to.constants[name]))


def _scaled_input(b: BoundNode) -> int | None:
    """Which input of a QMul is a map (N, C, H, W), where the other is one number a channel (N, C, 1, 1)."""
    if b.args.values[0] is not None or b.args.values[1] is not None:
        return None
    shapes = [b.args.spec(i).shape for i in (0, 1)]
    for x in (0, 1):
        if len(shapes[x]) == 4 and shapes[1 - x] == (*shapes[x][:2], 1, 1) != shapes[x]:
            return x
    return None


def _twice(b: BoundNode, to: Floats) -> Activation | None:
    """Both roundings of a product with a table that changes the scale, where all bytes are within the table's limits."""
    found = _ratio(b, to.zeros) if b.args.has(TABLE) else None
    if found is None:
        return None
    zero, last = b.node.attrs["y_zero"], to.zeros[b.node.outputs[0]]
    made = np.rint((np.arange(LAST + 1.0) - zero).astype(F32) * np.float32(found[0])).clip(-last, LAST - last)
    same = np.array_equal(made.clip(*found[1:]), made)
    return Activation("RoundTwice", found[0], float(zero + (LAST + 1) * last)) if same else None


def _limits(plain: bool, lo: float, hi: float) -> Activation | None:
    """What happens to the sums: bounds where results are floats, else the nearest whole number within them."""
    if not plain:
        return Activation("RoundClip", lo, hi)
    return None if isinf(lo) and isinf(hi) else Activation("Clip", lo, hi)


def _between(to: Floats, output: str, what: str) -> str:
    """A value on the way to an output, of its shape."""
    name = f"{output}/{what}"
    to.specs[name] = replace(to.specs[output], dtype=F32)       # type: ignore[type-var]
    return name


def _sums(b: BoundNode, to: Floats, output: str, limits: Activation | None, residual: str = "", second: str = "") -> BoundNode:
    """y = limits((sum of x * w + bias) * factor). second: a constant that the second of two roundings needs."""
    node, args = b.node, b.args
    w, factor = args.constant(1), args.constant(FACTOR)
    stem = f"{node.input(1)} * {node.input(FACTOR)}"
    names: list[str] = [f"{stem}/floats"]
    arrays: list[np.ndarray | None] = [scaled := _scaled_weights(b, w, factor)]
    if args.has(BIAS):
        names.append(f"{stem} + {node.input(BIAS)}/floats")
        arrays.append((args.constant(BIAS) * factor.astype(np.float64)).astype(F32))
    op_type, kept = {"QConv": "Conv", "QConvTranspose": "ConvTranspose"}.get(node.op_type), dict[str, object]()
    if op_type is not None:
        kept = {name: node.attrs[name] for name in WINDOW if name in node.attrs}
    elif args.spec(0).rank == 2:
        op_type, kept = "Gemm", {"transB": 1}
    else:
        op_type, arrays[0] = "MatMul", np.ascontiguousarray(scaled.T)
    if second:
        names += [""] * (2 - len(names)) + [residual, second]
        arrays += [None] * (3 - len(arrays)) + [to.constants[second]]
    to.constants.update({name: array for name, array in zip(names, arrays) if array is not None})
    made = Node(op_type, (to.of(node.inputs[0]), *names), (output,), kept, node.name, activation=limits)
    return to.bound(made, OPS["", op_type], (None, *arrays))


def _scaled_weights(b: BoundNode, w: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """w with the factor of each output channel."""
    group, rest = b.node.attrs.get("group", 1), (1,) * (w.ndim - 2)
    if b.node.op_type == "QConvTranspose":
        by_output = factor.reshape(group, -1, *rest).repeat(w.shape[0] // group, 0)
    else:
        by_output = factor.reshape(-1, 1, *rest)
    recall(w)
    scaled = w.astype(F32) * by_output
    give_back(w)
    return scaled


def _rescaled(b: BoundNode, to: Floats, x: str) -> BoundNode:
    """A table that changes the scale."""
    found = _ratio(b, to.zeros)
    assert found is not None, f"{b.where()}: is_covered() has found one"
    ratio, lo, hi = found
    return to.own(ROUND_SUM, (x, x), to.of(b.node.outputs[0]), b.name, a_factor=ratio, b_factor=0.0, lo=lo, hi=hi)


def _ratio(b: BoundNode, zeros: Mapping[str, int]) -> tuple[float, int, int] | None:
    """(ratio, lo, hi) of a node's table that is y = round((u - zero of u) * ratio) within lo..hi, plus y's zero point; None for others."""
    own, node = b.node.op_type != "ByteTable", b.node
    table, zero = b.args.values[TABLE if own else 1], node.attrs["y_zero"] if own else zeros.get(node.inputs[0])
    if table is None or table.dtype != np.uint8 or zero is None or node.outputs[0] not in zeros:
        return None
    x, y = np.arange(256.0) - zero, table.reshape(-1).astype(np.float64) - zeros[node.outputs[0]]
    lo, hi = y.min(), y.max()
    inner, ends = (y > lo) & (y < hi) & (x != 0), ((y == hi) & (x > 0)) | ((y == lo) & (x < 0))
    if not inner.any():
        return None
    bounds = np.sort((y[inner, None] + (-0.5, 0.5)) / x[inner, None], 1)
    least = max(bounds[:, 0].max(), ((np.abs(y[ends]) - 0.5) / np.abs(x[ends])).max(initial=0))     # bytes at the ends may be limited
    ratio = np.float32((least + bounds[:, 1].min()) / 2)
    made = np.clip(np.rint(x.astype(F32) * ratio), lo, hi)
    return (float(ratio), int(lo), int(hi)) if np.array_equal(made, y) else None
