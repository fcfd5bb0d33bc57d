"""Operators that work element by element, with ONNX broadcasting: float32 by vector kernels, other types by plain loops."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor, walk
from fastcnn.operators.cards import CARDS
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import epilogue
from fastcnn.ops.layout import BOOL, COMPUTED, DTYPE_CODES, INTEGERS, aligned_to, elementwise_strides, movable, operand, scalar

FLOATS: frozenset[np.dtype] = frozenset((F32, np.dtype(np.float64)))
# Exponentials and logarithms against an addition: what decides whether a step is worth a second thread.
UNARY_WORK = 4

TYPED_UNARY = frozenset(("Abs", "Neg", "Sign"))


def emit_unary(low: Lowering, y: Tensor, x: Tensor, function: str, alpha: float = 0.0, beta: float = 0.0) -> None:
    """y = function(x; alpha, beta), float32."""
    shape, (y_strides, x_strides) = walk(y.shape, y.strides, x.strides)
    low.emit("unary", [y, x], UNARY_WORK * y.size, ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
             fn=_native.UNARY[function], alpha=alpha, beta=beta)


def emit_binary(low: Lowering, y: Tensor, a: Tensor, b: Tensor, function: str, activation: dict[str, float] | None = None) -> None:
    """y = activation(function(a, b)); a and b have the shape of y. Float32 arithmetic by vector kernels, the rest by plain loops."""
    shape, (y_strides, a_strides, b_strides) = walk(y.shape, y.strides, a.strides, b.strides)
    fields: dict[str, Any] = {"ndim": len(shape), "shape": shape, "y_strides": y_strides, "a_strides": a_strides, "b_strides": b_strides}
    if a.dtype == F32 and function in _native.BINARY:
        low.emit("binary", [y, a, b], y.size, op=_native.BINARY[function], **fields, **(activation or epilogue(None)))
    else:
        low.emit("typed_binary", [y, a, b], y.size, op=_native.TYPED_BINARY[function], dtype=DTYPE_CODES[a.dtype], **fields)


def emit_cast(low: Lowering, y: Tensor, x: Tensor) -> None:
    """y = x converted to the type of y."""
    shape, (y_strides, x_strides) = walk(y.shape, y.strides, x.strides)
    low.emit("cast", [y, x], y.size, ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
             x_dtype=DTYPE_CODES[x.dtype], y_dtype=DTYPE_CODES[y.dtype])


def write_like(low: Lowering, inputs: Sequence[int]) -> Tensor:
    """Memory for output 0 where the elementwise inputs suggest it."""
    shape = low.output_spec(0).shape
    return low.write(0, elementwise_strides([low.read(i) for i in inputs], shape))


class Unary(Op):
    """y = f(x; alpha, beta), the function of the operator's card. float32; Abs, Neg and Sign of any type."""

    def native(self, args: Args) -> bool:
        typed = args.node.op_type in TYPED_UNARY and args.spec(0).dtype in COMPUTED - {BOOL}
        return (typed or args.spec(0).dtype == F32) and movable(*args.specs)

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0), write_like(low, [0])
        if x.dtype == F32:
            emit_unary(low, y, x, *CARDS[low.node.domain, low.node.op_type].call(low.node.op_type, low.node.attrs))
        else:
            emit_typed_unary(low, y, x, low.node.op_type)


def emit_typed_unary(low: Lowering, y: Tensor, x: Tensor, function: str) -> None:
    """y = function(x) by plain loops."""
    shape, (y_strides, x_strides) = walk(y.shape, y.strides, x.strides)
    low.emit("typed_unary", [y, x], y.size, ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
             op=_native.TYPED_UNARY[function], dtype=DTYPE_CODES[x.dtype])


class TypedUnary(Op):
    """Not, IsNaN, IsInf and BitwiseNot; IsInf only for both signs at once."""

    def __init__(self, dtypes: frozenset[np.dtype]):
        self.dtypes = dtypes

    def native(self, args: Args) -> bool:
        both = args.node.attrs.get("detect_negative", 1) and args.node.attrs.get("detect_positive", 1)
        return args.spec(0).dtype in self.dtypes and movable(*args.specs) and bool(both)

    def lower(self, low: Lowering) -> None:
        emit_typed_unary(low, write_like(low, [0]), low.read(0), low.node.op_type)


class Binary(Op):
    """y = f(a, b) with multidirectional broadcasting. `function` names it to the kernels, from the node's attributes."""

    def __init__(self, function: str | Callable[[Args], str | None], dtypes: frozenset[np.dtype] = COMPUTED - {BOOL}):
        self.function: Callable[[Args], str | None] = function if callable(function) else lambda args: function
        self.dtypes = dtypes

    def native(self, args: Args) -> bool:
        a, b = args.spec(0), args.spec(1)
        return (a.dtype == b.dtype and a.dtype in self.dtypes and movable(a, b) and self.function(args) is not None
                and (args.node.activation is None or a.dtype == F32))

    def lower(self, low: Lowering) -> None:
        y = write_like(low, (0, 1))
        function = self.function(low.args)
        assert function is not None
        emit_binary(low, y, operand(low, 0, y), operand(low, 1, y), function, epilogue(low.node.activation))


def mod_function(args: Args) -> str | None:
    """fmod=1 has the sign of the dividend, as C; fmod=0, only for integers, that of the divisor."""
    fmod, integer = args.node.attrs.get("fmod", 0), args.spec(0).dtype in INTEGERS
    if args.spec(0).dtype == F32:
        return "Mod" if fmod else None
    return "FMod" if fmod else "Mod" if integer else None


def shift_function(args: Args) -> str | None:
    return {"LEFT": "ShiftLeft", "RIGHT": "ShiftRight"}.get(args.node.attrs.get("direction", ""))


class Pow(Op):
    """y = a^b in the type of a; b is converted to it. ONNX Pow-7, 12, 13, 15."""

    def native(self, args: Args) -> bool:
        a, b = args.spec(0).dtype, args.spec(1).dtype
        return a in COMPUTED - {BOOL} and b in COMPUTED - {BOOL} and (a == b or a in FLOATS) and movable(*args.specs)

    def lower(self, low: Lowering) -> None:
        y = write_like(low, (0,))
        b = operand(low, 1, y)
        if b.dtype != y.dtype:
            source = low.read(1, "dense")
            converted = low.temp(source.shape, y.dtype)
            emit_cast(low, converted, source)
            b = aligned_to(converted, len(y.shape)).broadcast(y.shape)
        emit_binary(low, y, operand(low, 0, y), b, "Pow")


class Variadic(Op):
    """y = x0 f x1 f x2 ..., broadcast; Mean divides by their number. ONNX Sum, Max, Min and Mean from 6 on."""

    def __init__(self, function: str, mean: bool = False):
        self.function, self.mean = function, mean

    def native(self, args: Args) -> bool:
        first = args.spec(0).dtype
        return first in COMPUTED - {BOOL} and all(s is not None and s.dtype == first for s in args.specs) and movable(*args.specs)

    def lower(self, low: Lowering) -> None:
        inputs = range(len(low.args.specs))
        if len(inputs) == 1:
            low.alias(0, low.read(0))
            return
        y = write_like(low, inputs)
        left = operand(low, 0, y)
        for i in inputs[1:]:
            emit_binary(low, y, left, operand(low, i, y), self.function)
            left = y
        if self.mean:
            emit_binary(low, y, y, scalar(low, len(inputs), y.dtype).broadcast(y.shape), "Div")


class PRelu(Op):
    """y = x < 0 ? slope * x : x; the slope broadcasts to x. ONNX PRelu-7, 9, 16."""

    def native(self, args: Args) -> bool:
        return super().native(args) and movable(*args.specs)

    def lower(self, low: Lowering) -> None:
        y = write_like(low, (0,))
        emit_binary(low, y, operand(low, 0, y), operand(low, 1, y), "PRelu")


class Clip(Op):
    """y = min(max(x, low), high): limits as attributes (6) or optional scalar inputs (11 on), constant or computed."""

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        scalars = all(s is None or (s.dtype == x.dtype and s.size == 1) for s in args.specs[1:])
        return x.dtype in COMPUTED - {BOOL} and movable(x) and scalars

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0), write_like(low, [0])
        limits = self._constant_limits(low)
        if limits is not None and x.dtype == F32:
            emit_unary(low, y, x, "Clip", *limits)
            return
        for i, function in ((1, "Max"), (2, "Min")):
            if low.args.has(i):
                limit = low.read(i)
                emit_binary(low, y, x, Tensor(limit.buffer, (), (), limit.offset).broadcast(y.shape), function)
                x = y
        if x is not y:
            low.copy(y, x)

    def _constant_limits(self, low: Lowering) -> tuple[float, float] | None:
        if low.node.version < 11:
            return float(low.node.attrs.get("min", -math.inf)), float(low.node.attrs.get("max", math.inf))
        limits = []
        for i, default in ((1, -math.inf), (2, math.inf)):
            if not low.args.has(i):
                limits.append(default)
            elif low.args.values[i] is None:
                return None
            else:
                limits.append(float(np.ravel(low.args.constant(i))[0]))
        return limits[0], limits[1]


class Where(Op):
    """y = condition ? a : b, broadcast; any type. ONNX Where-9, 16."""

    def native(self, args: Args) -> bool:
        return movable(*args.specs) and args.spec(0).dtype == BOOL and args.spec(1).dtype == args.spec(2).dtype

    def lower(self, low: Lowering) -> None:
        y = write_like(low, (1, 2, 0))
        condition, a, b = (operand(low, i, y) for i in range(3))
        shape, (y_strides, c_strides, a_strides, b_strides) = walk(y.shape, y.strides, condition.strides, a.strides, b.strides)
        low.emit("where", [y, condition, a, b], y.size, ndim=len(shape), shape=shape, y_strides=y_strides, c_strides=c_strides,
                 a_strides=a_strides, b_strides=b_strides, elem_bytes=y.dtype.itemsize)


# TensorProto.DataType -> numpy, for the types that casts know.
CAST_TARGETS = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
                11: "float64", 12: "uint32", 13: "uint64"}


class Cast(Op):
    """y = x converted to the type `to`; CastLike: to that of input 1. Floats are truncated, bool is x != 0. ONNX 6 and on."""

    def native(self, args: Args) -> bool:
        return self._target(args) in DTYPE_CODES and args.spec(0).dtype in DTYPE_CODES

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        if low.output_spec(0).dtype == x.dtype:
            low.alias(0, x)
        else:
            emit_cast(low, write_like(low, [0]), x)

    def _target(self, args: Args) -> np.dtype | None:
        if args.node.op_type == "CastLike":
            return args.spec(1).dtype
        name = CAST_TARGETS.get(args.node.attrs.get("to", 0))
        return np.dtype(name) if name else None


OPERATORS: dict[str, Op] = {
    **{name: Unary() for (_, name), card in CARDS.items() if card.function is not None},
    "Not": TypedUnary(frozenset((BOOL,))),
    "IsNaN": TypedUnary(FLOATS),
    "IsInf": TypedUnary(FLOATS),
    "BitwiseNot": TypedUnary(INTEGERS),
    **{name: Binary(name) for name in ("Add", "Sub", "Mul", "Div", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")},
    "Mod": Binary(mod_function),
    "Equal": Binary("Equal", COMPUTED),
    **{name: Binary(name, frozenset((BOOL,))) for name in ("And", "Or", "Xor")},
    **{name: Binary(name, INTEGERS) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    "BitShift": Binary(shift_function, INTEGERS),
    "Pow": Pow(),
    "Sum": Variadic("Add"),
    "Max": Variadic("Max"),
    "Min": Variadic("Min"),
    "Mean": Variadic("Add", mean=True),
    "PRelu": PRelu(),
    "Clip": Clip(),
    "Where": Where(),
    "Cast": Cast(),
    "CastLike": Cast(),
}
