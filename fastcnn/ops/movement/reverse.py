"""ReverseSequence: the first steps of every sequence of a batch in reverse order."""
from __future__ import annotations

import math

from fastcnn.ir.spec import Args, Spec, bad_shape
from fastcnn.ops.base import Lowering
from fastcnn.ops.layout import own_output
from fastcnn.ops.movement.shape import AnyType


class ReverseSequence(AnyType):
    """y[t,b] = x[length[b] - 1 - t, b] while t < length[b], then x[t,b]. time_axis and batch_axis are 0 and 1. ONNX ReverseSequence-10.

    x: any fixed-size elements, rank 2 and up; input 1, the lengths: int64 (B), each at most the extent of time.
    """

    def infer(self, args: Args) -> list[Spec]:
        x, time = args.spec(0), args.node.attrs.get("time_axis", 0)
        batch = args.node.attrs.get("batch_axis", 1)
        if x.rank < 2 or sorted((time, batch)) != [0, 1]:
            raise bad_shape(args, f"time_axis={time}, batch_axis={batch}")
        if args.spec(1).shape != x.shape[batch:batch + 1]:
            raise bad_shape(args, f"sequence_lens is {list(args.spec(1).shape)} for a batch of {x.shape[batch]}")
        return [x]

    def lower(self, low: Lowering) -> None:
        x, time = low.read(0, "dense"), low.node.attrs.get("time_axis", 0)
        low.emit("reverse_sequence", [own_output(low, 0), x, low.read(1, "dense")], x.size, time=x.shape[time], batch=x.shape[1 - time],
                 time_first=int(time == 0), inner_bytes=math.prod(x.shape[2:]) * x.dtype.itemsize)
