"""QuantizeBytes, QuantizeScaled, DequantizeBytes, ByteTable: to bytes, from bytes, functions of one byte."""
from __future__ import annotations

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.quantized.bytes import are_bytes, walk_fields, write_like

TABLE = 256


class QuantizeBytes(Op):
    """y = saturate(round(x / scale) + zero), unsigned bytes. rows: as x lies, else channels last where it has more than three axes."""

    def native(self, args: Args) -> bool:
        return args.spec(0).dtype == F32 and args.spec(0).rank <= _native.MAX_DIMS

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        pixels = len(x.shape) > 3 and not low.node.attrs.get("rows", 0)
        y = low.write(0, "channels_last") if pixels else write_like(low, [0])
        low.emit("quantise", [y, x], y.size, scale=low.node.attrs["scale"], zero=low.node.attrs["zero"], **walk_fields(y, x=x))


class QuantizeScaled(Op):
    """y = saturate(round(min(max(x * factor[c] + offset[c], lo), hi) / scale) + zero): QuantizeBytes of a BatchNormalization."""

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        return x.dtype == F32 and 2 <= x.rank <= _native.MAX_DIMS and all(value is not None for value in args.values[1:3])

    def lower(self, low: Lowering) -> None:
        x, y, attrs = low.read(0, "channels_last"), low.write(0, "channels_last"), low.node.attrs
        factors, offsets = (low.read(i, "dense") for i in (1, 2))
        pixels = walk_fields(y.select(1, 0), x=x.select(1, 0))
        low.emit("quantise_scaled", [y, x, factors, offsets], x.size, c=x.shape[1],
                 **{name: attrs[name] for name in ("scale", "zero", "lo", "hi")}, **pixels)


class DequantizeBytes(Op):
    """y = (x - zero) * scale, floats."""

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0)

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        y = low.write(0, "dense") if low.dense_output() else write_like(low, [0])
        low.emit("dequantise", [y, x], y.size, scale=low.node.attrs["scale"], zero=low.node.attrs["zero"], **walk_fields(y, x=x))


class ByteTable(Op):
    """y = table[x], x a byte of either kind by its bits; the table's 256 elements are bytes of either kind."""

    def native(self, args: Args) -> bool:
        x, table = args.spec(0), args.spec(1)
        return x.dtype.itemsize == 1 and x.rank <= _native.MAX_DIMS and table.dtype.itemsize == 1 and table.size == TABLE

    def lower(self, low: Lowering) -> None:
        x, table = low.read(0), low.read(1, "dense")
        y = low.write(0, "dense") if low.dense_output() else write_like(low, [0])
        low.emit("table", [y, x, table], y.size, **walk_fields(y, x=x))


OPERATORS: dict[str, Op] = {"QuantizeBytes": QuantizeBytes(), "QuantizeScaled": QuantizeScaled(), "DequantizeBytes": DequantizeBytes(),
                            "ByteTable": ByteTable()}
