"""A product of bytes by float kernels, where the instruction set has no dot products of bytes: Winograd outruns exact sums three times.

What is computed is what the operator says, with sums of float32.
"""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastcnn import _native
from fastcnn.convolve import ladder
from fastcnn.convolve.arithmetic import FLOAT32
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.shape import Problem, own_places
from fastcnn.ir.graph import Activation, Node
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import BoundNode, Lowering
from fastcnn.ops.convolution.conv_emit import emit_conv
from fastcnn.ops.quantized.bytes import U8, walk_fields
from fastcnn.ops.window import Window

# Instruction sets whose dot products of bytes are several instructions.
WITHOUT_DOTS = ("scalar", "avx2", "avx512")
DEQUANTISE, QUANTISE = 3.0, 6.0         # cycles a vector


def pays(problem: Problem, picked: Choice) -> bool:
    """Whether floats, conversions included, are predicted to be faster than what was picked for bytes."""
    if _native.current_isa() not in WITHOUT_DOTS:
        return False
    shape = replace(problem.shape, arithmetic=FLOAT32)
    floats = ladder.choose(Problem(shape, own_places(shape), problem.threads))
    vector = _native.vector_length()
    converted = (DEQUANTISE * np.prod(shape.x_extents) + QUANTISE * np.prod(shape.y_extents)) / vector / problem.threads
    return bool(ladder.cycles(floats, problem.threads) + converted < ladder.cycles(picked, problem.threads))


def lower_in_floats(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, window: Window, group: int,
                    table: Tensor | None) -> None:
    """Floats of x, the convolution with the factors in its weights, what comes after the sum by steps of its own."""
    attrs, own = low.node.attrs, "first_factor" in low.node.attrs
    zero, lo, hi = (attrs[f"first_{name}"] if own else attrs["y_zero" if name == "zero" else name] for name in ("zero", "lo", "hi"))
    floats = low.temp(x.shape, F32, "channels_last")
    low.emit("dequantise", [floats, x], x.size, scale=1.0, zero=attrs["x_zero"], **walk_fields(floats, x=x))
    whole = attrs["to"] == "float" and not own
    sums = y if whole else low.temp(y.shape, F32, "channels_last")
    _emit_sums(low, sums, floats, w, window, group, Activation("Clip", lo - zero, hi - zero))
    if whole:
        return
    first = y if not own and table is None else low.temp(y.shape, U8, "channels_last")
    low.emit("quantise", [first, sums], y.size, scale=1.0, zero=zero, **walk_fields(first, x=sums))
    if residual is not None:
        low.emit("qadd", [y, first, residual], y.size, a_factor=attrs["first_factor"], a_zero=zero, b_factor=attrs["r_factor"],
                 b_zero=attrs["r_zero"], zero=attrs["y_zero"], lo=attrs["lo"], hi=attrs["hi"], **walk_fields(y, a=first, b=residual))
        first = y
    elif own:
        low.emit("dequantise", [y, first], y.size, scale=attrs["first_factor"], zero=zero, **walk_fields(y, x=first))
    if table is not None:
        low.emit("table", [y, first, table], y.size, **walk_fields(y, x=first))


def _emit_sums(low: Lowering, y: Tensor, x: Tensor, w: np.ndarray, window: Window, group: int, limits: Activation) -> None:
    """y = (sum of x * w + bias) * factor as a Conv."""
    low.contents(1)
    factor = low.args.constant(3)
    scaled = w.astype(F32) * factor.reshape(-1, 1, 1, 1)
    bias = low.args.values[2] if low.args.has(2) else None
    shift = np.zeros_like(factor) if bias is None else (bias * factor.astype(np.float64)).astype(F32)
    node = Node("Conv", (low.node.input(0), low.node.input(1), low.node.input(3)), low.node.outputs, {}, low.node.name, activation=limits)
    specs = (Spec(F32, x.shape), Spec(F32, scaled.shape), Spec(F32, shift.shape))
    part = low.part(BoundNode(node, None, Args(node, specs, (None, scaled, shift))))
    emit_conv(part, y, x, None, scaled, f"{low.node.input(3)}/floats", window, group)
