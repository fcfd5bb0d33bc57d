"""Histograms of streams, the ranges that each method picks from them, and scales."""
from __future__ import annotations

import numpy as np
import pytest

from fastcnn.ir.errors import ConfigurationError
from fastcnn.precision.histogram import BINS, Histogram
from fastcnn.precision.ranges import METHODS, mse, stored
from fastcnn.precision.scales import stored_bias, stored_rows, value_scale, weight_scales


def seen(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(np.asarray(part, np.float32))
    return histogram


@pytest.mark.parametrize("order", ["growing", "shrinking", "negative first"])
def test_histogram_counts_are_exact_in_whatever_order_values_come(order):
    rng = np.random.default_rng(0)
    parts = [(rng.standard_normal(500) * size + shift).astype(np.float32)
             for size, shift in ((0.01, 0), (1, 0), (30, 5), (3, -200), (1000, 0))]
    parts = {"growing": parts, "shrinking": parts[::-1], "negative first": sorted(parts, key=lambda p: p.mean())}[order]
    histogram, values = seen(*parts), np.concatenate(parts)
    edges = (histogram.first + np.arange(BINS + 1)) * histogram.width
    np.testing.assert_array_equal(histogram.counts, np.histogram(values, edges)[0])
    assert (histogram.low, histogram.high, histogram.total) == (values.min(), values.max(), values.size)
    assert np.ptp(values) / histogram.width > BINS / 4, "bins are not wider than they have to be"


def test_histogram_of_zeros_of_nothing_and_of_what_is_no_number():
    assert seen([], np.zeros(7)).counts[0] == 7
    histogram = seen(np.zeros(5), [np.nan, np.inf, -np.inf, 2.0, 3.0])
    assert (histogram.low, histogram.high, histogram.counts.sum()) == (0, 3, 7)
    assert histogram.counts[int(0 / histogram.width) - histogram.first] == 5


def test_histogram_takes_one_value_as_well_as_tiny_and_enormous_ones():
    for value in (1e-30, -1.0, 1e-3, 3e38):
        histogram = seen(np.full(3, value))
        assert histogram.counts.sum() == 3 and histogram.low <= value <= histogram.high


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [np.zeros(4), np.full(9, 2.5), np.full(9, -2.5), np.linspace(-1, 1, 999)],
                         ids=["0", "2.5", "-2.5", "even"])
def test_ranges_include_zero_and_nothing_that_is_not_there(method, values):
    low, high = METHODS[method](seen(values))
    assert values.min(initial=0) - 1e-6 <= low <= 0 <= high <= values.max(initial=0) + 1e-6
    assert high - low >= 0.9 * np.ptp(np.append(values, 0)), "nothing here is rare"


def test_rare_values_are_cut_off_by_all_methods_but_minmax():
    values = np.append(np.random.default_rng(1).standard_normal(400_000), [90.0, -70.0]).astype(np.float32)
    found = {name: method(seen(values)) for name, method in METHODS.items()}
    assert found.pop("minmax") == (-70, 90)
    for name, (low, high) in found.items():
        assert -40 < low < -2 and 2 < high < 60, name


@pytest.mark.parametrize("shape", ["normal", "relu", "laplace"])
def test_mse_finds_a_range_with_less_error_than_all_others_tried(shape):
    rng = np.random.default_rng(2)
    normal = rng.standard_normal(60_000)
    x = {"normal": normal, "relu": np.maximum(normal, 0), "laplace": rng.laplace(size=60_000)}[shape]
    low, high = mse(seen(x))

    def error(low: float, high: float) -> float:
        return float(np.square(stored(x, low, high) - x).mean())
    others = min(error(x.min() * a if x.min() < 0 else 0, x.max() * b) for a in np.linspace(0.3, 1, 8) for b in np.linspace(0.3, 1, 8))
    assert error(low, high) <= 1.02 * others


@pytest.mark.parametrize("kind, least", [("uint8", 0), ("int8", -128)])
@pytest.mark.parametrize("low, high", [(0, 6), (-1.7, 2.9), (-3, 0), (0.5, 4), (0, 0), (0, 1e-42)])
def test_scales_of_values_store_zero_exactly_and_both_ends(kind, least, low, high):
    at = value_scale(low, high, kind)
    zero, scale = int(at.zero), float(at.scale)
    assert at.zero.dtype == kind and least <= zero <= least + 255 and scale > 0
    ends = [(end - zero) * scale for end in (least, least + 255)]
    assert ends[0] <= min(low, 0) + scale / 2 + 1e-9 and ends[1] >= max(high, 0) - scale / 2 - 1e-9


def test_scales_of_another_type_are_refused():
    with pytest.raises(ConfigurationError, match="activations='int4'"):
        value_scale(0, 1, "int4")


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_rounded_by_half_a_scale_at_most_and_biases_fit(per_channel):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((6, 20)) * np.array([1, 10, 0.1, 0, 1e-12, 3])[:, None]
    bias = np.array([0.5, -3, 2, 1, 7, 0], np.float32)
    scales = weight_scales(rows, bias, 0.02, per_channel)
    assert (np.unique(scales).size == 1) != per_channel
    assert (np.abs(stored_rows(rows, scales) * scales[:, None] - rows) <= scales[:, None] * 0.5001).all()
    stored_b, at = stored_bias(bias, scales, np.float32(0.02))
    np.testing.assert_allclose(stored_b * at.astype(np.float64), bias, atol=float(at.max()) / 2, rtol=1e-6)
    assert np.abs(stored_b.astype(np.int64)).max() <= 2 ** 30 + 1
