"""QConv, QMatMul: bytes times constant weights of signed bytes, by the rungs for bytes of fastcnn.convolve.ladder."""
from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastcnn.ir.record import replace
from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import Tensor
from fastcnn.machine.current import current
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution import conv3d
from fastcnn.ops.convolution.conv_emit import emit_conv, two_dimensional
from fastcnn.ops.products.linear import as_rows
from fastcnn.ops.quantized import in_floats
from fastcnn.ops.quantized.bytes import are_bytes, past_the_end
from fastcnn.ops.quantized.product_step import RESIDUAL, emit_product, problem_of
from fastcnn.ops.window import Window, resolve, two_axes

LEAST_ROWS = 8          # of a piece of a volume: each begins with rows that the one before has read as well


class QConv(Op):
    """y = (sum of (x - x_zero) * w + bias) * factor, then bytes within limits or floats.

    x: (N, C, L), (N, C, H, W) or, dense and not dilated in depth, (N, C, D, H, W); w: (M, C/group, k...). A residual is added to the
    bytes, a table looked up at last.
    """

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.spec(0).rank in (3, 4, 5) and args.values[1] is not None and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        window = resolve(low.args, low.args.spec(0).shape[2:], low.args.spec(1).shape[2:])
        if len(window.kernel) == 3:
            _lower_volume(low, window)
            return
        w, group, plane = low.args.constant(1), low.node.attrs.get("group", 1), two_axes(window)
        w = w[:, :, None, :] if w.ndim == 3 else w
        x = past_the_end(low, low.read(0, "channels_last"), w.shape[1])
        y = low.write(0, "channels_last")
        residual = two_dimensional(low.read(RESIDUAL, "channels_last")) if low.args.has(RESIDUAL) else None
        _product(low, two_dimensional(y), two_dimensional(x), residual, w, plane, group)


class QMatMul(Op):
    """As QConv for the rows of x: (..., K), w: (N, K)."""

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.values[1] is not None and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        w, x = low.args.constant(1), low.read(0)
        n, k = w.shape
        m = int(np.prod(x.shape[:-1], dtype=np.int64))
        rows = past_the_end(low, as_rows(low, x, m), k)
        y = low.write(0, "dense").view((m, n))
        residual = _as_image(as_rows(low, low.read(RESIDUAL), m)) if low.args.has(RESIDUAL) else None
        window = Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0), (1, m))
        _product(low, _as_image(y), _as_image(rows), residual, w.reshape(n, k, 1, 1), window, 1)


def _product(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray, window: Window, group: int) -> None:
    """One convolution of bytes, w (M, C/group, kh, kw), or of floats where these are predicted to be faster."""
    problem = problem_of(low, y, x, residual, w, window, group)
    if low.node.attrs["to"] != "int32" and in_floats.pays(problem):
        in_floats.lower_in_floats(low, y, x, residual, w, "channels_last", lambda v: v.reshape(-1, 1, 1, 1),
                                  lambda part, t, floats, scaled, name: emit_conv(part, t, floats, None, scaled, name, window, group))
        return
    emit_product(low, y, x, residual, w, low.node.input(1), window, group)


def _lower_volume(low: Lowering, window: Window) -> None:
    """Over three axes: for every output depth one convolution of the depths it sees, which are channels of one image (conv3d)."""
    w, name, plane = low.args.constant(1), low.node.input(1), conv3d.plane_of(window)
    x = past_the_end(low, low.read(0, "depth_inner"), w.shape[1] * window.kernel[0], "depth_inner")
    y = low.write(0, "depth_inner")
    residual = low.read(RESIDUAL, "depth_inner") if low.args.has(RESIDUAL) else None
    if low.node.attrs["to"] != "int32" and not in_floats.has_dots():
        in_floats.lower_in_floats(low, y, x, residual, w, "depth_inner", lambda v: v.reshape(-1, 1, 1, 1, 1),
                                  lambda part, t, floats, scaled, name: conv3d.emit_volume(part, t, floats, None, scaled, name, window, 1))
        return
    for begin, rows in _pieces(low, window, *(t for t in (y, x, residual) if t is not None)):
        piece = replace(plane, before=(plane.before[0] - begin * plane.strides[0], plane.before[1]), out=(rows, plane.out[1]))
        for depth in range(window.out[0]):
            first, taps = next(iter(conv3d.runs_of(window, depth, x.shape[2], 1)), (0, ()))
            kernel = w[:, :, list(taps)].swapaxes(1, 2).reshape(w.shape[0], len(taps) * w.shape[1], *w.shape[3:])
            if not taps:                                # the bias alone: one tap that adds nothing
                kernel, taps = np.zeros((w.shape[0], w.shape[1], *w.shape[3:]), np.int8), (-1,)
            image = conv3d.slices_as_channels(x, first, len(taps))
            target, added = (t and t.select(2, depth).slice(2, begin, rows) for t in (y, residual))
            assert target is not None
            emit_product(low, target, image, added, kernel, f"{name}@{taps}", piece, 1)


def _pieces(low: Lowering, window: Window, y: Tensor, x: Tensor, *added: Tensor) -> list[tuple[int, int]]:
    """(first row, rows) of pieces of y that L2 keeps with what they are made of: every depth reads and writes lines of its neighbours."""
    rows_read = ((y, 1), (x, window.strides[1]), *((t, 1) for t in added))
    row = sum(t.dtype.itemsize * t.shape[1] * t.shape[2] * t.shape[4] * count for t, count in rows_read)
    rows = max(current().l2_bytes * low.threads // row, LEAST_ROWS)
    count = -(-y.shape[3] // rows)
    ends = [y.shape[3] * i // count for i in range(count + 1)]
    return [(begin, end - begin) for begin, end in pairwise(ends)]


def _as_image(t: Tensor) -> Tensor:
    """Rows (M, K) as the pixels of one row."""
    m, k = t.shape
    return Tensor(t.buffer, (1, k, 1, m), (0, 1, m * t.strides[0], t.strides[0]), t.offset)


OPERATORS: dict[str, Op] = {"QConv": QConv(), "QMatMul": QMatMul()}
