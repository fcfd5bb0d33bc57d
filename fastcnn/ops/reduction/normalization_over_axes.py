"""Normalisations over any axes, spelled out in reductions and elementwise steps: MeanVarianceNormalization, LpNormalization."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor, strides_like, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.elementwise.elementwise import emit_binary
from fastcnn.ops.layout import movable
from fastcnn.ops.movement.shape import normalized_axes
from fastcnn.ops.reduction.reduce import emit_reduce

F64 = np.dtype(np.float64)
# ONNX's guard against division by zero.
VARIANCE_EPSILON = 1e-9


class Statistic(Op):
    """An operator that divides x by a statistic over some axes of itself, float32."""

    default_axes: tuple[int, ...] = (-1,)

    def native(self, args: Args) -> bool:
        return super().native(args) and movable(*args.specs) and args.spec(0).size > 0

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
        emit_binary(low, y, x, _statistic(low, "Mean", x, axes, F32).broadcast(y.shape), "Sub")
        _divide(low, y, y, _statistic(low, "L2", y, axes), 1 / math.sqrt(math.prod(x.shape[a] for a in axes)), VARIANCE_EPSILON)


class LpNormalization(Statistic):
    """y = x / (sum |x|^p)^(1/p) along `axis`, p = 1 or 2; 0 where all is 0. ONNX LpNormalization-1, 22."""

    def native(self, args: Args) -> bool:
        return super().native(args) and args.node.attrs.get("p", 2) in (1, 2)

    def lower(self, low: Lowering) -> None:
        x, axes = low.read(0), self._axes(low.args)
        y = low.write(0, strides_like(x.shape, x.strides))
        _divide(low, y, x, _statistic(low, f"L{low.node.attrs.get('p', 2)}", x, axes))


def _statistic(low: Lowering, kind: str, x: Tensor, axes: list[int], dtype: np.dtype = F64) -> Tensor:
    """The reduction of x over axes, which keep the extent one."""
    y = low.temp(tuple(1 if k in axes else n for k, n in enumerate(x.shape)), dtype)
    emit_reduce(low, kind, y, tuple(s for k, s in enumerate(y.strides) if k not in axes), x, axes)
    return y


def _divide(low: Lowering, y: Tensor, x: Tensor, norm: Tensor, factor: float = 1.0, epsilon: float = 0.0) -> None:
    """y = x / (norm * factor + epsilon), 0 by 0; norms are doubles: of large or tiny numbers float32 has none."""
    divisor = low.temp(norm.shape)
    low.emit("norm_divisor", [divisor, norm], norm.size, count=norm.size, factor=factor, epsilon=epsilon)
    shape, (ys, xs, ns) = walk(y.shape, y.strides, x.strides, norm.broadcast(y.shape).strides)
    low.emit("norm_divide", [y, x, norm, divisor], y.size, ndim=len(shape), shape=shape, y_strides=ys, x_strides=xs, n_strides=ns,
             factor=factor, epsilon=epsilon)


OPERATORS: dict[str, Op] = {"MeanVarianceNormalization": MeanVarianceNormalization(), "LpNormalization": LpNormalization()}
