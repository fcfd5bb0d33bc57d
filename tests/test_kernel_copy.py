"""Copies between layouts and casts between dtypes against numpy."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View, broadcast_strides

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "float16"]
ELEMS = [np.uint8, np.uint16, np.float32, np.float64]


def run_copy(y: View, x: View, threads: int = 1) -> None:
    run_step("copy", [y.buffer, x.buffer], threads, ndim=y.array.ndim, shape=y.array.shape, y_strides=y.strides, x_strides=x.strides,
             elem_bytes=y.array.itemsize)
    np.testing.assert_array_equal(y.array, x.array)
    y.check_gaps()


def numbers(shape, dtype):
    return (np.arange(int(np.prod(shape))) * 31 % 251).astype(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", ELEMS)
@pytest.mark.parametrize("x_order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("y_order", list(itertools.permutations(range(3))))
def test_permutations(x_order, y_order, dtype):
    run_copy(View(np.zeros((5, 18, 33), dtype), y_order, output=True), View(numbers((5, 18, 33), dtype), x_order))


# channels, pixels: what conversions between NCHW and NHWC meet, around vectors and tiles
@pytest.mark.parametrize("c, hw", [(1, 100), (2, 65), (3, 1), (3, 15), (3, 16), (3, 1025), (3, 3001), (4, 70), (5, 17), (8, 8), (16, 16),
                                   (17, 31),
                                   (21, 130), (64, 196), (65, 129), (255, 50), (7, 4999),
                                   (2, 1), (2, 7), (2, 16), (2, 24), (2, 31), (2, 2500),
                                   (4, 3), (4, 16), (4, 20), (4, 31), (4, 33), (4, 2500), (20, 2048), (35, 2064), (600, 96)])
@pytest.mark.parametrize("pitch", ["dense", "pitched"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_channels_first_and_last(c, hw, pitch, dtype, isa):
    pitch = 0 if pitch == "dense" else c + 5
    for threads in (1, 3):
        nchw = View(numbers((2, c, hw), dtype))
        nhwc = View(np.zeros((2, c, hw), dtype), (0, 2, 1), pitch, output=True)
        run_copy(nhwc, nchw, threads)
        run_copy(View(np.zeros((2, c, hw), dtype), output=True), View(nchw.array, (0, 2, 1), pitch), threads)


@pytest.mark.parametrize("c, hw", [(3, 16), (16, 16), (17, 48), (24, 2048), (5, 2064), (33, 100)])
@pytest.mark.parametrize("offset", [1, 4, 8, 15, 16])
def test_planes_that_begin_between_vectors(c, hw, offset, isa):
    x, y = Guarded(numbers((hw, c), np.float32)), Guarded(np.zeros(c * hw + offset, np.float32), output=True)
    run_step("copy", [y.data[offset:], x], ndim=2, shape=(c, hw), y_strides=(hw, 1), x_strides=(1, c), elem_bytes=4)
    y.check()
    np.testing.assert_array_equal(y.data[offset:].reshape(c, hw), x.array.T)
    assert not y.data[:offset].any()


@pytest.mark.parametrize("dtype", ELEMS)
@pytest.mark.parametrize("rows, cols, pitch",
                         [(1, 1, 0), (300, 1, 4), (300, 3, 7), (40, 24, 96), (3, 70_001, 0), (1, 200_003, 0), (7, 2100, 2200)])
def test_rows(rows, cols, pitch, dtype):
    """Concatenation and slices: rows into a wider tensor and out of it."""
    for threads in (1, 2):
        run_copy(View(np.zeros((rows, cols), dtype), pitch=pitch, output=True), View(numbers((rows, cols), dtype)), threads)
        run_copy(View(np.zeros((rows, cols), dtype), output=True), View(numbers((rows, cols), dtype), pitch=pitch), threads)


@pytest.mark.parametrize("dtype", ELEMS)
@pytest.mark.parametrize("step", [0, 1, 2, 6, -4])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 5000])
@pytest.mark.parametrize("cols", [3, 5, 6, 7, 9, 13])
def test_short_rows_next_to_each_other(cols, rows, step, dtype):
    """Windows that overlap, repeat, lie apart or come in reverse, as rows of y without gaps."""
    x = Guarded(numbers(abs(step) * (rows - 1) + cols, dtype))
    y = Guarded(np.zeros((rows, cols), dtype), output=True)
    first = max(-step, 0) * (rows - 1)
    run_step("copy", [y, x.data[first:]], ndim=2, shape=(rows, cols), y_strides=(cols, 1), x_strides=(step, 1), elem_bytes=x.data.itemsize)
    np.testing.assert_array_equal(y.array, x.array[first + step * np.arange(rows)[:, None] + np.arange(cols)])


@pytest.mark.parametrize("dtype", ELEMS)
@pytest.mark.parametrize("shape, x_shape", [((4, 5, 6), (5, 1)), ((4, 5, 6), (6,)), ((9, 70), ()), ((3, 4, 5), (3, 1, 5))])
def test_expand(shape, x_shape, dtype):
    x, y = Guarded(numbers(x_shape, dtype)), Guarded(np.zeros(shape, dtype), output=True)
    run_step("copy", [y, x], ndim=len(shape), shape=shape, y_strides=broadcast_strides(shape, y.array),
             x_strides=broadcast_strides(shape, x.array), elem_bytes=y.array.itemsize)
    np.testing.assert_array_equal(y.array, np.broadcast_to(x.array, shape))


@pytest.mark.parametrize("dtype", ELEMS)
def test_steps_and_reversal(dtype):
    x = Guarded(numbers((20, 30), dtype))
    y = Guarded(np.zeros((10, 10), dtype), output=True)
    run_step("copy", [y, x.data[29:]], ndim=2, shape=(10, 10), y_strides=(10, 1), x_strides=(60, -3), elem_bytes=y.array.itemsize)
    np.testing.assert_array_equal(y.array, x.array[::2, ::-3])


def test_bit_patterns_survive(isa):
    """Signalling NaN and negative zero are moved, not computed with."""
    bits = np.array([0x7fa00001, 0xffc12345, 0x80000000, 1] * 60, np.uint32)
    x = View(bits.view(np.float32).reshape(3, 80))
    y = View(np.zeros((3, 80), np.float32), (1, 0), output=True)
    run_step("copy", [y.buffer, x.buffer], ndim=2, shape=(3, 80), y_strides=y.strides, x_strides=x.strides, elem_bytes=4)
    np.testing.assert_array_equal(y.array.view(np.uint32), bits.reshape(3, 80))


def cast_fields(shape, y, x):
    return {"ndim": len(shape), "shape": shape, "y_strides": broadcast_strides(shape, y), "x_strides": broadcast_strides(shape, x),
            "y_dtype": CODES[y.dtype.name], "x_dtype": CODES[x.dtype.name]}


CODES = {name: k for k, name in enumerate(("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                                          "uint64", "bool", "float16"))}


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_cast(source, target, isa):
    """Values that both types hold, and fractions."""
    values = np.array([0, 1, 2, 3.7, 100, 127] + ([] if source.startswith("u") or target.startswith("u") else [-1, -2.5, -128]))
    x = np.resize(values.astype(source), (5, 61))
    for threads in (1, 2):
        y = Guarded(np.zeros((5, 61), target), output=True)
        run_step("cast", [y, Guarded(x)], threads, **cast_fields((5, 61), y.array, x))
        np.testing.assert_array_equal(y.array, x.astype(target))


@pytest.mark.parametrize("target, x, y", [
    ("int32", [3e9, -3e9, np.nan, np.inf], [-2 ** 31] * 4), ("int64", [1e19, np.nan], [-2 ** 63] * 2),
    ("bool", [np.nan, -0.0, 1e-40], [1, 0, 1]),
    ("uint8", [257, -1, 3e9, np.nan, -np.inf], [1, 255, 0, 0, 0]),
    ("int8", [200.9, -129, 3e9], [-56, 127, 0]),
    ("uint64", [2.0 ** 63, 2.0 ** 64 - 2 ** 40], [2 ** 63, 2 ** 64 - 2 ** 40])])
def test_cast_out_of_range(target, x, y, isa):
    x, y = np.resize(np.array(x, np.float32), 67), np.resize(np.array(y), 67)
    out = Guarded(np.zeros(x.shape, target), output=True)
    run_step("cast", [out, Guarded(x)], **cast_fields(x.shape, out.array, x))
    np.testing.assert_array_equal(out.array, np.array(y, target))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "bool"])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 17, 31, 33, 2047, 2049])
def test_cast_of_every_length(n, dtype, isa):
    """To integers and back, at the ends of vectors and blocks; large numbers are rounded as they become floats."""
    rng = np.random.default_rng(n)
    x = (rng.normal(size=n) * 100).clip(-128 if dtype[0] != "u" else 0, 127).astype(np.float32)
    whole = Guarded(np.zeros(n, dtype), output=True)
    run_step("cast", [whole, Guarded(x)], **cast_fields((n,), whole.array, x))
    np.testing.assert_array_equal(whole.array, x.astype(dtype))
    top = 2 if dtype == "bool" else np.iinfo(dtype).max
    i = rng.integers(0, top, n).astype(dtype)
    back = Guarded(np.zeros(n, np.float32), output=True)
    run_step("cast", [back, Guarded(i)], **cast_fields((n,), back.array, i))
    np.testing.assert_array_equal(back.array, i.astype(np.float32))


def test_every_half_widens_and_narrows(isa):
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = Guarded(np.zeros(65536, np.float32), output=True)
    run_step("cast", [wide, x], **cast_fields((65536,), wide.array, x))
    np.testing.assert_array_equal(wide.array, x.astype(np.float32))
    back = Guarded(np.zeros(65536, np.float16), output=True)
    run_step("cast", [back, wide.array], **cast_fields((65536,), back.array, wide.array))
    np.testing.assert_array_equal(back.array, x)


def test_narrowing_rounds_to_nearest_even(isa):
    x = np.concatenate([np.random.default_rng(0).normal(size=3000) * np.exp2(np.random.default_rng(1).integers(-30, 20, 3000)),
                        [65519, 65520, 65536, 2 ** -25, 2 ** -24 * 1.5, 2 ** -25 * 1.0001, 1 + 2 ** -11, 1 + 3 * 2 ** -11,
                         np.inf]]).astype(np.float32)
    y = Guarded(np.zeros(x.shape, np.float16), output=True)
    run_step("cast", [y, Guarded(x)], **cast_fields(x.shape, y.array, x))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y.array, x.astype(np.float16))


def test_cast_strided():
    x, y = View(numbers((6, 50), np.int32), (1, 0)), View(np.zeros((6, 50), np.float32), pitch=64, output=True)
    run_step("cast", [y.buffer, x.buffer], 2, ndim=2, shape=(6, 50), y_strides=y.strides, x_strides=x.strides, y_dtype=CODES["float32"],
             x_dtype=CODES["int32"])
    np.testing.assert_array_equal(y.array, x.array)
    y.check_gaps()
