"""Elements picked and placed by tensors of indices: GatherElements, GatherND, ScatterElements, ScatterND, OneHot; CumSum."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import Args, bad_shape
from fastcnn.ir.tensor import dense_strides, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import COMPUTED, DTYPE_CODES, cast, movable, own_output, scalar
from fastcnn.ops.movement.slicing import one_axis

I64 = np.dtype(np.int64)
INDEX_DTYPES = (np.dtype(np.int32), I64)
REDUCTIONS = {"none": -1, "add": _native.TYPED_BINARY["Add"], "mul": _native.TYPED_BINARY["Mul"], "max": _native.TYPED_BINARY["Max"],
              "min": _native.TYPED_BINARY["Min"]}
# Work of a step whose updates must apply in order: one thread.
IN_ORDER = 0


class ByIndex(Op):
    """An operator of data (input 0) and indices (input 1); updates, where there are any, of data's type."""

    def native(self, args: Args) -> bool:
        return movable(*args.specs) and args.spec(1).dtype in INDEX_DTYPES


class GatherElements(ByIndex):
    """y[.., i, ..] = x[.., indices[.., i, ..], ..] along `axis`. ONNX GatherElements-11, 13."""

    def lower(self, low: Lowering) -> None:
        x, indices, y = low.read(0), low.read(1), low.write(0, "dense")
        axis = one_axis(low.args, low.node.attrs.get("axis", 0), len(x.shape))
        shape, (ys, is_, xs) = walk(y.shape, y.strides, indices.strides, _still(x.strides, axis))
        low.emit("gather_elements", [y, x, indices], y.size, ndim=len(shape), shape=shape, y_strides=ys, i_strides=is_, x_strides=xs,
                 axis=x.shape[axis], x_axis=x.strides[axis], elem_bytes=x.dtype.itemsize, index_bytes=indices.dtype.itemsize)


class ScatterElements(ByIndex):
    """y = x, then y[.., indices[.., i, ..], ..] = (or +=, *=, max, min) updates[.., i, ..] in order.

    ONNX Scatter-9, ScatterElements-11 to 18.
    """

    def native(self, args: Args) -> bool:
        return super().native(args) and _reduces(args)

    def lower(self, low: Lowering) -> None:
        y = own_output(low, 0)
        low.copy(y, low.read(0))
        indices, updates = low.read(1, "dense"), low.read(2, "dense")
        axis = one_axis(low.args, low.node.attrs.get("axis", 0), len(y.shape))
        if indices.size == 0:
            return
        shape, (us, ys) = walk(indices.shape, dense_strides(indices.shape), _still(y.strides, axis))
        low.emit("scatter_elements", [y, indices, updates], IN_ORDER, ndim=len(shape), shape=shape, u_strides=us, y_strides=ys,
                 axis=y.shape[axis], y_axis=y.strides[axis], **_operation(low, y.dtype, indices.dtype))


class GatherND(ByIndex):
    """y[b.., q..] = x[b.., indices[b.., q.., :]], slices where the tuples are shorter than x's rank. ONNX GatherND-11 to 13."""

    def lower(self, low: Lowering) -> None:
        x, indices, y = low.read(0, "dense"), low.read(1, "dense"), own_output(low, 0)
        batch = low.node.attrs.get("batch_dims", 0)
        low.emit("gather_nd", [y, x, indices], y.size, **_tuples(x.shape, indices.shape, batch), op=REDUCTIONS["none"],
                 dtype=DTYPE_CODES[x.dtype], index_bytes=indices.dtype.itemsize)


class ScatterND(ByIndex):
    """y = x, then y[indices[q.., :]] = (or +=, *=, max, min) updates[q..] in order. ONNX ScatterND-11 to 18."""

    def native(self, args: Args) -> bool:
        return super().native(args) and _reduces(args)

    def lower(self, low: Lowering) -> None:
        y = own_output(low, 0)
        low.copy(y, low.read(0))
        indices, updates = low.read(1, "dense"), low.read(2, "dense")
        if updates.size:
            low.emit("scatter_nd", [y, indices, updates], IN_ORDER, **_tuples(y.shape, indices.shape, 0),
                     **_operation(low, y.dtype, indices.dtype))


class OneHot(Op):
    """y = values[1] where the index along the new `axis` of extent `depth` is indices' (negative: from the end), else values[0].

    ONNX OneHot-9, 11.
    """

    def native(self, args: Args) -> bool:
        return movable(*args.specs) and args.spec(0).dtype in COMPUTED

    def lower(self, low: Lowering) -> None:
        axis, y, indices = self._axis(low.args), own_output(low, 0), low.read(0, "dense")
        if indices.dtype != I64:
            wide = low.temp(indices.shape, I64)
            cast(low, wide, indices)
            indices = wide
        low.emit("one_hot", [y, indices, low.read(2, "dense")], y.size, outer=math.prod(y.shape[:axis]), depth=y.shape[axis],
                 inner=math.prod(y.shape[axis + 1:]), elem_bytes=y.dtype.itemsize)

    def _axis(self, args: Args) -> int:
        return one_axis(args, args.node.attrs.get("axis", -1), args.spec(0).rank + 1)


class Running(Op):
    """y[i] = sum or product of x[0..i] along the axis (input 1); exclusive: without x[i]; reverse: from the end.

    ONNX CumSum-11, 14, CumProd-26. Raises ShapeError.
    """

    def __init__(self, function: str, start: int):
        self.function, self.start = function, start

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        return movable(x) and x.dtype in COMPUTED and x.dtype != np.bool_ and x.rank > 0 and self._axis(args) >= 0

    def lower(self, low: Lowering) -> None:
        x, y, axis, attrs = low.read(0), low.write(0, "dense"), self._axis(low.args), low.node.attrs
        without = lambda values: (*values[:axis], *values[axis + 1:])  # noqa: E731
        shape, (ys, xs) = walk(without(x.shape), without(y.strides), without(x.strides))
        low.emit("cumsum", [y, x, scalar(low, self.start, x.dtype)], x.size, ndim=len(shape), shape=shape, y_strides=ys,
                 x_strides=xs, axis=x.shape[axis], y_axis=y.strides[axis], x_axis=x.strides[axis], dtype=DTYPE_CODES[x.dtype],
                 exclusive=int(attrs.get("exclusive", 0)), reverse=int(attrs.get("reverse", 0)), op=_native.TYPED_BINARY[self.function])

    def _axis(self, args: Args) -> int:
        axis = args.ints(1)
        if axis is None or len(axis) != 1:
            raise bad_shape(args, f"axis={axis}")
        return one_axis(args, axis[0], args.spec(0).rank)


def _reduces(args: Args) -> bool:
    reduction = args.node.attrs.get("reduction", "none")
    return reduction == "none" or (reduction in REDUCTIONS and args.spec(0).dtype in COMPUTED and args.spec(0).dtype != np.bool_)


def _still(strides: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """strides that do not move along the axis."""
    return (*strides[:axis], 0, *strides[axis + 1:])


def _operation(low: Lowering, dtype: np.dtype, index_dtype: np.dtype) -> dict[str, int]:
    return {"op": REDUCTIONS[low.node.attrs.get("reduction", "none")], "dtype": DTYPE_CODES[dtype], "index_bytes": index_dtype.itemsize}


def _tuples(x: tuple[int, ...], indices: tuple[int, ...], batch: int) -> dict[str, int | tuple[int, ...]]:
    """Fields of gather_nd for the row-major shapes of x and of indices."""
    depth = indices[-1]
    return {"tuples": math.prod(indices[:-1]), "per_batch": math.prod(indices[batch:-1]), "batch_stride": math.prod(x[batch:]),
            "depth": depth, "extents": x[batch:batch + depth], "strides": dense_strides(x)[batch:batch + depth],
            "slice": math.prod(x[batch + depth:])}


OPERATORS: dict[str, Op] = {"GatherElements": GatherElements(), "GatherND": GatherND(), "ScatterElements": ScatterElements(),
                          "Scatter": ScatterElements(), "ScatterND": ScatterND(), "OneHot": OneHot(),
                          "CumSum": Running("Add", 0), "CumProd": Running("Mul", 1)}
