"""Predicts the time of a product in floats and on bytes, by the cost model that chooses algorithms."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.arithmetic import FLOAT32, U8S8, Arithmetic
from fastcnn.convolve.quantized_gemm import has_dots, quantise_cycles
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.graph import Node
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.machine.clock import cycles_per_second
from fastcnn.ops.convolution.conv3d import plane_of
from fastcnn.ops.window import resolve, two_axes
from fastcnn.precision.products import output_axis


class Predicted(NamedTuple):
    """Milliseconds of one product: in float32, on bytes, and for its input to become bytes where it comes as floats."""

    floats_ms: float
    bytes_ms: float
    entering_ms: float


def predicted(node: Node, x: tuple[int, ...], w: tuple[int, ...], threads: int) -> Predicted:
    """For an input of these extents and weights of those."""
    shape = _conv_shape(node, x, w)
    ms = 1e3 / cycles_per_second()
    entering = quantise_cycles() * float(np.prod(x)) / _native.vector_length() / threads
    floats = _cycles(shape, FLOAT32, threads)
    on_bytes = floats if len(x) == 5 and not has_dots() else _cycles(shape, U8S8, threads)      # volumes are floats there
    return Predicted(ms * floats, ms * on_bytes, ms * entering)


def _cycles(shape: ConvShape, arithmetic: Arithmetic, threads: int) -> float:
    whole = replace(shape, arithmetic=arithmetic)
    return ladder.cycles(ladder.choose(Problem(whole, own_places(whole), threads)), threads)


def _conv_shape(node: Node, x: tuple[int, ...], w: tuple[int, ...]) -> ConvShape:
    """The product as a convolution; rows of a matrix are the pixels of one line, and so are those of a transposed convolution."""
    if node.op_type == "ConvTranspose":         # each pixel times every tap
        pixels, taps = x[0] * math.prod(x[2:]), math.prod(w[2:])
        return _of_rows(pixels, w[0], w[1] * taps)
    if node.op_type != "Conv":
        return _of_rows(math.prod(x[:-1]), x[-1], w[output_axis(node)])
    args = Args(node, (Spec(F32, x), Spec(F32, w)), (None, None))
    window = resolve(args, x[2:], w[2:])
    if len(x) == 5:                             # for each output depth one of all depths in its window, as channels
        x, w, window = (x[0] * window.out[0], x[1] * w[2], *x[3:]), (w[0], w[1] * w[2], *w[3:]), plane_of(window)
    window = two_axes(window)
    (kh, kw), (sh, sw), (dh, dw), (pt, pl), (oh, ow) = window.kernel, window.strides, window.dilations, window.before, window.out
    group, (ih, iw) = node.attrs.get("group", 1), x[2:] if len(x) == 4 else (1, x[2])
    return ConvShape(n=x[0], groups=group, ic=w[1], oc=w[0] // group, kh=kh, kw=kw, sh=sh, sw=sw, dh=dh, dw=dw, pt=pt, pl=pl,
                     ih=ih, iw=iw, oh=oh, ow=ow)


def _of_rows(m: int, k: int, n: int) -> ConvShape:
    """A matrix product of m rows: a 1x1 convolution of one line."""
    return ConvShape(n=1, groups=1, ic=k, oc=n, kh=1, kw=1, sh=1, sw=1, dh=1, dw=1, pt=0, pl=0, ih=1, iw=m, oh=1, ow=m)
