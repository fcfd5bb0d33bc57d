"""ReduceSum, ReduceMean and their relatives: float32, and what is a sum or an extreme on any other numbers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Strides, Tensor, is_channels_last, strides_like, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import BOOL, COMPUTED, DTYPE_CODES, movable, scalar
from fastcnn.ops.movement.shape import normalized_axes

# What joins two elements of other types than float32.
TYPED = {"Sum": "Add", "Mean": "Add", "L1": "Add", "SumSquare": "Add", "Max": "Max", "Min": "Min", "Prod": "Mul"}
MAX_POOLING = "MaxNumber"       # the kind that no Reduce operator is


class Reduce(Op):
    """y = reduction of x over `axes` (attribute, or input 1 since ONNX 13 and 18); all axes when there are none.

    kind is a row of FC_REDUCE_LIST. keepdims leaves axes of extent one.
    """

    def __init__(self, kind: str):
        self.kind = kind

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        if self._untouched(args) or not movable(x):
            return False
        if x.dtype == F32:
            return x.size > 0 or self.kind not in ("Max", "Min", "Mean")
        return x.size > 0 and self.kind in TYPED and x.dtype in (COMPUTED if self.kind in ("Max", "Min") else COMPUTED - {BOOL})

    def lower(self, low: Lowering) -> None:
        x, axes = low.read(0), self._axes(low.args)
        keep = bool(low.node.attrs.get("keepdims", 1))
        last = keep and is_channels_last(x.shape, x.strides)
        y = low.write(0, "channels_last" if last else "dense")
        y_kept = tuple(s for axis, s in enumerate(y.strides) if axis not in axes) if keep else y.strides
        if x.dtype == F32:
            emit_reduce(low, self.kind, y, y_kept, x, axes)
        else:
            self._lower_typed(low, y, y_kept, x, axes)

    def _lower_typed(self, low: Lowering, y: Tensor, y_kept: Strides, x: Tensor, axes: Sequence[int]) -> None:
        """Sums and extremes of the elements, their magnitudes or their squares; a mean is a sum divided."""
        dtype = DTYPE_CODES[x.dtype]
        if self.kind in ("L1", "SumSquare"):
            source, x = x, low.temp(x.shape, x.dtype, strides_like(x.shape, x.strides))
            shape, (ys, xs) = walk(x.shape, x.strides, source.strides)
            if self.kind == "L1":
                low.emit("typed_unary", [x, source], x.size, ndim=len(shape), shape=shape, y_strides=ys, x_strides=xs,
                         op=_native.TYPED_UNARY["Abs"], dtype=dtype)
            else:
                low.emit("typed_binary", [x, source, source], x.size, ndim=len(shape), shape=shape, y_strides=ys, a_strides=xs,
                         b_strides=xs, op=_native.TYPED_BINARY["Mul"], dtype=dtype)
        low.emit("typed_reduce", [y, x], x.size, **_walks(y_kept, x, axes), op=_native.TYPED_BINARY[TYPED[self.kind]], dtype=dtype)
        if self.kind == "Mean":
            count = scalar(low, x.size // max(y.size, 1), x.dtype).broadcast(y.shape)
            shape, (ys, cs) = walk(y.shape, y.strides, count.strides)
            low.emit("typed_binary", [y, y, count], y.size, ndim=len(shape), shape=shape, y_strides=ys, a_strides=ys, b_strides=cs,
                     op=_native.TYPED_BINARY["Div"], dtype=dtype)

    def _axes(self, args: Args) -> list[int]:
        rank = args.spec(0).rank
        return sorted(set(normalized_axes(args, _given(args), rank))) if _given(args) else list(range(rank))

    def _untouched(self, args: Args) -> bool:
        """noop_with_empty_axes with no axes: what that means has changed between versions; the fallback knows."""
        return bool(args.node.attrs.get("noop_with_empty_axes", 0)) and not _given(args)


def emit_reduce(low: Lowering, kind: str, y: Tensor, y_kept: Strides, x: Tensor, axes: Sequence[int]) -> None:
    """y = reduction of x, float32, over axes; y_kept: strides of y along the others. y may be of doubles."""
    low.emit("reduce", [y, x], x.size, **_walks(y_kept, x, axes), kind=_native.REDUCE[kind], wide=int(y.dtype != F32))


def emit_sum(low: Lowering, y: Tensor, y_kept: Strides, x: Tensor, axes: Sequence[int]) -> None:
    """y = sum of x over axes, of any numbers."""
    if x.dtype == F32:
        emit_reduce(low, "Sum", y, y_kept, x, axes)
    else:
        low.emit("typed_reduce", [y, x], x.size, **_walks(y_kept, x, axes), op=_native.TYPED_BINARY["Add"], dtype=DTYPE_CODES[x.dtype])


def _walks(y_kept: Strides, x: Tensor, axes: Sequence[int]) -> dict[str, Any]:
    """Step fields: the walk of the outputs and the walk of what each reduces."""
    pick = lambda values, chosen: tuple(v for axis, v in enumerate(values) if (axis in axes) == chosen)  # noqa: E731
    shape, (y_strides, x_strides) = walk(pick(x.shape, False), y_kept, pick(x.strides, False))
    reduced, (x_reduced,) = walk(pick(x.shape, True), pick(x.strides, True))
    return {"ndim": len(shape), "shape": shape, "y_strides": y_strides, "x_strides": x_strides, "reduced_ndim": len(reduced),
            "reduced": reduced, "reduced_strides": x_reduced}


def _given(args: Args) -> list[int]:
    """Axes as the node gives them, none as an empty list. Raises DataDependent."""
    return list((args.ints(1) if args.has(1) else args.node.attrs.get("axes")) or [])


OPERATORS: dict[str, Op] = {f"Reduce{kind}": Reduce(kind) for kind in _native.REDUCE if kind != MAX_POOLING}
