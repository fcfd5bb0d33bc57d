"""ArgMax, ArgMin, Hardmax, TopK, NonMaxSuppression, NonZero, Compress."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.spec import F32, Args, Capped, Spec, bad_shape
from fastcnn.ir.tensor import Tensor, dense_strides, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import COMPUTED, DTYPE_CODES, movable, own_output
from fastcnn.ops.movement.slicing import one_axis

I64 = np.dtype(np.int64)
# Elements looked at cost about so many multiply-adds.
COMPARE_WORK, RANK_WORK = 2, 8


class Arg(Op):
    """y = index of the largest (smallest) element of x along `axis`, the last of equal ones by select_last_index.

    ONNX ArgMax, ArgMin-1 to 13.
    """

    def __init__(self, smallest: bool = False):
        self.smallest = smallest

    def native(self, args: Args) -> bool:
        return movable(*args.specs) and args.spec(0).dtype in COMPUTED and args.spec(0).rank > 0

    def lower(self, low: Lowering) -> None:
        x, attrs = low.read(0), low.node.attrs
        axis = one_axis(low.args, attrs.get("axis", 0), len(x.shape))
        y = low.write(0, "dense")
        emit_arg(low, y.select(axis, 0) if attrs.get("keepdims", 1) else y, x, axis, self.smallest, bool(attrs.get("select_last_index", 0)))


def emit_arg(low: Lowering, y: Tensor, x: Tensor, axis: int, smallest: bool = False, last: bool = False) -> None:
    """y, without the axis, = index of the best along it."""
    shape, (y_strides, x_strides) = walk(y.shape, y.strides, _without(x.strides, axis))
    low.emit("arg", [y, x], COMPARE_WORK * x.size, ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
             axis=x.shape[axis], x_axis=x.strides[axis], dtype=DTYPE_CODES[x.dtype], smallest=int(smallest), last=int(last))


class Hardmax(Op):
    """y = 1 at the first largest element of x along `axis`, else 0; before ONNX 13 along all axes from `axis` on, as one. float32."""

    def native(self, args: Args) -> bool:
        return super().native(args) and args.spec(0).rank >= 1 and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        x, y, axis = low.read(0, "dense"), own_output(low, 0), self._axis(low.args)
        last = axis + 1 if low.node.version >= 13 else len(x.shape)
        shape = tuple(math.prod(part) for part in (x.shape[:axis], x.shape[axis:last], x.shape[last:]))
        indices = low.temp((shape[0], shape[2]), I64)
        emit_arg(low, indices, Tensor(x.buffer, shape, dense_strides(shape), x.offset), 1)
        low.emit("one_hot", [y, indices, low.constant(np.array([0, 1], F32))], y.size, outer=shape[0], depth=shape[1], inner=shape[2],
                 elem_bytes=F32.itemsize)

    def _axis(self, args: Args) -> int:
        return one_axis(args, args.node.attrs.get("axis", 1 if args.node.version < 13 else -1), args.spec(0).rank)


class TopK(Op):
    """The k largest (smallest) elements of x along `axis`, best first, and their indices. ONNX TopK-1 (attribute k), 10, 11 to 24."""

    def native(self, args: Args) -> bool:
        return movable(*args.specs) and args.spec(0).dtype in COMPUTED and args.spec(0).rank > 0

    def lower(self, low: Lowering) -> None:
        x, attrs = low.read(0), low.node.attrs
        axis = one_axis(low.args, attrs.get("axis", -1), len(x.shape))
        shape = low.output_spec(0 if low.node.outputs[0] else 1).shape
        wanted = [i < len(low.node.outputs) and bool(low.node.outputs[i]) for i in (0, 1)]
        values, indices = (low.write(i, "dense") if wanted[i] else low.temp(shape, dtype) for i, dtype in ((0, x.dtype), (1, I64)))
        outer, (v, i, xs) = walk(_without(shape, axis), *(_without(t.strides, axis) for t in (values, indices, x)))
        low.emit("top_k", [values, indices, x], RANK_WORK * x.size, ndim=len(outer), shape=outer, v_strides=v, i_strides=i, x_strides=xs,
                 axis=x.shape[axis], v_axis=values.strides[axis], i_axis=indices.strides[axis], x_axis=x.strides[axis],
                 k=shape[axis], dtype=DTYPE_CODES[x.dtype], smallest=int(not attrs.get("largest", 1)))


class NonMaxSuppression(Op):
    """Rows (image, class, box) of the boxes whose score is above a threshold and that overlap no better one of their class too much.

    boxes: (N, B, 4), scores: (N, C, B) float32; then the largest number a class, the IoU and the score threshold. As many rows
    as the data say. ONNX NonMaxSuppression-10, 11.
    """

    def native(self, args: Args) -> bool:
        floats = all(args.spec(i).dtype == F32 for i in (0, 1, 3, 4) if args.has(i))
        return floats and (not args.has(2) or args.spec(2).dtype == I64)

    def capped(self, args: Args) -> Spec:
        boxes, scores = args.spec(0).shape, args.spec(1).shape
        if len(boxes) != 3 or boxes[2] != 4 or len(scores) != 3 or (scores[0], scores[2]) != boxes[:2]:
            raise bad_shape(args, "boxes must be (N, B, 4), scores (N, C, B)")
        if any(args.has(i) and args.spec(i).size != 1 for i in (2, 3, 4)):
            raise bad_shape(args, "limits must be single numbers")
        rows = scores[0] * scores[1] * self._limit(args)
        return Capped(I64, (rows, 3), 0) if rows else Spec(I64, (0, 3))

    def lower(self, low: Lowering) -> None:
        boxes, scores = low.read(0, "dense"), low.read(1, "dense")
        limits = [low.read(i, "dense") if low.args.has(i) else None for i in (2, 3, 4)]
        n, classes, count = scores.shape
        y = own_output(low, 0)
        low.emit("nms", [y, low.count(0), low.temp((max(n * classes, 1),), I64), boxes, scores, *limits], RANK_WORK * scores.size, images=n,
                 classes=classes, boxes=count, limit=self._limit(low.args), center=int(low.node.attrs.get("center_point_box", 0)))

    def _limit(self, args: Args) -> int:
        """At most this many rows a class."""
        if not args.has(2):
            return 0
        known = args.values[2]
        boxes = args.spec(0).shape[1]
        return boxes if known is None else min(max(int(known.ravel()[0]), 0), boxes)


class NonZero(Op):
    """y[d, k] = index along axis d of the k-th element of x that is not zero. ONNX NonZero-9, 13."""

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        return movable(x) and x.dtype in COMPUTED and x.rank > 0

    def capped(self, args: Args) -> Spec:
        x = args.spec(0)
        return Capped(I64, (x.rank, x.size), 1) if x.size else Spec(I64, (x.rank, 0))

    def lower(self, low: Lowering) -> None:
        x = low.read(0, "dense")
        low.emit("nonzero", [own_output(low, 0), low.count(0), x], 0, ndim=len(x.shape), shape=x.shape, dtype=DTYPE_CODES[x.dtype])


class Compress(Op):
    """y = slices of x along `axis` (default: elements of x flattened) where the condition holds. ONNX Compress-9, 11."""

    def native(self, args: Args) -> bool:
        return movable(*args.specs) and args.spec(0).size > 0 and args.spec(1).size > 0 and args.spec(1).dtype == np.bool_

    def capped(self, args: Args) -> Spec:
        x, length = args.spec(0), args.spec(1).size
        axis = self._parts(args)[1]
        if args.spec(1).rank != 1 or length > axis:
            raise bad_shape(args, f"a condition of {length} for {axis}")
        if "axis" not in args.node.attrs:
            return Capped(x.dtype, (length,), 0)
        at = one_axis(args, args.node.attrs["axis"], x.rank)
        return Capped(x.dtype, (*x.shape[:at], length, *x.shape[at + 1:]), at)

    def lower(self, low: Lowering) -> None:
        x, condition = low.read(0, "dense"), low.read(1, "dense")
        outer, axis, inner = self._parts(low.args)
        low.emit("compress", [own_output(low, 0), low.count(0), x, condition], 0, outer=outer, axis=axis, inner=inner,
                 length=condition.size, elem_bytes=x.dtype.itemsize)

    def _parts(self, args: Args) -> tuple[int, int, int]:
        """Elements before, along and after the axis."""
        x = args.spec(0)
        if "axis" not in args.node.attrs:
            return 1, x.size, 1
        axis = one_axis(args, args.node.attrs["axis"], x.rank)
        return math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1:])


def _without(values: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*values[:axis], *values[axis + 1:])


OPERATORS: dict[str, Op] = {"ArgMax": Arg(), "ArgMin": Arg(smallest=True), "Hardmax": Hardmax(), "TopK": TopK(),
                            "NonMaxSuppression": NonMaxSuppression(), "NonZero": NonZero(), "Compress": Compress()}
