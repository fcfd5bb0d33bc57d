"""Softmax and LogSoftmax, float32."""
from __future__ import annotations

import math

from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import Tensor, strides_like, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import movable
from fastcnn.ops.movement.slicing import one_axis

# An exponential and two more passes an element.
SOFTMAX_WORK = 8


class Softmax(Op):
    """y = exp(x) / sum exp(x) along `axis`, or its logarithm; before ONNX 13 along all axes from `axis` on, as one."""

    def __init__(self, log: bool = False):
        self.log = log

    def native(self, args: Args) -> bool:
        return super().native(args) and movable(*args.specs) and args.spec(0).rank >= 1

    def lower(self, low: Lowering) -> None:
        axis, shape = self._axis(low.args), low.output_spec(0).shape
        if low.node.version < 13 and math.prod(shape[axis + 1:]) != 1:
            flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
            y, x = low.write(0, "dense").reshape(flat), low.read(0, "dense").reshape(flat)
            assert y is not None and x is not None
            self._emit(low, y, x, 1)
        else:
            x = low.read(0)
            self._emit(low, low.write(0, strides_like(shape, x.strides)), x, axis)

    def _emit(self, low: Lowering, y: Tensor, x: Tensor, axis: int) -> None:
        without = lambda values: (*values[:axis], *values[axis + 1:])  # noqa: E731
        shape, (y_strides, x_strides) = walk(without(x.shape), without(y.strides), without(x.strides))
        low.emit("softmax", [y, x], SOFTMAX_WORK * x.size, ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
                 axis=x.shape[axis], y_axis=y.strides[axis], x_axis=x.strides[axis], log=int(self.log))

    def _axis(self, args: Args) -> int:
        default = 1 if args.node.version < 13 else -1
        return one_axis(args, args.node.attrs.get("axis", default), args.spec(0).rank)


OPERATORS: dict[str, Op] = {"Softmax": Softmax(), "LogSoftmax": Softmax(log=True)}
