"""ReduceSum, ReduceMean and their relatives, float32."""
from __future__ import annotations

from fastcnn import _native
from fastcnn.ops.base import Args, Lowering, Op, Spec
from fastcnn.ops.layout import movable
from fastcnn.ops.shape import normalized_axes
from fastcnn.tensor import is_channels_last, walk


class Reduce(Op):
    """y = reduction of x over `axes` (attribute, or input 1 since ONNX 13 and 18); all axes when there are none.

    kind is a row of FC_REDUCE_LIST. keepdims leaves axes of extent one.
    """

    def __init__(self, kind: str):
        self.kind = kind

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        empty = x.size == 0 and self.kind in ("Max", "Min", "Mean")
        return super().native(Args(args.node, args.specs[:1], args.values[:1])) and movable(x) and not empty and not self._untouched(args)

    def infer(self, args: Args) -> list[Spec]:
        x, axes = args.spec(0), self._axes(args)
        keep = args.node.attrs.get("keepdims", 1)
        return [Spec(x.dtype, tuple(1 if axis in axes else n for axis, n in enumerate(x.shape) if keep or axis not in axes))]

    def lower(self, low: Lowering) -> None:
        x, axes = low.read(0), self._axes(low.args)
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        keep = bool(low.node.attrs.get("keepdims", 1))
        last = keep and is_channels_last(x.shape, x.strides)
        y = low.write(0, "channels_last" if last else "dense")
        y_strides = tuple(y.strides[axis] for axis in kept) if keep else y.strides
        pick = lambda values, which: tuple(values[axis] for axis in which)  # noqa: E731
        shape, (y_kept, x_kept) = walk(pick(x.shape, kept), y_strides, pick(x.strides, kept))
        reduced, (x_reduced,) = walk(pick(x.shape, axes), pick(x.strides, axes))
        low.emit("reduce", [y, x], x.size, ndim=len(shape), shape=shape, y_strides=y_kept, x_strides=x_kept,
                 reduced_ndim=len(reduced), reduced=reduced, reduced_strides=x_reduced, kind=_native.REDUCE[self.kind])

    def _axes(self, args: Args) -> list[int]:
        rank = args.spec(0).rank
        return sorted(set(normalized_axes(args, _given(args), rank))) if _given(args) else list(range(rank))

    def _untouched(self, args: Args) -> bool:
        """noop_with_empty_axes with no axes: what that means has changed between versions; the fallback knows."""
        return bool(args.node.attrs.get("noop_with_empty_axes", 0)) and not _given(args)


def _given(args: Args) -> list[int]:
    """Axes as the node gives them, none as an empty list. Raises DataDependent."""
    return list((args.ints(1) if args.has(1) else args.node.attrs.get("axes")) or [])


REDUCTIONS: dict[str, Op] = {f"Reduce{kind}": Reduce(kind) for kind in _native.REDUCE}
