"""The dynamic_product step against 64-bit integers, and the recurrent step with weights of bytes: sizes around words, vectors and tiles."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step

from fastcnn import _native
from fastcnn.ops.recurrence.dynamic_lstm import widest

WORD = 4


def quantised(x: np.ndarray) -> tuple[np.ndarray, np.float32, int]:
    """(bytes, scale, zero point) by onnxruntime's rule, in float32."""
    low, high = np.float32(min(x.min(initial=0), 0)), np.float32(max(x.max(initial=0), 0))
    scale = np.float32((high - low) / np.float32(255)) if high > low else np.float32(1)
    zero = int(np.rint(np.clip(-low / scale, 0, 255)))
    return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.int64), scale, zero


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("rows, k, vectors", [(1, 1, 1), (1, 5, 4), (3, 64, 3), (15, 33, 5), (29, 130, 8)])
def test_product(rows, k, vectors, zeros, isa):
    rng = np.random.default_rng(rows * 100 + k)
    columns, nv = vectors * _native.vector_length(), widest()
    x = (rng.normal(size=(rows, k + 3)) + 0.5).astype(np.float32)
    w = rng.choice([-128, 127, *range(-128, 128)], (columns, k)).astype(np.int8)
    scale, bias = rng.uniform(0.01, 0.1, columns).astype(np.float32), rng.normal(size=columns).astype(np.float32)
    zero = rng.integers(-128, 128, columns) if zeros else np.zeros(columns, np.int64)
    parts = [scale.view(np.int32), w.sum(1, dtype=np.int64) - k * zero, *([zero] if zeros else [])]
    numbers = np.concatenate([p.astype(np.int32) for p in parts])
    packed = _native.pack_qconv(w[:, :, None, None], 1, nv, True)
    lens = np.array([max(rows - 1, 1), 1], np.int32) if rows > 2 else None
    counted = rows if lens is None else min(int(lens.max()) * 2, rows)
    q, s, z = quantised(x[:counted, :k])
    q = np.clip(np.rint(x[:, :k] / s) + z, 0, 255).astype(np.int64)
    sums = (q - z) @ (w.astype(np.int64) - zero[:, None]).T
    expected = sums * (s * scale).astype(np.float64) + bias
    for threads in (1, 3):
        y = Guarded(np.zeros((rows, columns), np.float32), output=True)
        work, totals = np.zeros((rows, -(-k // WORD) * WORD), np.uint8), np.zeros(rows, np.int32)
        status = run_step("dynamic_product", [y, x, work, totals, packed, numbers, Guarded(bias), lens], threads, rows=rows, k=k,
                          x_row=k + 3, columns=columns, nv=nv, batch=2 if lens is not None else 1, zeros=int(zeros))
        assert status == 0
        assert np.abs(y.array - expected).max() <= 2e-6 * max(np.abs(expected).max(), np.abs(sums).max() * float((s * scale).max()))


def test_columns_are_of_the_sums(isa):
    """With scales of 1 the sums come out as they are."""
    columns, k = 2 * _native.vector_length(), 9
    x = np.arange(-7, 2 * k - 7, dtype=np.float32).reshape(2, k) * np.float32(255)
    x[0, 0], x[1, -1] = 0, 255 * 255                            # a scale of a whole number
    w = np.full((columns, k), -128, np.int8)
    q, s, z = quantised(x)
    numbers = np.concatenate([np.ones(columns, np.float32).view(np.int32), w.sum(1, dtype=np.int32)])
    y = np.zeros((2, columns), np.float32)
    work = np.zeros((2, 12), np.uint8)
    run_step("dynamic_product", [y, x, work, None, _native.pack_qconv(w[:, :, None, None], 1, widest(), True), numbers, None, None],
             rows=2, k=k, x_row=k, columns=columns, nv=widest(), batch=1, zeros=0)
    np.testing.assert_array_equal(y, ((q - z) @ w.astype(np.int64).T * s).astype(np.float32))
