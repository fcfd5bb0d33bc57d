"""QAdd, QMul: sums and products of two values of bytes; QPRelu, QAffine: of bytes and numbers a channel."""
from __future__ import annotations

from typing import Any

from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import place, two_dimensional
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


class BytePRelu(Op):
    """QPRelu: (x - x_zero) * (negative where x < x_zero, else positive), rounded, + y_zero, limited; negative: floats, broadcast to x."""

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0)

    def lower(self, low: Lowering) -> None:
        y, attrs = write_like(low, [0]), low.node.attrs
        x, negative = operand(low, 0, y), operand(low, 1, y)
        low.emit("qprelu", [y, x, negative], y.size, a_zero=attrs["x_zero"], b_zero=0, zero=attrs["y_zero"], lo=attrs["lo"], hi=attrs["hi"],
                 a_factor=attrs["positive"], b_factor=0.0, **walk_fields(y, a=x, b=negative))


class ByteAffine(Op):
    """QAffine: (x - x_zero) * scale + shift, rounded, + y_zero, limited. x: (N, C), (N, C, L) or (N, C, H, W), scale and shift: (C)."""

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.spec(0).rank in (2, 3, 4) and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        x, y, attrs = _image(low.read(0, "channels_last")), _image(low.write(0, "channels_last")), low.node.attrs
        (n, c, h, w), (scale, shift) = x.shape, (low.read(i, "dense") for i in (1, 2))
        low.emit("qaffine", [y, x, scale, shift], y.size, n=n, h=h, w=w, c=c, x_zero=attrs["x_zero"], zero=attrs["y_zero"], lo=attrs["lo"],
                 hi=attrs["hi"], **place("x", x), **place("y", y))


def _image(t: Tensor) -> Tensor:
    """Channels last, with two spatial axes."""
    return two_dimensional(t) if len(t.shape) > 2 else Tensor(t.buffer, (*t.shape, 1, 1), (*t.strides, 0, 0), t.offset)


OPERATORS: dict[str, Op] = {"QAffine": ByteAffine(), "QAdd": ByteBinary("qadd"), "QMul": ByteBinary("qmul"), "QPRelu": BytePRelu()}
