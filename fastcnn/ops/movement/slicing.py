"""Parts and assemblies of tensors: Concat, Split, Slice, Gather as views where strides suffice, Pad, DepthToSpace, SpaceToDepth."""
from __future__ import annotations

from itertools import pairwise

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.lane_tables import pick_table
from fastcnn.ir.record import replace
from fastcnn.ir.spec import F32, Args, bad_shape
from fastcnn.ir.tensor import Tensor, is_channels_last, matches, strides_like
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.movement.channel_pick import emit_pick
from fastcnn.ops.movement.shape import AnyType, normalized_axes


def one_axis(args: Args, axis: int, rank: int) -> int:
    """`axis` counted from the front; ShapeError outside [-rank, rank)."""
    return normalized_axes(args, [axis], rank)[0]


class Concat(AnyType):
    """y = inputs one after the other along axis. Inputs that the planner has written into y already are not copied. ONNX Concat-4 to 13."""

    def lower(self, low: Lowering) -> None:
        shape = low.output_spec(0).shape
        axis = one_axis(low.args, low.node.attrs.get("axis", 1), len(shape))
        parts = [part for part in (low.read(i) for i in range(len(low.args.specs))) if part.size]
        if parts and _adjacent(parts, axis):
            low.alias(0, replace(parts[0], shape=shape))
            return
        largest = max(parts, key=lambda part: part.size, default=None)
        y = low.write(0, "dense" if largest is None else strides_like(shape, largest.strides))
        start = 0
        for part in parts:
            target = y.slice(axis, start, part.shape[axis])
            if not _same_place(part, target):
                low.copy(target, part)
            start += part.shape[axis]


def _same_place(a: Tensor, b: Tensor) -> bool:
    return a.buffer is b.buffer and a.offset == b.offset and matches(a.shape, a.strides, b.strides)


def _adjacent(parts: list[Tensor], axis: int) -> bool:
    """Whether the parts already follow each other in one buffer."""
    first = parts[0]
    step = first.strides[axis]
    if len(parts) > 1 and (step == 0 or any(part.shape[axis] > 1 and part.strides[axis] != step for part in parts)):
        return False
    place = first.offset
    for part in parts:
        others = all(n == 1 or s == t for k, (n, s, t) in enumerate(zip(part.shape, part.strides, first.strides)) if k != axis)
        if part.buffer is not first.buffer or part.offset != place or not others:
            return False
        place += part.shape[axis] * step
    return True


class Split(AnyType):
    """Views of x along axis: extents from the input or attribute `split`, else equal parts (the last smaller, Split-18).

    ONNX Split-2 to 18.
    """

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        axis = one_axis(low.args, low.node.attrs.get("axis", 0), len(x.shape))
        start = 0
        for k, extent in enumerate(self._extents(low.args, x.shape[axis])):
            if low.node.outputs[k]:
                low.alias(k, x.slice(axis, start, extent))
            start += extent

    def _extents(self, args: Args, total: int) -> list[int]:
        count = len(args.node.outputs)
        extents = args.ints(1) or args.node.attrs.get("split")
        if extents is None:
            size = -(-total // args.node.attrs.get("num_outputs", count))
            extents = [min(size, max(total - k * size, 0)) for k in range(count)]
        if sum(extents) != total or len(extents) != count or min(extents) < 0:
            raise bad_shape(args, f"split={list(extents)} of {total} into {count} outputs")
        return list(extents)


class Slice(AnyType):
    """y = x[starts:ends:steps] along axes, numpy's rules. ONNX Slice-1 (attributes), 10, 11, 13 (inputs)."""

    def lower(self, low: Lowering) -> None:
        view, reversed_axis = low.read(0), False
        for axis, part in self._ranges(low.args):
            view = view.slice(axis, part.start, len(part), part.step)
            reversed_axis |= part.step < 0 and len(part) > 1
        if reversed_axis:
            low.copy(low.write(0, "dense"), view)       # negative strides end here
        else:
            low.alias(0, view)

    def _ranges(self, args: Args) -> list[tuple[int, range]]:
        attrs, x = args.node.attrs, args.spec(0)
        starts, ends = (args.ints(1), args.ints(2)) if args.has(1) else (attrs.get("starts"), attrs.get("ends"))
        if starts is None or ends is None or len(starts) != len(ends):
            raise bad_shape(args, f"starts={starts}, ends={ends}")
        axes = args.ints(3) if args.has(3) else attrs.get("axes")
        axes = normalized_axes(args, list(range(len(starts))) if axes is None else axes, x.rank)
        steps = args.ints(4) or [1] * len(starts)
        if 0 in steps or not len(starts) == len(axes) == len(steps):
            raise bad_shape(args, f"starts={starts}, axes={axes}, steps={steps}")
        return [(axis, range(*slice(start, _end(end, step, x.shape[axis]), step).indices(x.shape[axis])))
                for axis, start, end, step in zip(axes, starts, ends, steps)]


def _end(end: int, step: int, extent: int) -> int | None:
    """ONNX's INT_MIN with a negative step means: to the very beginning."""
    return None if step < 0 and end < -extent else end


class Gather(AnyType):
    """y = x taken along axis at `indices`; negative indices count from the end. Constant progressions are views. ONNX Gather-1 to 13."""

    def native(self, args: Args) -> bool:
        return super().native(args) and args.spec(1).dtype in (np.int32, np.int64) and args.spec(0).rank <= _native.MAX_DIMS

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        axis = one_axis(low.args, low.node.attrs.get("axis", 0), len(x.shape))
        view = _as_view(x, axis, low.args.values[1])
        if view is not None:
            low.alias(0, view)
            return
        shape = low.output_spec(0).shape
        along_channels = axis == 1 and x.dtype == F32 and is_channels_last(x.shape, x.strides)
        table = pick_table(low.args.values[1], x.shape[1]) if along_channels else None
        if table is not None:
            emit_pick(low, low.write(0, "channels_last"), x, table)
            return
        indices = low.read(1, "dense")
        y = low.write(0, strides_like(shape, x.strides) if len(indices.shape) == 1 else "dense")
        last = axis + len(indices.shape) - 1
        y_axis = y.strides[last] if indices.shape else 0
        behind = axis + len(indices.shape)
        shapes, ys, xs = ([part[:axis], part[tail:]] for part, tail in ((x.shape, axis + 1), (y.strides, behind), (x.strides, axis + 1)))
        if (y_axis, x.strides[axis]) == (1, 1):         # picked elements are neighbours: all other axes are outside
            shapes, ys, xs = ([(*outer, *inner), ()] for outer, inner in (shapes, ys, xs))
        low.emit("gather", [y, x, indices], y.size, outer_ndim=len(shapes[0]), outer_shape=shapes[0], y_outer=ys[0], x_outer=xs[0],
                 count=indices.size, axis=x.shape[axis], y_axis=y_axis, x_axis=x.strides[axis], inner_ndim=len(shapes[1]),
                 inner_shape=shapes[1], y_inner=ys[1], x_inner=xs[1], elem_bytes=x.dtype.itemsize, index_bytes=indices.dtype.itemsize)


def _as_view(x: Tensor, axis: int, indices: np.ndarray | None) -> Tensor | None:
    """x at constant indices as a view: one index, or evenly spaced ascending ones."""
    if indices is None or indices.ndim > 1 or indices.size == 0:
        return None
    where = [int(i) + (x.shape[axis] if i < 0 else 0) for i in indices.ravel()]
    if indices.ndim == 0:
        return x.select(axis, where[0])
    step = where[1] - where[0] if len(where) > 1 else 1
    if step < 1 or any(b - a != step for a, b in pairwise(where)):
        return None
    return x.slice(axis, where[0], len(where), step)


PAD_MODES = {"constant": 0, "reflect": 1, "edge": 2, "wrap": 3}


class Pad(AnyType):
    """y = x with pads[k] elements before and pads[rank + k] after each axis (negative: cropped). ONNX Pad-2 to 24."""

    def native(self, args: Args) -> bool:
        return super().native(args) and args.node.attrs.get("mode", "constant") in PAD_MODES and args.spec(0).rank <= 8

    def lower(self, low: Lowering) -> None:
        x, (before, _) = low.read(0), self._pads(low.args)
        y = low.write(0, strides_like(low.output_spec(0).shape, x.strides))
        low.emit("pad", [y, x, self._value(low)], y.size, ndim=len(y.shape), shape=y.shape, x_shape=x.shape, before=before,
                 y_strides=y.strides, x_strides=x.strides, mode=PAD_MODES[low.node.attrs.get("mode", "constant")],
                 elem_bytes=x.dtype.itemsize)

    def _value(self, low: Lowering) -> Tensor | None:
        if low.args.has(2):
            return low.read(2, "dense")
        value = low.node.attrs.get("value", 0.0)
        return low.constant(np.full(1, value, low.args.spec(0).dtype)) if value else None

    def _pads(self, args: Args) -> tuple[list[int], list[int]]:
        rank = args.spec(0).rank
        attrs = args.node.attrs
        pads = (args.ints(1) or []) if args.has(1) else list(attrs.get("pads", attrs.get("paddings", ())))
        axes = normalized_axes(args, args.ints(3) or [], rank) if args.has(3) else list(range(rank))
        if len(pads) != 2 * len(axes):
            raise bad_shape(args, f"pads={pads} for {len(axes)} axes")
        before, after = [0] * rank, [0] * rank
        for k, axis in enumerate(axes):
            before[axis], after[axis] = pads[k], pads[len(axes) + k]
        return before, after


class DepthToSpace(AnyType):
    """y[n, c, h*b + i, w*b + j] = x[n, (i*b + j)*C + c, h, w] (DCR) or x[n, (c*b + i)*b + j, h, w] (CRD). ONNX DepthToSpace-1 to 13."""

    def lower(self, low: Lowering) -> None:
        x, b = low.read(0), low.node.attrs["blocksize"]
        n, c, h, w = x.shape
        if low.node.attrs.get("mode", "DCR") == "DCR":
            blocks = x.view((n, b, b, c // (b * b), h, w)).transpose((0, 3, 4, 1, 5, 2))
        else:
            blocks = x.view((n, c // (b * b), b, b, h, w)).transpose((0, 1, 4, 2, 5, 3))
        y = low.write(0, "dense" if low.dense_output() else "channels_last")
        low.copy(y.view(blocks.shape), blocks)


class SpaceToDepth(AnyType):
    """y[n, (i*b + j)*C + c, h, w] = x[n, c, h*b + i, w*b + j]; in mode CRD channel c*b*b + i*b + j. ONNX SpaceToDepth-1, 13, 28."""

    def lower(self, low: Lowering) -> None:
        x, b = low.read(0), low.node.attrs["blocksize"]
        n, c, h, w = x.shape
        if x.size == 0:
            low.write(0, "dense")
            return
        crd = low.node.attrs.get("mode", "DCR") == "CRD"
        blocks = x.view((n, c, h // b, b, w // b, b)).transpose((0, 1, 3, 5, 2, 4) if crd else (0, 3, 5, 1, 2, 4))
        y = low.write(0, "dense" if low.dense_output() else "channels_last")
        low.copy(y.view(blocks.shape), blocks)


OPERATORS: dict[str, Op] = {
    "Concat": Concat(),
    "Split": Split(),
    "Slice": Slice(),
    "Gather": Gather(),
    "Pad": Pad(),
    "DepthToSpace": DepthToSpace(),
    "SpaceToDepth": SpaceToDepth(),
}
