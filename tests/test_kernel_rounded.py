"""The steps round_product and lookup: values of bytes that lie in memory as floats, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from images import CHANNELS, Image, run_image_step
from step_helper import Guarded, run_step
from strided import View

from fastcnn.ops.quantized.as_floats import LOOKUPS


@pytest.mark.parametrize("c", CHANNELS)
def test_round_product(level: str, c: int) -> None:
    """Halves go to the even neighbour; of two images each has its own factors; pixels with gaps; in place."""
    rng = np.random.default_rng(c)
    n, h, w, zero = 2, 3, 5, 17
    x, b = rng.integers(-255, 256, (n, h, w, c)).astype(np.float32), rng.integers(-255, 256, (n, c)).astype(np.float32)
    for factor in (0.5, 0.0117):
        fields = dict(n=n, h=h, w=w, c=c, factor=factor, lo=-zero, hi=255 - zero)
        wanted = np.clip(np.rint(x * b[:, None, None] * np.float32(factor)), -zero, 255 - zero)
        source, target, both = Image(n, h, w, c, 3), Image(n, h, w, c, 5, output=True), Image(n, h, w, c, 2, output=True)
        source.array[...] = both.array[...] = x
        for threads in (1, 3):
            got = run_image_step("round_product", target, source, Guarded(b), threads=threads, **fields)
            np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(run_image_step("round_product", both, both, Guarded(b), **fields), wanted)


@pytest.mark.parametrize("n", [1, 7, 8, 15, 16, 17, 31, 32, 33, 10007])
@pytest.mark.parametrize("zero", [0, 117, 255])
def test_lookup(level: str, n: int, zero: int) -> None:
    """Every byte of a zero point; rows with gaps, strided ones, in place; what is no number gives some entry."""
    rng = np.random.default_rng(n)
    table = np.zeros(LOOKUPS, np.int16)
    table[:256] = rng.integers(-255, 256, 256)
    u = rng.integers(0, 256, (2, n))
    x, wanted = (u - zero).astype(np.float32), np.roll(table[:256], zero)[u].astype(np.float32)
    for threads in (1, 3):
        for view in (View(np.zeros((2, n), np.float32), pitch=n + 3, output=True), View(np.zeros((2, n), np.float32), (1, 0), output=True)):
            assert run_step("lookup", [view.buffer, Guarded(x), Guarded(table)], threads, ndim=2, shape=(2, n), y_strides=view.strides,
                            x_strides=(n, 1)) == 0
            view.check_gaps()
            np.testing.assert_array_equal(view.array, wanted)
    x[0, 0] = np.nan
    y = Guarded(x.copy(), output=True)
    assert run_step("lookup", [y, y, Guarded(table)], ndim=1, shape=(2 * n,), y_strides=(1,), x_strides=(1,)) == 0
    np.testing.assert_array_equal(y.array.ravel()[1:], wanted.ravel()[1:])
    assert y.array[0, 0] in table
