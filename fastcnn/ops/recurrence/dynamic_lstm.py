"""com.microsoft's DynamicQuantizeLSTM: an LSTM whose weights are bytes, and whose input and state are quantised while it runs."""
from __future__ import annotations

from math import prod

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering
from fastcnn.ops.recurrence.recurrent import Blocks, Recurrent

BYTES = (np.dtype(np.int8), np.dtype(np.uint8))
SIGN = 128
WORD = 4                    # values of k that a lane multiplies at a time
MOST_INPUTS = 1 << 13       # 32 bits hold their sums and what zero points add, three times 255 * 255 each
W, R, BIAS, LENS, SCALE_OF = 1, 2, 3, 4, {1: 8, 2: 10}


class DynamicLstm(Recurrent):
    """LSTM of X (T, N, I), W (D, I, 4*H), R (D, H, 4*H), the other inputs as of LSTM, then scales and zero points, (D) or (D, 4*H).

    X is quantised as a whole, the state of all N in every step (fastcnn.reference.quantized_lstm). Weights, scales and zero points
    are constant.
    """

    def native(self, args: Args) -> bool:
        """Functions of the usual cell and of the general one alike; what the run computes is floats."""
        stored = (1, 2, *range(8, 12))
        floats = all(s is None or i in stored or s.dtype == (np.int32 if i == LENS else F32) for i, s in enumerate(args.specs))
        known = all(args.values[i] is not None for i in (*stored, BIAS) if args.has(i))
        return floats and known and args.spec(0).rank == 3 and args.spec(0).size > 0 and self._functions(args) is not None \
            and all(_is_covered(args, w) for w in (W, R))

    def hidden_rows(self, args: Args) -> tuple[int, int, int]:
        d, h, rows = args.spec(R).shape
        return d, rows, h

    def project(self, low: Lowering, blocks: Blocks, linear: bool) -> Tensor:
        x = low.read(0, "rows")
        steps, n, k = x.shape
        rows = steps * n
        flat = x.reshape((rows, k))
        flat = low.read(0, "dense").view((rows, k)) if flat is None else flat
        z = low.temp((steps, n, blocks.width))
        weights, zeros = self._stored(low, blocks, W)
        work = low.temp((rows, -(-k // WORD) * WORD), np.dtype(np.uint8))
        sums = low.temp((rows,), np.dtype(np.int32)) if zeros else None
        bias = None
        if low.args.has(BIAS):
            name = (self.kind, "dynamic bias", low.node.input(BIAS), *blocks.key)
            bias = low.packed(name, lambda: blocks.rows(self._input_bias(low.args, linear)).ravel())
        lens = low.read(LENS, "dense") if low.args.has(LENS) else None
        low.emit("dynamic_product", [z, flat, work, sums, *weights, bias, lens], rows * k * blocks.width, rows=rows, k=k,
                 x_row=flat.strides[0], columns=blocks.width, nv=widest(), batch=n, zeros=zeros)
        return z

    def state_weights(self, low: Lowering, blocks: Blocks, linear: bool) -> tuple[list[Tensor | None], dict[str, int]]:
        operands, zeros = self._stored(low, blocks, R)
        return operands, {"nv": widest(), "zeros": zeros}

    def _stored(self, low: Lowering, blocks: Blocks, w: int) -> tuple[list[Tensor | None], int]:
        """[packed weights, scale, net and zero of each column] as dynamic_product has them in steps.h, and whether there are zeros."""
        names = tuple(low.node.input(i) for i in (w, SCALE_OF[w], SCALE_OF[w] + 1))
        key = ("dynamic", *names, *blocks.key, widest())
        dtype, shape = low.args.spec(w).dtype, low.args.spec(w).shape
        zero = _zero_points(low.args, w)
        less_sign = zero - (0 if dtype == np.int8 else SIGN)
        has_zeros = bool(less_sign.any())

        def packed() -> np.ndarray:
            array = low.contents(w)
            signed = array if dtype == np.int8 else (array ^ SIGN).view(np.int8)
            rows = blocks.rows(np.ascontiguousarray(signed.swapaxes(1, 2)))
            return _native.pack_qconv(np.ascontiguousarray(rows[:, :, None, None]), 1, widest(), True)

        def columns() -> np.ndarray:
            scale = _spread(low.contents(SCALE_OF[w]).astype(F32), shape).view(np.int32)
            net = low.contents(w).sum(1, keepdims=True, dtype=np.int64) - shape[1] * zero
            parts = [scale, net, less_sign] if has_zeros else [scale, net]
            return np.concatenate([blocks.rows(part.astype(np.int32).swapaxes(1, 2)).ravel() for part in parts])
        return [low.packed((*key, "weights"), packed), low.packed((*key, "columns"), columns)], int(has_zeros)


def _is_covered(args: Args, w: int) -> bool:
    """Whether weights are bytes, few enough, with scales and zero points for whole directions or for columns."""
    spec, scale, zero = args.spec(w), args.specs[SCALE_OF[w]], args.specs[SCALE_OF[w] + 1] if args.has(SCALE_OF[w] + 1) else None
    d, k, columns = spec.shape
    sizes = (d, d * columns)
    return spec.dtype in BYTES and k <= MOST_INPUTS and scale is not None and scale.dtype == F32 and prod(scale.shape) in sizes and (
        zero is None or (zero.dtype == spec.dtype and prod(zero.shape) in sizes))


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(D, 1, 4*H) from numbers of directions or of columns."""
    return np.ascontiguousarray(np.broadcast_to(values.reshape(shape[0], 1, -1), (shape[0], 1, shape[2])))


def _zero_points(args: Args, w: int) -> np.ndarray:
    """(D, 1, 4*H)."""
    zero = args.values[SCALE_OF[w] + 1] if args.has(SCALE_OF[w] + 1) else None
    return _spread(np.zeros(args.spec(w).shape[0], np.int64) if zero is None else zero.astype(np.int64), args.spec(w).shape)


def widest() -> int:
    """Vectors of the panels: the gates of a block, or a part of them where no tile is that wide."""
    return max(nv for nv in (1, 2, 4) if _native.qgemm_max_mr(nv))


OPERATORS = {"DynamicQuantizeLSTM": DynamicLstm("LSTM")}
