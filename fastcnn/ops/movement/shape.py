"""Operators that move no data, or only when strides cannot say it: Reshape and its family, Transpose, Expand, Tile, Identity."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.spec import Args, Spec, bad_shape
from fastcnn.ir.tensor import Tensor, channels_last_strides, is_channels_last
from fastcnn.ops.base import Lowering, Op


class AnyType(Op):
    """An operator that moves elements without looking at them: every fixed-size dtype is native."""

    def native(self, args: Args) -> bool:
        return all(spec is None or spec.dtype.kind != "O" for spec in args.specs) and args.specs[0] is not None


class View(AnyType):
    """y has x's elements in x's order under another shape; a copy only where no strides express it."""

    def lower(self, low: Lowering) -> None:
        reshape_into(low, low.read(0), low.output_spec(0).shape)


def reshape_into(low: Lowering, x: Tensor, shape: tuple[int, ...]) -> None:
    """Output 0 = x under `shape`: a view, else a copy that keeps channels innermost where the result has channels."""
    view = x.reshape(shape)
    if view is not None:
        low.alias(0, view)
        return
    strides = channels_last_strides(shape) if len(shape) >= 4 and is_channels_last(x.shape, x.strides) and not low.dense_output() else None
    if strides is not None:
        y = low.temp(shape, x.dtype, strides)
        back = y.reshape(x.shape)
        if back is not None:
            low.copy(back, x)
            low.alias(0, y)
            return
    y = low.write(0, "dense")
    low.copy(y.view(x.shape), x)


class Reshape(View):
    """y = x under shape `shape`: 0 keeps the input's extent (unless allowzero), one -1 is inferred. ONNX Reshape-5 to 21."""

    def infer(self, args: Args) -> list[Spec]:
        x, wanted = args.spec(0), args.ints(1)
        if wanted is None:
            wanted = list(args.node.attrs.get("shape", ()))
        if not args.node.attrs.get("allowzero", 0):
            if any(n == 0 and k >= x.rank for k, n in enumerate(wanted)):
                raise bad_shape(args, f"shape={wanted} copies an axis that the input lacks")
            wanted = [x.shape[k] if n == 0 else n for k, n in enumerate(wanted)]
        if wanted.count(-1) > 1 or any(n < -1 for n in wanted):
            raise bad_shape(args, f"shape={wanted}")
        if -1 in wanted:
            known = math.prod(n for n in wanted if n != -1)
            if known == 0 or x.size % known:
                raise bad_shape(args, f"{x.size} elements do not fit shape={wanted}")
            wanted[wanted.index(-1)] = x.size // known
        if math.prod(wanted) != x.size:
            raise bad_shape(args, f"{x.size} elements do not fit shape={wanted}")
        return [Spec(x.dtype, tuple(wanted))]


class Flatten(View):
    """y: (prod(shape[:axis]), prod(shape[axis:])). ONNX Flatten-1 to 21."""

    def infer(self, args: Args) -> list[Spec]:
        x, axis = args.spec(0), args.node.attrs.get("axis", 1)
        if not -x.rank <= axis <= x.rank:
            raise bad_shape(args, f"axis={axis}")
        axis = axis + x.rank if axis < 0 else axis
        return [Spec(x.dtype, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))]


def axes_argument(args: Args, i: int = 1) -> list[int] | None:
    """axes as input i (opset 13 and up) or attribute."""
    axes = args.ints(i)
    return axes if axes is not None else args.node.attrs.get("axes")


def normalized_axes(args: Args, axes: list[int], rank: int) -> list[int]:
    """Axes counted from the front; ShapeError outside [-rank, rank) or when one comes twice."""
    result = [a + rank if a < 0 else a for a in axes]
    if any(not 0 <= a < rank for a in result) or len(set(result)) != len(result):
        raise bad_shape(args, f"axes={list(axes)} for rank {rank}")
    return result


class Squeeze(View):
    """y = x without the axes, all of extent one (default: every such axis). ONNX Squeeze-1 to 21."""

    def infer(self, args: Args) -> list[Spec]:
        x, axes = args.spec(0), axes_argument(args)
        drop = [k for k, n in enumerate(x.shape) if n == 1] if axes is None else normalized_axes(args, axes, x.rank)
        if any(x.shape[a] != 1 for a in drop):
            raise bad_shape(args, f"axes={axes} are not all of extent one")
        return [Spec(x.dtype, tuple(n for k, n in enumerate(x.shape) if k not in drop))]


class Unsqueeze(View):
    """y = x with axes of extent one at these positions of the result. ONNX Unsqueeze-1 to 21."""

    def infer(self, args: Args) -> list[Spec]:
        x, axes = args.spec(0), axes_argument(args)
        if axes is None:
            raise bad_shape(args, "axes are missing")
        rank = x.rank + len(axes)
        new, rest = normalized_axes(args, axes, rank), iter(x.shape)
        return [Spec(x.dtype, tuple(1 if k in new else next(rest) for k in range(rank)))]


class Identity(AnyType):
    """y = x. Also Dropout at inference, its mask left out. ONNX Identity-1 to 21, Dropout-1 to 22."""

    def native(self, args: Args) -> bool:
        trains = args.node.op_type == "Dropout" and len(args.values) > 2 and args.has(2)
        return super().native(args) and not trains and len([o for o in args.node.outputs if o]) == 1

    def infer(self, args: Args) -> list[Spec]:
        return [args.spec(0)]

    def lower(self, low: Lowering) -> None:
        low.alias(0, low.read(0))


class Transpose(AnyType):
    """y[i_perm[0], ...] = x[i_0, ...]: always a view. perm defaults to reversed axes. ONNX Transpose-1 to 21."""

    def infer(self, args: Args) -> list[Spec]:
        x, perm = args.spec(0), self._perm(args)
        if sorted(perm) != list(range(x.rank)):
            raise bad_shape(args, f"perm={list(perm)} for rank {x.rank}")
        return [Spec(x.dtype, tuple(x.shape[p] for p in perm))]

    def lower(self, low: Lowering) -> None:
        low.alias(0, low.read(0).transpose(self._perm(low.args)))

    def _perm(self, args: Args) -> tuple[int, ...]:
        rank = args.spec(0).rank
        return tuple(args.node.attrs.get("perm") or range(rank)[::-1])


class Expand(AnyType):
    """y = x broadcast with `shape` by the multidirectional rule: a view with strides of zero. ONNX Expand-8, 13."""

    def infer(self, args: Args) -> list[Spec]:
        x, wanted = args.spec(0), args.ints(1) or []
        try:
            return [Spec(x.dtype, np.broadcast_shapes(x.shape, tuple(wanted)))]
        except ValueError:
            raise bad_shape(args, f"{list(x.shape)} does not broadcast with shape={wanted}") from None

    def lower(self, low: Lowering) -> None:
        low.alias(0, low.read(0).broadcast(low.output_spec(0).shape))


class Tile(AnyType):
    """y = x repeated repeats[k] times along axis k. ONNX Tile-6, 13."""

    def infer(self, args: Args) -> list[Spec]:
        x, repeats = args.spec(0), args.ints(1)
        if repeats is None or len(repeats) != x.rank or min(repeats, default=0) < 0:
            raise bad_shape(args, f"repeats={repeats} for rank {x.rank}")
        return [Spec(x.dtype, tuple(n * r for n, r in zip(x.shape, repeats)))]

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0), low.write(0, "dense")
        repeats = low.args.ints(1) or []
        split = tuple(n for pair in zip(repeats, x.shape) for n in pair)
        if 0 in split:
            return
        strides = tuple(s for stride in x.strides for s in (0, stride))
        low.copy(y.view(split), Tensor(x.buffer, split, strides, x.offset))
