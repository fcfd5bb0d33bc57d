"""com.microsoft's DynamicQuantizeLSTM: an LSTM with 8-bit weights that quantises what it multiplies them with on the way."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.reference.rnn import Product, run_lstm

LARGEST = 255


def dynamic_quantize_lstm(node: Node, inputs: Sequence[Any]) -> list[np.ndarray]:
    """LSTM of X, W (D, inputs, 4 hidden), R (D, hidden, 4 hidden), B, sequence_lens, initial_h, initial_c, P, and scales and zero
    points of W and R.

    Each product is (q - zero) @ (W - W_zero) * scale * W_scale. X is quantised as a whole, up to its longest sequence, the hidden
    state in every step, to unsigned bytes whose range covers its values and zero.
    """
    values: list[Any] = [None if v is None else np.asarray(v) for v in (*inputs, *[None] * 12)[:12]]
    w, r = values[1], values[2]
    longest = None if values[4] is None else int(values[4].max(initial=0))
    whole, of_w, of_r = _range(values[0][:longest]), _weights(w, values[8], values[9]), _weights(r, values[10], values[11])

    def of_x(d: int, x: np.ndarray) -> np.ndarray:
        return _quantised(x, *whole) @ of_w[d]

    def of_h(d: int, h: np.ndarray) -> np.ndarray:
        return _quantised(h, *_range(h)) @ of_r[d]

    products: tuple[Product, Product] = (of_x, of_h)
    return run_lstm(node, values[:8], r.shape[1], w.shape[0], *products)


def _weights(q: np.ndarray, scale: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    """(D, k, 4 hidden) as real numbers; one scale and zero point a direction or a column."""
    def spread(v: np.ndarray) -> np.ndarray:
        return v.reshape(v.shape[0], 1, -1).astype(np.float64)
    return (q.astype(np.float64) - (0.0 if zero is None else spread(zero))) * spread(scale)


def _range(x: np.ndarray) -> tuple[float, float]:
    """Scale and zero point of unsigned bytes for these values."""
    low, high = np.float32(min(x.min(initial=0), 0)), np.float32(max(x.max(initial=0), 0))
    scale = float((high - low) / np.float32(LARGEST)) if high > low else 1.0
    return scale, float(np.rint(np.clip(-low / np.float32(scale), 0, LARGEST)))


def _quantised(x: np.ndarray, scale: float, zero: float) -> np.ndarray:
    """The real numbers that the bytes of x stand for."""
    return (np.clip(np.rint(np.float32(x) / np.float32(scale)) + zero, 0, LARGEST) - zero) * scale
