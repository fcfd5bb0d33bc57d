"""Operators that move no data, or only when strides cannot say it: Reshape and its family, Transpose, Expand, Tile, Identity."""
from __future__ import annotations

from math import prod

import fastcnn._native as _native
from fastcnn.ir.spec import Args, bad_shape
from fastcnn.ir.tensor import Tensor, channels_last_strides, is_channels_last
from fastcnn.ops.base import Lowering, Op


class AnyType(Op):
    """An operator that moves elements without looking at them: every fixed-size dtype is native."""

    def native(self, args: Args) -> bool:
        return all(spec is None or spec.dtype.kind != "O" for spec in args.specs) and args.specs[0] is not None


class View(AnyType):
    """Reshape, Flatten, Squeeze, Unsqueeze: x's elements in x's order under another shape; a copy only where no strides express it."""

    def lower(self, low: Lowering) -> None:
        x, shape = low.read(0), low.output_spec(0).shape
        if x.size != prod(shape):
            raise bad_shape(low.args, f"{x.size} elements do not fit shape={list(shape)}")
        reshape_into(low, x, shape)


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


def normalized_axes(args: Args, axes: list[int], rank: int) -> list[int]:
    """Axes counted from the front; ShapeError outside [-rank, rank) or when one comes twice."""
    result = [a + rank if a < 0 else a for a in axes]
    if any(not 0 <= a < rank for a in result) or len(set(result)) != len(result):
        raise bad_shape(args, f"axes={list(axes)} for rank {rank}")
    return result


class Identity(AnyType):
    """y = x. Also Dropout at inference, its mask left out. ONNX Identity-1 to 21, Dropout-1 to 22."""

    def native(self, args: Args) -> bool:
        trains = args.node.op_type == "Dropout" and len(args.values) > 2 and args.has(2)
        return super().native(args) and not trains and len([o for o in args.node.outputs if o]) == 1

    def lower(self, low: Lowering) -> None:
        low.alias(0, low.read(0))


class Transpose(AnyType):
    """y[i_perm[0], ...] = x[i_0, ...]: always a view. perm defaults to reversed axes. ONNX Transpose-1 to 21."""

    def lower(self, low: Lowering) -> None:
        low.alias(0, low.read(0).transpose(self._perm(low.args)))

    def _perm(self, args: Args) -> tuple[int, ...]:
        rank = args.spec(0).rank
        return tuple(args.node.attrs.get("perm") or range(rank)[::-1])


class Expand(AnyType):
    """y = x broadcast with `shape` by the multidirectional rule: a view with strides of zero. ONNX Expand-8, 13."""

    def lower(self, low: Lowering) -> None:
        low.alias(0, low.read(0).broadcast(low.output_spec(0).shape))


class Tile(AnyType):
    """y = x repeated repeats[k] times along axis k. ONNX Tile-6, 13."""

    def native(self, args: Args) -> bool:
        """An axis that is repeated is two to the step that copies it."""
        repeats = args.ints(1) or []
        return super().native(args) and sum([n > 1 for n in (*args.spec(0).shape, *repeats)]) <= _native.MAX_DIMS

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0), low.write(0, "dense")
        repeats = low.args.ints(1) or []
        split = tuple(n for pair in zip(repeats, x.shape) for n in pair)
        if 0 in split:
            return
        strides = tuple(s for stride in x.strides for s in (0, stride))
        low.copy(y.view(split), Tensor(x.buffer, split, strides, x.offset))


OPERATORS: dict[str, Op] = {
    "Reshape": View(),
    "Flatten": View(),
    "Squeeze": View(),
    "Unsqueeze": View(),
    "Transpose": Transpose(),
    "Identity": Identity(),
    "Dropout": Identity(),
    "Expand": Expand(),
    "Tile": Tile(),
}
