"""Trilu as a choice by a constant mask; Range and ConstantOfShape, whose results are values, not steps."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import strides_like, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import movable, scalar


class Trilu(Op):
    """y = the upper (lower) triangles of the matrices of x from diagonal k (input 1) on, 0 elsewhere. ONNX Trilu-14."""

    def native(self, args: Args) -> bool:
        return movable(args.spec(0)) and args.ints(1, [0]) is not None

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        y = low.write(0, strides_like(x.shape, x.strides))
        mask, zero = low.constant(self._mask(low.args)).broadcast(x.shape), scalar(low, 0, x.dtype).broadcast(x.shape)
        shape, (ys, ms, xs, zs) = walk(x.shape, y.strides, mask.strides, x.strides, zero.strides)
        low.emit("where", [y, mask, x, zero], y.size, ndim=len(shape), shape=shape, y_strides=ys, c_strides=ms, a_strides=xs, b_strides=zs,
                 elem_bytes=x.dtype.itemsize)

    def _mask(self, args: Args) -> np.ndarray:
        rows, columns = args.spec(0).shape[-2:]
        k = min(max((args.ints(1) or [0])[0], -rows), columns)         # beyond that nothing changes
        ones = np.ones((rows, columns), bool)
        return np.triu(ones, k) if args.node.attrs.get("upper", 1) else np.tril(ones, k)


class Value(Op):
    """Range-11 and ConstantOfShape-9: evaluated when their inputs are known, at the latest during the run."""

    def native(self, args: Args) -> bool:
        """Not where the shape is known without the values: sizes that are none, whatever they are."""
        return all(spec is None or spec.size > 0 for spec in args.specs)


OPERATORS: dict[str, Op] = {"Trilu": Trilu(), "Range": Value(), "ConstantOfShape": Value()}
