"""Gather and Pad steps against numpy."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import run_step
from strided import View

DTYPES = [np.uint8, np.int16, np.float32, np.int64]
MODES = ["constant", "reflect", "edge", "wrap"]


def numbers(shape, dtype):
    return (np.arange(int(np.prod(shape))) * 17 % 113).astype(dtype).reshape(shape)


def run_pad(x: View, pads, mode, value=None, y_order=None, threads=1) -> np.ndarray:
    shape = tuple(n + b + a for n, (b, a) in zip(x.array.shape, pads))
    y = View(np.zeros(shape, x.array.dtype), y_order, output=True)
    constant = None if value is None else np.array([value], x.array.dtype)
    run_step("pad", [y.buffer, x.buffer, constant], threads, ndim=len(shape), shape=shape, x_shape=x.array.shape,
             before=[b for b, _ in pads],
             y_strides=y.strides, x_strides=x.strides, mode=MODES.index(mode), elem_bytes=x.array.itemsize)
    y.check_gaps()
    return y.array


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, pads", [((5,), [(2, 3)]), ((3, 4), [(0, 0), (1, 2)]), ((3, 4), [(2, 1), (0, 0)]),
                                         ((2, 3, 7, 5), [(0, 0), (0, 0), (2, 1), (1, 3)]),
                                         ((2, 6, 7, 3), [(0, 0), (1, 1), (0, 0), (0, 0)]), ((4, 1, 3), [(1, 0), (0, 0), (0, 2)]),
                                         ((2, 2), [(0, 0), (0, 0)])])
def test_pad(shape, pads, dtype, mode):
    x = numbers(shape, dtype)
    extra = {"constant_values": 9} if mode == "constant" else {}
    expected = np.pad(x, pads, mode, **extra)
    for order in (None, tuple(reversed(range(len(shape))))):
        for threads in (1, 2):
            np.testing.assert_array_equal(run_pad(View(x, order), pads, mode, 9 if mode == "constant" else None, order, threads), expected)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_pad_wider_than_the_data(mode):
    x = numbers((3, 4), np.float32)
    np.testing.assert_array_equal(run_pad(View(x), [(7, 8), (9, 11)], mode), np.pad(x, [(7, 8), (9, 11)], mode))


def test_pad_reflects_a_single_element():
    np.testing.assert_array_equal(run_pad(View(np.array([[5.0]], np.float32)), [(0, 0), (2, 1)], "reflect"), [[5, 5, 5, 5]])


def test_pad_defaults_to_zero():
    np.testing.assert_array_equal(run_pad(View(np.ones(3, np.float32)), [(1, 1)], "constant"), [0, 1, 1, 1, 0])


@pytest.mark.parametrize("mode", MODES)
def test_negative_pads_cut(mode):
    x = numbers((6, 8), np.float32)
    np.testing.assert_array_equal(run_pad(View(x), [(-1, -2), (-3, 0)], mode), x[1:4, 3:])
    expected = np.pad(x[1:, :6], [(0, 1), (1, 0)], mode)
    if mode != "wrap":                       # wrapping round what was cut off is not expressible in one step
        np.testing.assert_array_equal(run_pad(View(x), [(-1, 1), (1, -2)], mode), expected)


def test_pad_everything_cut():
    np.testing.assert_array_equal(run_pad(View(np.ones((2, 3), np.float32)), [(0, 0), (-3, 2)], "constant"), np.zeros((2, 2)))


def run_gather(x: View, indices: np.ndarray, axis: int, threads: int = 1, y_order=None):
    shape = x.array.shape[:axis] + (indices.size,) + x.array.shape[axis + 1:]
    y = View(np.zeros(shape, x.array.dtype), y_order, output=True)
    status = run_step("gather", [y.buffer, x.buffer, indices], threads, outer_ndim=axis, outer_shape=shape[:axis], y_outer=y.strides[:axis],
                      x_outer=x.strides[:axis], count=indices.size, axis=x.array.shape[axis], y_axis=y.strides[axis],
                      x_axis=x.strides[axis],
                      inner_ndim=len(shape) - axis - 1, inner_shape=shape[axis + 1:], y_inner=y.strides[axis + 1:],
                      x_inner=x.strides[axis + 1:],
                      elem_bytes=x.array.itemsize, index_bytes=indices.itemsize)
    y.check_gaps()
    return status, y.array


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_gather(axis, index_dtype, dtype):
    x, indices = numbers((4, 5, 6), dtype), np.array([3, 0, -1, 2, -4, 1, 1], index_dtype)
    for order in ((0, 1, 2), (2, 0, 1)):
        for threads in (1, 3):
            status, y = run_gather(View(x, order), indices, axis, threads, order)
            assert status == 0
            np.testing.assert_array_equal(y, np.take(x, indices, axis))


@pytest.mark.parametrize("index", [4, -5, 2 ** 40])
def test_gather_outside_is_refused(index):
    status, _ = run_gather(View(numbers((4, 3), np.float32)), np.array([0, index], np.int64), 0)
    assert status == 1


def test_gather_of_nothing():
    status, y = run_gather(View(numbers((4, 3), np.float32)), np.zeros(0, np.int64), 0)
    assert status == 0 and y.shape == (0, 3)
