"""QAveragePool, QGlobalAveragePool: means of bytes."""
from __future__ import annotations

from fastcnn.ir.spec import Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import two_dimensional
from fastcnn.ops.pooling.pool import AVERAGE, emit_byte_pool, pool_window
from fastcnn.ops.quantized.bytes import LAST, U8, are_bytes, emit_limits
from fastcnn.ops.window import Window, two_axes


class ByteAverage(Op):
    """y = round(mean of (x - x_zero) over windows * factor) + y_zero. x: (N, C, H, W) or (N, C, L). whole: windows are planes."""

    def __init__(self, whole: bool):
        self.whole = whole

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.spec(0).rank in (3, 4) and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        x, y, attrs = two_dimensional(low.read(0, "channels_last")), two_dimensional(low.write(0, "channels_last")), low.node.attrs
        window = Window(x.shape[2:], (1, 1), (1, 1), (0, 0), (0, 0), (1, 1)) if self.whole else two_axes(pool_window(low.args))
        limited = (attrs["lo"], attrs["hi"]) != (0, LAST)
        means = low.temp(y.shape, U8, "channels_last") if limited else y
        emit_byte_pool(low, means, x, window, AVERAGE, x_zero=attrs["x_zero"], zero=attrs["y_zero"], factor=attrs["factor"])
        if limited:
            emit_limits(low, y, means)


OPERATORS: dict[str, Op] = {"QAveragePool": ByteAverage(whole=False), "QGlobalAveragePool": ByteAverage(whole=True)}
