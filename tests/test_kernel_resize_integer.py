"""The steps that resize elements of any type and integers, against the sums written out, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step

from fastcnn.ops.layout import DTYPE_CODES

F = np.float32
EXTENTS = [((5, 7), (13, 15)), ((20, 31), (7, 9)), ((1, 1), (3, 40)), ((6, 8), (6, 8)), ((3, 40), (4, 2100))]


def values(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -100_000), min(limits.max, 100_000) + 1, shape).astype(dtype)


def indices(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    return np.sort(rng.integers(0, size, count)).astype(np.int32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("extents", EXTENTS, ids=str)
@pytest.mark.parametrize("dtype, inner", [("uint8", 1), ("uint8", 3), ("int16", 1), ("float32", 1), ("float32", 3), ("float64", 1),
                                          ("int64", 5)])
def test_resize_nearest(dtype, inner, extents, threads):
    rng, ((ih, iw), (oh, ow)) = np.random.default_rng(ih_seed(extents)), extents
    x, rows, columns = rng.integers(0, 100, (2, ih, iw, inner)).astype(dtype), indices(rng, ih, oh), indices(rng, iw, ow)
    y = Guarded(np.zeros((2, oh, ow, inner), dtype), output=True)
    assert run_step("resize_nearest", [y, Guarded(x), Guarded(rows), Guarded(columns)], threads, planes=2, ih=ih, iw=iw, oh=oh, ow=ow,
                    inner=inner, elem_bytes=x.itemsize) == 0
    np.testing.assert_array_equal(y.array, x[:, rows][:, :, columns])


def ih_seed(extents) -> int:
    return sum(map(sum, extents))


def neighbours(rng: np.random.Generator, size: int, out: int) -> np.ndarray:
    """(out, 2): an element and the next one, or the last one twice."""
    low = indices(rng, size, out)
    return np.stack([low, np.minimum(low + 1, size - 1)], 1).astype(np.int32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("taps", [2, 4])
@pytest.mark.parametrize("extents", EXTENTS, ids=str)
@pytest.mark.parametrize("dtype, fixed", [("uint8", 0), ("int8", 0), ("int32", 0), ("uint8", 1), ("int8", 1)])
def test_resize_terms(isa, dtype, extents, taps, fixed, threads):
    """Bit for bit: each product and each sum of float32 rounds on its own, rows before columns."""
    rng, ((ih, iw), (oh, ow)) = np.random.default_rng(ih_seed(extents)), extents
    x = values(rng, dtype, 2, ih, iw)
    rows, columns = neighbours(rng, ih, oh), rng.integers(0, iw, (taps, ow)).astype(np.int32)
    weights = [rng.random((oh, 2)).astype(F) / 2, rng.random((taps, ow)).astype(F) / taps]
    if fixed:
        weights = [(w * F(1024)).astype(np.int32) for w in weights]
    y = Guarded(np.zeros((2, oh, ow), dtype), output=True)
    assert run_step("resize_terms", [y, Guarded(x), Guarded(rows), Guarded(weights[0]), Guarded(columns), Guarded(weights[1])], threads,
                    planes=2, ih=ih, iw=iw, oh=oh, ow=ow, taps_w=taps, dtype=DTYPE_CODES[x.dtype], fixed=fixed) == 0
    total = np.zeros((2, oh, ow), np.int64 if fixed else F)
    for r in range(2):
        for k in range(taps):
            factor = weights[1][k] * weights[0][:, r:r + 1]
            total = total + factor * x[:, rows[:, r]][:, :, columns[k]].astype(total.dtype)
    np.testing.assert_array_equal(y.array, np.trunc(total / (1 << 20) if fixed else total).astype(dtype))


def test_resize_terms_at_the_end_of_int32(isa):
    """float32 rounds the largest int32 up to 2^31: the largest int32 it stays."""
    x, y = np.full((1, 1, 2), np.iinfo(np.int32).max, np.int32), Guarded(np.zeros((1, 1, 1), np.int32), output=True)
    tables = [np.zeros((1, 2), np.int32), np.array([[1, 0]], F), np.array([[0], [1]], np.int32), np.array([[0.5], [0.5]], F)]
    assert run_step("resize_terms", [y, x, *tables], planes=1, ih=1, iw=2, oh=1, ow=1, taps_w=2, dtype=DTYPE_CODES[x.dtype], fixed=0) == 0
    assert y.array[0, 0, 0] == np.iinfo(np.int32).max


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("outer, inner", [(9, 1), (5, 3), (2, 16), (2, 1030), (1, 1)])
@pytest.mark.parametrize("size, out, taps", [(20, 7, 5), (8, 8, 1), (3, 9, 3), (50, 3, 33)])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_resize_fixed(isa, dtype, size, out, taps, outer, inner, threads):
    rng = np.random.default_rng(size + inner)
    x, first = values(rng, dtype, outer, size, inner), indices(rng, size - taps + 1, out)
    w = rng.standard_normal((out, taps))
    w = (w / np.abs(w).sum(1, keepdims=True) * 1.9 * (1 << 22)).astype(np.int32)      # sums of bytes stay below 2^31
    y = Guarded(np.zeros((outer, out, inner), dtype), output=True)
    assert run_step("resize_fixed", [y, Guarded(x), Guarded(first), Guarded(w)], threads, outer=outer, out=out, inner=inner, taps=taps,
                    dtype=DTYPE_CODES[x.dtype], **{"in": size}) == 0
    runs = x.astype(np.int64)[:, first[:, None] + np.arange(taps)]
    total = ((runs * w[:, :, None]).sum(2) + (1 << 21)) >> 22
    limits = np.iinfo(dtype)
    np.testing.assert_array_equal(y.array, np.clip(total, limits.min, limits.max).astype(dtype))
