"""Resize and Upsample: one to three spatial axes of images, or any axes of dense tensors one after the other."""
from __future__ import annotations

import math

import numpy as np

from fastcnn import _native
from fastcnn.choice.lanes import pick_table
from fastcnn.ops.base import F32, Args, Lowering, Op, Spec, bad_shape
from fastcnn.ops.conv_emit import place
from fastcnn.ops.image import depth_images, depth_rows, is_image, read_image, write_image
from fastcnn.ops.layout import movable, own_output, scalar
from fastcnn.resample import COORDINATES, MODES, Axis, Sampling, is_old, outside, resized_axes, sampling, taps
from fastcnn.tensor import Tensor, is_dense, walk


class Resize(Op):
    """y = x sampled at the coordinates of its outputs: nearest, linear or cubic, each axis on its own.

    x: float32, best (N, C, L), (N, C, H, W) or (N, C, D, H, W) with N and C unchanged. ONNX Upsample-7, 9; Resize-10 to 19 with
    antialias, axes, all coordinate and nearest modes, extrapolation_value. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        x, how = args.spec(0), sampling(args.node)
        return x.dtype == F32 and movable(x) and x.size > 0 and how.mode in MODES and how.coordinates in COORDINATES

    def infer(self, args: Args) -> list[Spec]:
        out = tuple(axis.out for axis in axes_of(args))
        if min(out) < 1:
            raise bad_shape(args, f"the output would be {list(out)}")
        return [Spec(args.spec(0).dtype, out)]

    def lower(self, low: Lowering) -> None:
        how, every = sampling(low.node), axes_of(low.args)
        axes = every[2:]
        if not is_image(low.args.spec(0), (3, 4, 5)) or not all(axis.idle for axis in every[:2]):
            _lower_any(low, every, how)
            return
        if len(axes) == 3:
            _lower_volume(low, axes, how)
        elif not _lower_planes(low, [IDLE] * (2 - len(axes)) + axes, how):
            _emit(low, write_image(low), read_image(low, 0), [IDLE] * (2 - len(axes)) + axes, how)
        if how.coordinates == "tf_crop_and_resize" and how.extrapolation != 0.0:
            _extrapolate(low, low.write(0, "channels_last"), every, how)


IDLE = Axis(1, 1)


def _lower_any(low: Lowering, axes: list[Axis], how: Sampling) -> None:
    """Axis after axis of a dense tensor: the axes before it are images, those after it channels."""
    x, y = low.read(0, "dense"), own_output(low, 0)
    left = [k for k, axis in enumerate(axes) if not axis.idle]
    for k in left:
        n, c, axis = math.prod(x.shape[:k]), math.prod(x.shape[k + 1:]), axes[k]
        shape = (*x.shape[:k], axis.out, *x.shape[k + 1:])
        made = y if k == left[-1] else low.temp(shape)
        to, source = (Tensor(t.buffer, (n, c, 1, w), (w * c, 1, w * c, c), t.offset) for t, w in ((made, axis.out), (x, axis.size)))
        _emit(low, to, source, [IDLE, axis], how)
        x = made
    if not left:
        low.copy(y, x)
    if how.coordinates == "tf_crop_and_resize" and how.extrapolation != 0.0:
        _extrapolate(low, y, axes, how)


def _lower_volume(low: Lowering, axes: list[Axis], how: Sampling) -> None:
    """Height and width of every depth, then depths."""
    x, y = low.read(0, "channels_last"), low.write(0, "channels_last")
    middle = low.temp((*x.shape[:3], *y.shape[3:]), layout="channels_last")
    _emit(low, depth_images(low, middle), depth_images(low, x), axes[1:], how)
    pixels = y.shape[3] * y.shape[4]
    _emit(low, depth_rows(y), depth_rows(middle), [axes[0], Axis(pixels, pixels)], how)


def _lower_planes(low: Lowering, axes: list[Axis], how: Sampling) -> bool:
    """Row-major planes to row-major planes, where the output leaves the program so and making the input so is the cheaper conversion."""
    x, spec = low.read(0), low.output_spec()
    if not low.dense_output() or (x.size > spec.size and not is_dense(x.shape, x.strides)):
        return False
    (rows, row_weights), (columns, column_weights) = (taps(axis, how) for axis in axes)
    picks = [pick_table(index, max(axes[1].size, _native.vector_length())) for index in columns.T]
    tables = [table for table in picks if table is not None]
    if len(tables) < len(picks):
        return False
    pad = -columns.shape[0] % _native.vector_length()
    weights = np.ascontiguousarray(np.pad(column_weights, ((0, pad), (0, 0))).T)
    constants = [low.constant(table) for table in (rows, row_weights, np.stack(tables), weights)]
    low.emit("resize_planes", [low.write(0, "dense"), low.read(0, "dense"), *constants], spec.size * (rows.shape[1] + columns.shape[1]),
             planes=math.prod(x.shape[:2]), ih=axes[0].size, iw=axes[1].size, oh=axes[0].out, ow=axes[1].out, taps_h=rows.shape[1],
             taps_w=columns.shape[1])
    return True


def _emit(low: Lowering, y: Tensor, x: Tensor, axes: list[Axis], how: Sampling) -> None:
    """The step over two axes."""
    (rows, row_weights), (columns, column_weights) = (taps(axis, how) for axis in axes)
    tables = [low.constant(table) for table in (rows, row_weights, columns, column_weights)]
    n, c, oh, ow = y.shape
    low.emit("resize", [y, x, *tables], y.size * (rows.shape[1] + columns.shape[1]), n=n, c=c, ih=x.shape[2],
             iw=x.shape[3], oh=oh, ow=ow, taps_h=rows.shape[1], taps_w=columns.shape[1], **place("x", x),
             **place("y", y))


def _extrapolate(low: Lowering, y: Tensor, axes: list[Axis], how: Sampling) -> None:
    """y = extrapolation_value where a coordinate of any axis lies outside x."""
    beyond = np.zeros([1] * len(axes), bool)
    for k, axis in enumerate(axes):
        beyond = beyond | outside(axis, how).reshape([-1 if d == k else 1 for d in range(beyond.ndim)])
    if not beyond.any():
        return
    value, mask = scalar(low, how.extrapolation).broadcast(y.shape), low.constant(beyond).broadcast(y.shape)
    shape, strides = walk(y.shape, y.strides, mask.strides, value.strides, y.strides)
    low.emit("where", [y, mask, value, y], y.size, ndim=len(shape), shape=shape, elem_bytes=4,
             **dict(zip(("y_strides", "c_strides", "a_strides", "b_strides"), strides)))


def axes_of(args: Args) -> list[Axis]:
    """Every axis of x with its output extent. Raises ShapeError, DataDependent."""
    node, old = args.node, is_old(args.node)
    scales = node.attrs.get("scales") if node.op_type == "Upsample" and node.version < 9 else args.value(1 if old else 2)
    roi, sizes = (None, None) if old else (args.value(1), args.value(3))
    try:
        return resized_axes(node, args.spec(0).shape, roi, scales, sizes)
    except ValueError as error:
        raise bad_shape(args, str(error)) from error
