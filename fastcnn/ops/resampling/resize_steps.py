"""Emits the steps of a float32 Resize, and extrapolation outside of x."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.tensor import Tensor, walk
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.layout import scalar
from fastcnn.resample import Axis, Sampling, outside, taps

IDLE = Axis(1, 1)


def lower_dense(low: Lowering, y: Tensor, x: Tensor, axes: list[Axis], how: Sampling) -> None:
    """Axis after axis of dense tensors: the axes before it are images, those after it channels."""
    left = [k for k, axis in enumerate(axes) if not axis.idle]
    for k in left:
        n, c, axis = math.prod(x.shape[:k]), math.prod(x.shape[k + 1:]), axes[k]
        shape = (*x.shape[:k], axis.out, *x.shape[k + 1:])
        made = y if k == left[-1] else low.temp(shape)
        to, source = (Tensor(t.buffer, (n, c, 1, w), (w * c, 1, w * c, c), t.offset) for t, w in ((made, axis.out), (x, axis.size)))
        emit_resize(low, to, source, [IDLE, axis], how)
        x = made
    if not left:
        low.copy(y, x)


def lower_nearest(low: Lowering, y: Tensor, x: Tensor, axes: list[Axis], how: Sampling) -> None:
    """Dense x to dense y, elements of any type: two neighbouring axes at a time, the last ones first."""
    left = [k for k, axis in enumerate(axes) if not axis.idle]
    if not left:
        low.copy(y, x)
    while left:
        column = left.pop()
        row = left.pop() if left and left[-1] == column - 1 else None
        first = column if row is None else row
        made = low.temp((*x.shape[:first], *y.shape[first:]), x.dtype) if left else y
        rows, columns = IDLE if row is None else axes[row], axes[column]
        tables = [low.constant(taps(axis, how)[0][:, 0]) for axis in (rows, columns)]
        low.emit("resize_nearest", [made, x, *tables], made.size, planes=math.prod(x.shape[:first]), ih=rows.size, iw=columns.size,
                 oh=rows.out, ow=columns.out, inner=math.prod(x.shape[column + 1:]), elem_bytes=x.dtype.itemsize)
        x = made


def emit_resize(low: Lowering, y: Tensor, x: Tensor, axes: list[Axis], how: Sampling) -> None:
    """The step over two axes."""
    (rows, row_weights), (columns, column_weights) = (taps(axis, how) for axis in axes)
    tables = [low.constant(table) for table in (rows, row_weights, columns, column_weights)]
    n, c, oh, ow = y.shape
    low.emit("resize", [y, x, *tables], y.size * (rows.shape[1] + columns.shape[1]), n=n, c=c, ih=x.shape[2],
             iw=x.shape[3], oh=oh, ow=ow, taps_h=rows.shape[1], taps_w=columns.shape[1], **place("x", x),
             **place("y", y))


def extrapolate(low: Lowering, y: Tensor, axes: list[Axis], how: Sampling) -> None:
    """y = extrapolation_value where tf_crop_and_resize puts a coordinate of any axis outside x."""
    if how.coordinates != "tf_crop_and_resize":
        return
    beyond = np.zeros([1] * len(axes), bool)
    for k, axis in enumerate(axes):
        beyond = beyond | outside(axis, how).reshape([-1 if d == k else 1 for d in range(beyond.ndim)])
    if not beyond.any():
        return
    value, mask = scalar(low, how.extrapolation, y.dtype).broadcast(y.shape), low.constant(beyond).broadcast(y.shape)
    shape, strides = walk(y.shape, y.strides, mask.strides, value.strides, y.strides)
    low.emit("where", [y, mask, value, y], y.size, ndim=len(shape), shape=shape, elem_bytes=y.dtype.itemsize,
             **dict(zip(("y_strides", "c_strides", "a_strides", "b_strides"), strides)))
