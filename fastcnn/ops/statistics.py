"""Normalisations over any axes, spelled out in reductions and elementwise steps: MeanVarianceNormalization, LpNormalization."""
from __future__ import annotations

import math

import numpy as np

from fastcnn import _native
from fastcnn.ops.base import Args, Lowering, Op, Spec
from fastcnn.ops.conv_emit import epilogue
from fastcnn.ops.layout import movable, scalar
from fastcnn.ops.reduce import emit_reduce
from fastcnn.ops.shape import normalized_axes
from fastcnn.tensor import Tensor, strides_like, walk

# ONNX's guards against division by zero.
VARIANCE_EPSILON, NORM_FLOOR = 1e-9, float(np.finfo(np.float32).tiny)


class Statistic(Op):
    """An operator that divides x by a statistic over some axes of itself, float32."""

    default_axes: tuple[int, ...] = (-1,)

    def native(self, args: Args) -> bool:
        return super().native(args) and movable(*args.specs) and args.spec(0).size > 0

    def infer(self, args: Args) -> list[Spec]:
        self._axes(args)
        return [args.spec(0)]

    def _axes(self, args: Args) -> list[int]:
        attrs = args.node.attrs
        axes = attrs.get("axes") or ([attrs["axis"]] if "axis" in attrs else self.default_axes)
        return normalized_axes(args, list(axes), args.spec(0).rank)


class MeanVarianceNormalization(Statistic):
    """y = (x - mean) / (sqrt(var) + 1e-9) over `axes`, by default all but the channels. ONNX MeanVarianceNormalization-9, 13."""

    default_axes = (0, 2, 3)

    def lower(self, low: Lowering) -> None:
        x, axes = low.read(0), self._axes(low.args)
        y = low.write(0, strides_like(x.shape, x.strides))
        _binary(low, "Sub", y, x, _statistic(low, "Mean", x, axes))
        spread = _statistic(low, "L2", y, axes)
        scale = scalar(low, 1 / math.sqrt(math.prod(x.shape[a] for a in axes)))
        shape, (ys, ps) = walk(spread.shape, spread.strides, (0,) * len(spread.shape))
        low.emit("scale_shift", [spread, spread, scale, scalar(low, VARIANCE_EPSILON)], spread.size, ndim=len(shape), shape=shape,
                 y_strides=ys, x_strides=ys, p_strides=ps, **epilogue(None))
        _binary(low, "Div", y, y, spread, last=True)


class LpNormalization(Statistic):
    """y = x / (sum |x|^p)^(1/p) along `axis`, p = 1 or 2; 0 where all is 0. ONNX LpNormalization-1, 22."""

    def native(self, args: Args) -> bool:
        return super().native(args) and args.node.attrs.get("p", 2) in (1, 2)

    def lower(self, low: Lowering) -> None:
        x, axes = low.read(0), self._axes(low.args)
        y = low.write(0, strides_like(x.shape, x.strides))
        norm = _statistic(low, f"L{low.node.attrs.get('p', 2)}", x, axes)
        _binary(low, "Max", norm, norm, scalar(low, NORM_FLOOR))
        _binary(low, "Div", y, x, norm, last=True)


def _statistic(low: Lowering, kind: str, x: Tensor, axes: list[int]) -> Tensor:
    """The reduction of x over axes, which keep the extent one."""
    y = low.temp(tuple(1 if k in axes else n for k, n in enumerate(x.shape)))
    emit_reduce(low, kind, y, tuple(s for k, s in enumerate(y.strides) if k not in axes), x, axes)
    return y


def _binary(low: Lowering, op: str, y: Tensor, a: Tensor, b: Tensor, last: bool = False) -> None:
    """y = a op b, b broadcast; `last`: then the node's activation."""
    shape, (ys, as_, bs) = walk(y.shape, y.strides, a.strides, b.broadcast(y.shape).strides)
    low.emit("binary", [y, a, b], y.size, ndim=len(shape), shape=shape, y_strides=ys, a_strides=as_, b_strides=bs, op=_native.BINARY[op],
             **epilogue(low.node.activation if last else None))


STATISTICS: dict[str, Op] = {"MeanVarianceNormalization": MeanVarianceNormalization(), "LpNormalization": LpNormalization()}
