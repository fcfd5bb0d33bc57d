"""Computes a product of bytes by float kernels where the instruction set has no dot products of bytes and floats are faster.

What is computed is what the operator says, with sums of float32.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.arithmetic import FLOAT32
from fastcnn.convolve.implicit_gemm import THROUGH_BAND
from fastcnn.convolve.quantized_gemm import dequantise_cycles, quantise_cycles
from fastcnn.convolve.quantized_gemm import has_dots as has_dots
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.graph import Activation, Node
from fastcnn.ir.record import replace
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.ir.tensor import Tensor
from fastcnn.machine.current import current
from fastcnn.ops.base import BoundNode, Lowering
from fastcnn.ops.quantized.bytes import U8, walk_fields
from fastcnn.ops.quantized.product_step import BIAS, FACTOR, TABLE

RUN = 20.0      # cycles of a call that copies a run
# (lowering, y, x, w, name of w): emits the product of floats.
Emit = Callable[[Lowering, Tensor, Tensor, np.ndarray, str], None]


def float_cycles(shape: ConvShape) -> float:
    """Predicted cycles of a convolution of floats.

    Rows of pixels that are no whole vectors go to the band as runs, which the ladder, choosing among floats, counts tap by tap.
    """
    picked = ladder.choose(Problem(shape, own_places(shape)))
    cycles, vector = ladder.cycles(picked, 1), _native.vector_length()
    if picked.rung != THROUGH_BAND.name or shape.ic >= vector:
        return cycles
    runs = shape.n * shape.groups * shape.ih * (-(-shape.iw * shape.ic // vector) * current().core(vector).band + RUN)
    return cycles - max(0.0, THROUGH_BAND.copy_cycles(shape) - runs)


def pays(problem: Problem) -> bool:
    """Whether floats, conversions included, are predicted to be faster than bytes; on one thread: any number has the same bits."""
    if has_dots():
        return False
    shape = replace(problem.shape, arithmetic=FLOAT32)
    picked, vector = ladder.choose(replace(problem, threads=1)), _native.vector_length()
    converted = (dequantise_cycles() * np.prod(shape.x_extents) + quantise_cycles() * np.prod(shape.y_extents)) / vector
    return bool(float_cycles(shape) + converted < ladder.cycles(picked, 1))


def lower_in_floats(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, layout: str,
                    by_output: Callable[[np.ndarray], np.ndarray], emit: Emit) -> None:
    """Floats of x, the product with the factors in its weights, what comes after the sum by steps of its own.

    layout     of y and its temporaries
    by_output  numbers of output channels as they are multiplied with w
    emit       (lowering, y, x, w, name of w): the steps of the product of floats, bias and activation included
    """
    attrs, own = low.node.attrs, "first_factor" in low.node.attrs
    zero, lo, hi = (attrs[f"first_{name}"] if own else attrs["y_zero" if name == "zero" else name] for name in ("zero", "lo", "hi"))
    table = low.read(TABLE, "dense") if low.args.has(TABLE) else None
    floats = low.once((low.node.input(0), "less zero", attrs["x_zero"], layout, x.shape), lambda: _less_zero(low, x, layout))
    whole = attrs["to"] == "float" and not own
    sums = y if whole else low.temp(y.shape, F32, layout)
    _emit_sums(low, sums, floats, w, by_output, Activation("Clip", lo - zero, hi - zero), emit)
    if whole:
        return
    first = y if not own and table is None else low.temp(y.shape, U8, layout)
    low.emit("quantise", [first, sums], y.size, scale=1.0, zero=zero, **walk_fields(first, x=sums))
    if residual is not None:
        low.emit("qadd", [y, first, residual], y.size, a_factor=attrs["first_factor"], a_zero=zero, b_factor=attrs["r_factor"],
                 b_zero=attrs["r_zero"], zero=attrs["y_zero"], lo=attrs["lo"], hi=attrs["hi"], **walk_fields(y, a=first, b=residual))
        first = y
    elif own:
        low.emit("dequantise", [y, first], y.size, scale=attrs["first_factor"], zero=zero, **walk_fields(y, x=first))
    if table is not None:
        low.emit("table", [y, first, table], y.size, **walk_fields(y, x=first))


def _less_zero(low: Lowering, x: Tensor, layout: str) -> Tensor:
    """x - x_zero as floats."""
    floats, zero = low.temp(x.shape, F32, layout), low.node.attrs["x_zero"]
    low.emit("dequantise", [floats, x], x.size, scale=1.0, zero=zero, **walk_fields(floats, x=x))
    return floats


def _emit_sums(low: Lowering, y: Tensor, x: Tensor, w: np.ndarray, by_output: Callable[[np.ndarray], np.ndarray], limits: Activation,
               emit: Emit) -> None:
    """y = (sum of x * w + bias) * factor."""
    low.contents(1)
    factor = low.args.constant(FACTOR)
    scaled = w.astype(F32) * by_output(factor)
    bias = low.args.values[BIAS] if low.args.has(BIAS) else None
    shift = np.zeros_like(factor) if bias is None else (bias * factor.astype(np.float64)).astype(F32)
    attrs = {"group": low.node.attrs.get("group", 1)}
    inputs = (low.node.input(0), low.node.input(1), low.node.input(FACTOR))
    node = Node("Conv", inputs, low.node.outputs, attrs, low.node.name, activation=limits)
    specs = (Spec(F32, x.shape), Spec(F32, scaled.shape), Spec(F32, shift.shape))
    part = low.part(BoundNode(node, None, Args(node, specs, (None, scaled, shift))))
    emit(part, y, x, scaled, f"{low.node.input(FACTOR)}/floats")
