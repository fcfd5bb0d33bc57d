"""QAdd, QMul: sums and products of two values of bytes."""
from __future__ import annotations

from typing import Any

from fastcnn.ir.spec import Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import operand
from fastcnn.ops.quantized.bytes import are_bytes, walk_fields, write_like


class ByteBinary(Op):
    """QAdd: (a - a_zero) * a_factor + (b - b_zero) * b_factor; QMul: (a - a_zero) * (b - b_zero) * factor; rounded, + y_zero, limited."""

    def __init__(self, kind: str):
        self.kind = kind

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0, 1)

    def lower(self, low: Lowering) -> None:
        y, attrs = write_like(low, [0, 1]), low.node.attrs
        a, b = operand(low, 0, y), operand(low, 1, y)
        factors: dict[str, Any] = {"a_factor": attrs.get("a_factor", attrs.get("factor")), "b_factor": attrs.get("b_factor", 0.0)}
        low.emit(self.kind, [y, a, b], y.size, a_zero=attrs["a_zero"], b_zero=attrs["b_zero"], zero=attrs["y_zero"], lo=attrs["lo"],
                 hi=attrs["hi"], **factors, **walk_fields(y, a=a, b=b))


OPERATORS: dict[str, Op] = {"QAdd": ByteBinary("qadd"), "QMul": ByteBinary("qmul")}
