"""ReverseSequence: the first steps of every sequence of a batch in reverse order."""
from __future__ import annotations

import math

from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import own_output
from fastcnn.ops.movement.shape import AnyType


class ReverseSequence(AnyType):
    """y[t,b] = x[length[b] - 1 - t, b] while t < length[b], then x[t,b]. time_axis and batch_axis are 0 and 1. ONNX ReverseSequence-10.

    x: any fixed-size elements, rank 2 and up; input 1, the lengths: int64 (B), each at most the extent of time.
    """

    def lower(self, low: Lowering) -> None:
        x, time = low.read(0, "dense"), low.node.attrs.get("time_axis", 0)
        low.emit("reverse_sequence", [own_output(low, 0), x, low.read(1, "dense")], x.size, time=x.shape[time], batch=x.shape[1 - time],
                 time_first=int(time == 0), inner_bytes=math.prod(x.shape[2:]) * x.dtype.itemsize)


OPERATORS: dict[str, Op] = {"ReverseSequence": ReverseSequence()}
