"""ConvTranspose as one product: what every input pixel gives each tap and output channel, then the sums of what overlaps."""
from __future__ import annotations

import numpy as np

from fastcnn.convolve.shape import ConvShape
from fastcnn.convolve.transposed import axes_of, column_runs, product_shape
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import Term, emit_conv, epilogue, place, vector_of
from fastcnn.ops.window import Window


def emit_product(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray | Tensor, name: str, shape: ConvShape,
                 joins: bool, term: Term) -> None:
    """The steps of a transposed convolution (`shape`, its strides those of y) with w (C, M/group, kh, kw).

    joins  the pixels of y are neighbours, so neighbouring phases are one run
    """
    one = product_shape(shape)
    z = low.temp((shape.n, shape.groups * one.oc, shape.ih, shape.iw), layout="channels_last")
    window = Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0), (shape.ih, shape.iw))
    taps = _by_tap(low, w, shape.groups)
    emit_conv(low, z, x, None, taps, f"{name}@{shape.groups}:product", window, shape.groups, Term(first=False, last=False))
    runs = column_runs(axes_of(shape)[1], joins)
    most = max(len(run.terms) for run in runs)
    rows = [[run.phase, run.phases, run.columns, len(run.terms), *sum(run.terms, ()), *[0] * 2 * (most - len(run.terms))] for run in runs]
    m = shape.groups * shape.oc
    bias, slope = vector_of(low, 2, m) if term.first else None, vector_of(low, 4, m) if term.last else None
    activation = epilogue(low.node.activation if term.last else None)
    low.emit("overlap_add", [y, z, low.constant(np.array(rows, np.int64)), bias, residual, slope], z.size, **shape.window,
              groups=shape.groups, oc=shape.oc, runs=len(runs), most=most, **place("x", z), **place("y", y), **place("r", residual),
             **activation)


def _by_tap(low: Lowering, w: np.ndarray | Tensor, groups: int) -> np.ndarray | Tensor:
    """w (C, M/group, kh, kw) as the filters (group*kh*kw*M/group, C/group, 1, 1) of the product."""
    c, m, kh, kw = w.shape
    split, order, merged = (groups, c // groups, m, kh, kw), (0, 3, 4, 2, 1), (groups * kh * kw * m, c // groups, 1, 1)
    if isinstance(w, np.ndarray):
        low.contents(1)
        return w.reshape(split).transpose(order).reshape(merged)
    moved = low.temp((groups, kh, kw, m, c // groups))
    low.copy(moved, w.view(split).transpose(order))
    return moved.view(merged)
