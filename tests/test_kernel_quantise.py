"""The steps between floats and 8-bit values (quantise, quantise_scaled, dequantise) against numpy, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import run_step
from strided import View

SIZES = [1, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 129, 5003]
SCALES = [1.0, 0.1, 0.021, 0.033, 3e-5, 0.5, 7.3]


def quantised(x: np.ndarray, scale: float, zero: int) -> np.ndarray:
    """QuantizeLinear in float32, as ONNX has it."""
    return np.clip(np.rint(np.divide(x, np.float32(scale), dtype=np.float32)).astype(np.float64) + zero, 0, 255).astype(np.uint8)


def run_quantise(y: View, x: View, scale: float, zero: int, threads: int = 1) -> np.ndarray:
    assert run_step("quantise", [y.buffer, x.buffer], threads, ndim=y.array.ndim, shape=y.array.shape, y_strides=y.strides,
                    x_strides=x.strides, scale=scale, zero=zero) == 0
    y.check_gaps()
    return y.array


def run_dequantise(y: View, x: View, scale: float, zero: int, threads: int = 1) -> np.ndarray:
    assert run_step("dequantise", [y.buffer, x.buffer], threads, ndim=y.array.ndim, shape=y.array.shape, y_strides=y.strides,
                    x_strides=x.strides, scale=scale, zero=zero) == 0
    y.check_gaps()
    return y.array


@pytest.mark.parametrize("scale", [*SCALES, 1e-37, 1e37, 2.0 ** -98, 2.0 ** 116, 2.0 ** -99, 2.0 ** 117])
@pytest.mark.parametrize("zero", [0, 1, 117, 128, 255])
def test_quantise_divides_as_onnx_says(level: str, scale: float, zero: int) -> None:
    """Around every tie, where a product with the reciprocal would go astray, and far outside."""
    with np.errstate(over="ignore"):
        ties = (np.arange(-258, 258) + 0.5) * np.float64(np.float32(scale))
        near = np.concatenate([np.nextafter(np.float32(ties), np.float32(way)) for way in (-np.inf, np.inf)] + [np.float32(ties)])
        rng = np.random.default_rng(0)
        far = np.float32([0.0, -0.0, 3e38, -3e38, np.inf, -np.inf, 1e-45, 1000 * scale, -1000 * scale])
        x = np.concatenate([near, far, (rng.uniform(-300, 300, 20000) * scale).astype(np.float32)])
        got = run_quantise(View(np.zeros(x.size, np.uint8), output=True), View(x), scale, zero)
        np.testing.assert_array_equal(got, quantised(x, scale, zero))


@pytest.mark.parametrize("n", SIZES)
def test_quantise_rows_of_any_length(level: str, n: int) -> None:
    x = (np.random.default_rng(n).uniform(-20, 20, (3, n))).astype(np.float32)
    for threads in (1, 3):
        y = View(np.zeros((3, n), np.uint8), pitch=n + 3, output=True)
        np.testing.assert_array_equal(run_quantise(y, View(x, pitch=n + 1), 0.1, 101, threads), quantised(x, 0.1, 101))


@pytest.mark.parametrize("c, pixels", [(1, 40), (2, 33), (3, 1), (3, 16), (3, 1025), (4, 70), (5, 17), (8, 300), (67, 31)])
@pytest.mark.parametrize("gap", [0, 1, 5])
def test_quantise_from_planes_to_pixels_and_back(level: str, c: int, pixels: int, gap: int) -> None:
    x = (np.random.default_rng(c).uniform(-9, 9, (2, c, pixels))).astype(np.float32)
    for threads in (1, 3):
        y = View(np.zeros(x.shape, np.uint8), (0, 2, 1), c + gap, output=True)
        expected = quantised(x, 0.07, 3)
        np.testing.assert_array_equal(run_quantise(y, View(x), 0.07, 3, threads), expected)
        back = View(np.zeros(x.shape, np.float32), output=True)
        run_dequantise(back, View(expected, (0, 2, 1), c + gap), 0.07, 3, threads)
        np.testing.assert_array_equal(back.array, (expected.astype(np.float32) - 3) * np.float32(0.07))


def test_quantise_other_layouts(level: str) -> None:
    x = (np.random.default_rng(3).uniform(-9, 9, (5, 6, 40))).astype(np.float32)
    y = run_quantise(View(np.zeros(x.shape, np.uint8), step=2, output=True), View(x, (2, 0, 1)), 0.07, 3)
    np.testing.assert_array_equal(y, quantised(x, 0.07, 3))
    back = run_dequantise(View(np.zeros(x.shape, np.float32), (1, 2, 0), step=3, output=True), View(y, (0, 2, 1)), 0.07, 3)
    np.testing.assert_array_equal(back, (y.astype(np.float32) - 3) * np.float32(0.07))


def test_quantise_takes_rows_of_an_image_apart(level: str) -> None:
    """A wider row pitch than pixels need: no dimension merges."""
    x = (np.random.default_rng(3).uniform(-9, 9, (2, 3, 7, 19))).astype(np.float32)
    wide = View(np.zeros((2, 7, 25, 3), np.uint8), output=True)
    y = wide.array[:, :, :19].transpose(0, 3, 1, 2)
    assert run_step("quantise", [wide.buffer, View(x).buffer], 2, ndim=4, shape=x.shape, y_strides=y.strides,
                    x_strides=[s // 4 for s in x.strides], scale=0.07, zero=3) == 0
    np.testing.assert_array_equal(y, quantised(x, 0.07, 3))
    assert (wide.array[:, :, 19:] == wide.untouched[0]).all()


@pytest.mark.parametrize("n", SIZES)
def test_dequantise_rows_of_any_length(level: str, n: int) -> None:
    x = np.random.default_rng(n).integers(0, 256, (2, n)).astype(np.uint8)
    got = run_dequantise(View(np.zeros((2, n), np.float32), pitch=n + 1, output=True), View(x, pitch=n + 3), 0.033, 117)
    np.testing.assert_array_equal(got, (x.astype(np.float32) - 117) * np.float32(0.033))


@pytest.mark.parametrize("c", [1, 3, 4, 8, 15, 16, 17, 32, 33, 47, 48, 63, 64, 65, 100, 127, 129, 4100])
@pytest.mark.parametrize("limits", [(-np.inf, np.inf), (0.0, np.inf), (-1.5, 2.0)], ids=str)
@pytest.mark.parametrize("scale", [0.0313, 2.0 ** -99, 2.0 ** 117])
def test_quantise_scaled_is_a_multiply_add_and_then_quantise(level: str, c: int, limits: tuple[float, float], scale: float) -> None:
    """Pixels of channels with factors of their own; the results of ties depend on the rounding of the multiply-add."""
    rng, pixels, zero = np.random.default_rng(c), 37 if c < 1000 else 3, 101
    ordinary = scale / 0.0313
    x = rng.normal(size=(2, pixels, c)).astype(np.float32)
    factor, offset = (rng.normal(size=c).astype(np.float32) * np.float32(ordinary) for _ in range(2))
    lo, hi = (float(np.float32(limit * ordinary)) for limit in limits)
    exact = np.clip(x.astype(np.float64) * factor + offset, lo, hi) / np.float64(np.float32(scale)) + zero
    for threads in (1, 3):
        y, source = View(np.zeros(x.shape, np.uint8), pitch=c + 5, output=True), View(x, pitch=c + 2)
        assert run_step("quantise_scaled", [y.buffer, source.buffer, factor, offset], threads, ndim=2, shape=x.shape[:2], c=c, scale=scale,
                        y_strides=y.strides[:2], x_strides=source.strides[:2], zero=zero, lo=lo, hi=hi) == 0
        y.check_gaps()
        assert np.abs(y.array - np.clip(exact, 0, 255)).max() < 0.5 + 1e-3


def test_quantise_scaled_saturates(level: str) -> None:
    x = np.float32([[np.inf, -np.inf, 3e38, -3e38, 0.0]]).repeat(7, 0)
    y = View(np.zeros(x.shape, np.uint8), output=True)
    assert run_step("quantise_scaled", [y.buffer, x, np.ones(5, np.float32), np.zeros(5, np.float32)], ndim=1, shape=(7,), y_strides=(5,),
                    x_strides=(5,), c=5, scale=0.1, zero=3, lo=-np.inf, hi=np.inf) == 0
    np.testing.assert_array_equal(y.array, [[255, 0, 255, 0, 3]] * 7)
