"""Convolutions of row-major tensors by the rungs on planes, without two changes of layout."""
from __future__ import annotations

import math

from fastcnn.convolve import ladder
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.planes_product import PLANES_PRODUCT
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.tensor import HALF, Tensor, dense_strides, is_dense, pitch
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import ROUNDED, epilogue, two_dimensional, vector_of
from fastcnn.ops.window import Window, two_axes

CLAMPS = ("Relu", "Clip")   # activations that clamp


def problem_on_planes(low: Lowering, window: Window, group: int) -> Problem | None:
    """The Problem of the node's convolution on planes; None where x or y are not row-major floats, or no rung on planes covers it.

    A window of one tap is one over a single long row, whatever the number of axes.
    """
    x, w = low.read(0), low.args.values[1]
    fused = low.args.has(3) or low.args.has(4) or ROUNDED in low.node.attrs
    if w is None or fused or x.size == 0 or x.dtype == HALF or not is_dense(x.shape, x.strides) or not low.dense_output():
        return None
    if set(window.kernel) | set(window.strides) == {1} and not any((*window.before, *window.after)):
        kh = kw = 1
        ih, iw, oh, ow = 1, math.prod(x.shape[2:]), 1, math.prod(window.out)
        sh = sw = dh = dw = 1
        pt = pl = 0
    elif len(window.kernel) < 3:
        window = two_axes(window)
        (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
        (ih, iw), (oh, ow) = two_dimensional(x).shape[2:], window.out
    else:
        return None
    shape = ConvShape(x.shape[0], group, w.shape[1], w.shape[0] // group, kh, kw, sh, sw, dh, dw, pt, pl, ih, iw, oh, ow, strict=low.strict)
    places = dense_strides(shape.x_extents), dense_strides(shape.y_extents)
    activation = low.node.activation
    problem = Problem(shape, places, low.threads, planes=True, clamped=activation is None or activation.name in CLAMPS)
    return problem if ladder.covers_planes(problem) else None


def lower_on_planes(low: Lowering, problem: Problem, name: str) -> bool:
    """Emits the steps of a rung on planes; returns False, without a step, where a channels-last rung was chosen."""
    choice = low.decide(problem, name)
    if ladder.changes_layout(problem, choice):
        return False
    if choice.kind == "matmul":
        _emit_products(low, choice)
    else:
        _emit_step(low, choice)
    return True


def _emit_products(low: Lowering, choice: Choice) -> None:
    """One matmul step a group."""
    shape, m, k = choice.shape, choice.shape.oc, choice.shape.ic
    x, y = low.read(0), low.write(0, "dense")
    bias = vector_of(low, 2, y.shape[1])
    w, ld = low.args.constant(1), pitch(k)
    rows = low.packed_weights(low.node.input(1), choice, w)
    for g in range(shape.groups):
        weights = Tensor(rows.buffer, (m, k), (ld, 1), rows.offset + g * m * ld)
        part = bias and bias.slice(0, g * m, m)
        low.emit("matmul", [y.slice(1, g * m, m), weights, x.slice(1, g * k, k), part], shape.macs // shape.groups,
                 **PLANES_PRODUCT.product(choice), **epilogue(low.node.activation))


def _emit_step(low: Lowering, choice: Choice) -> None:
    """One step."""
    y, x, w = two_dimensional(low.write(0, "dense")), two_dimensional(low.read(0)), low.args.constant(1)
    weights = low.packed_weights(low.node.input(1), choice, w)
    low.emit(choice.kind, [y, x, weights, vector_of(low, 2, w.shape[0])], choice.shape.macs, **choice.shape.window,
             **choice.fields, **epilogue(low.node.activation))
