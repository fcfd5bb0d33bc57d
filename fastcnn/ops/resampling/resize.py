"""Resize and Upsample: one to three spatial axes of images, or any axes of dense tensors one after the other."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
import fastcnn.resample as resample
from fastcnn.convolve.lane_tables import pick_table
from fastcnn.ir.spec import F32, Args, bad_shape
from fastcnn.ir.tensor import is_dense
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.image import depth_images, depth_rows, is_image, read_image, write_image
from fastcnn.ops.layout import movable, own_output
from fastcnn.ops.resampling.resize_integer import INTEGERS, lower_integer
from fastcnn.ops.resampling.resize_steps import IDLE, emit_resize, extrapolate, lower_dense, lower_nearest
from fastcnn.resample import COORDINATES, MODES, Axis, Sampling, sampling, taps


class Resize(Op):
    """y = x sampled at the coordinates of its outputs: nearest, linear or cubic, each axis on its own.

    x: float32, best (N, C, L), (N, C, H, W) or (N, C, D, H, W) with N and C unchanged; int8, uint8 and int32, which are rounded as
    onnxruntime rounds them; for nearest any type. ONNX Upsample-7, 9; Resize-10 to 19 with antialias, axes, all coordinate and nearest
    modes, extrapolation_value. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        x, how = args.spec(0), sampling(args.node)
        computed = x.dtype == F32 or x.dtype in INTEGERS or how.mode == "nearest"
        known = how.mode in MODES and how.coordinates in COORDINATES
        return computed and known and movable(x) and x.size > 0 and len(axes_of(args)) == x.rank

    def lower(self, low: Lowering) -> None:
        how, every = sampling(low.node), axes_of(low.args)
        axes = every[2:]
        if low.args.spec(0).dtype != F32:
            lower_integer(low, every, how)
            return
        if not is_image(low.args.spec(0), (3, 4, 5)) or not all(axis.idle for axis in every[:2]) or _is_thinning(low, how):
            y, by_axis = own_output(low, 0), lower_nearest if how.mode == "nearest" else lower_dense
            by_axis(low, y, low.read(0, "dense"), every, how)
            extrapolate(low, y, every, how)
            return
        if len(axes) == 3:
            _lower_volume(low, axes, how)
        elif not _lower_planes(low, [IDLE] * (2 - len(axes)) + axes, how):
            emit_resize(low, write_image(low), read_image(low, 0), [IDLE] * (2 - len(axes)) + axes, how)
        extrapolate(low, low.write(0, "channels_last"), every, how)


def _is_thinning(low: Lowering, how: Sampling) -> bool:
    """Whether single elements are picked from rows as they lie, which then leave the program so."""
    x, spec = low.read(0), low.output_spec()
    return how.mode == "nearest" and x.size > spec.size and low.dense_output() and is_dense(x.shape, x.strides)


def _lower_volume(low: Lowering, axes: list[Axis], how: Sampling) -> None:
    """Height and width of every depth, then depths."""
    x, y = low.read(0, "channels_last"), low.write(0, "channels_last")
    middle = low.temp((*x.shape[:3], *y.shape[3:]), layout="channels_last")
    emit_resize(low, depth_images(low, middle), depth_images(low, x), axes[1:], how)
    pixels = y.shape[3] * y.shape[4]
    emit_resize(low, depth_rows(y), depth_rows(middle), [axes[0], Axis(pixels, pixels)], how)


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
    pad, only = -columns.shape[0] % _native.vector_length(), rows.shape[1] == columns.shape[1] == 1
    plain = only and bool((row_weights == 1).all() and (column_weights == 1).all())
    weights = np.ascontiguousarray(np.pad(column_weights, ((0, pad), (0, 0))).T)
    tables_of_step = (rows, None if plain else row_weights, np.stack(tables), None if plain else weights)
    constants = [None if table is None else low.constant(table) for table in tables_of_step]
    low.emit("resize_planes", [low.write(0, "dense"), low.read(0, "dense"), *constants], spec.size * (rows.shape[1] + columns.shape[1]),
             planes=math.prod(x.shape[:2]), ih=axes[0].size, iw=axes[1].size, oh=axes[0].out, ow=axes[1].out, taps_h=rows.shape[1],
             taps_w=columns.shape[1])
    return True


def axes_of(args: Args) -> list[Axis]:
    """Every axis of x with its output extent. Raises ShapeError, DataDependent."""
    try:
        axes = resample.axes_of(args)
    except ValueError as error:
        raise bad_shape(args, str(error)) from error
    if min([axis.out for axis in axes], default=1) < 1:
        raise bad_shape(args, f"the output would be {[axis.out for axis in axes]}")
    return axes


OPERATORS: dict[str, Op] = {"Resize": Resize(), "Upsample": Resize()}
