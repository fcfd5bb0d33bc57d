"""Methods that choose, from a histogram, the range of values that 256 levels cover."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastcnn.precision.histogram import Histogram

LEVELS = 256
KEPT = 0.99999                  # share of values that "percentile" keeps within the range
# Ends of the range that are tried, as shares of what there is: the error of rounding falls with them, that of what is cut off grows.
SHARES = np.concatenate([np.linspace(1.0, 0.3, 57), np.geomspace(0.3, 0.01, 20)[1:]])
ENTROPY_BINS = 2048             # of a distribution whose divergence is asked for
RAREST = 1e-9                   # probability of what 256 levels leave nothing of

Range = tuple[float, float]


def minmax(seen: Histogram) -> Range:
    """The range of all values."""
    return seen.low, seen.high


def percentile(seen: Histogram) -> Range:
    """The range without the outermost values, half of them left out on each side."""
    if not seen.total:
        return 0.0, 0.0
    sums = np.cumsum(seen.counts)
    outside = (1 - KEPT) / 2 * seen.total
    below = int(np.searchsorted(sums, outside, side="right"))
    above = int(np.searchsorted(sums, seen.total - outside))
    return max(seen.low, min(0.0, (seen.first + below) * seen.width)), min(seen.high, max(0.0, (seen.first + above + 1) * seen.width))


def mse(seen: Histogram) -> Range:
    """The range with the least mean square of (what is stored - x).

    Both ends are cut by the same share first, then each by itself. Choi et al., "Accurate and efficient 2-bit quantized neural networks"
    (2019), minimise the same error.
    """
    return _best(seen, lambda counts, x, low, high: float(counts @ np.square(stored(x, low, high) - x)))


def entropy(seen: Histogram) -> Range:
    """The range with the least Kullback-Leibler divergence of the distribution from what 256 levels leave of it.

    After Migacz, "8-bit inference with TensorRT" (2017): what lies outside counts for the outermost level. Zeros, which Relu makes many
    of, are left out: they are stored exactly, and as a peak among their neighbours they would decide alone.
    """
    return _best(seen, _divergence, separately=False)


METHODS: dict[str, Callable[[Histogram], Range]] = {"minmax": minmax, "percentile": percentile, "mse": mse, "entropy": entropy}


def stored(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """x as 256 levels from low to high give it, 0 among them."""
    scale = (high - low) / (LEVELS - 1)
    zero = np.rint(-low / scale)
    return (np.clip(np.rint(x / scale) + zero, 0, LEVELS - 1) - zero) * scale


def _best(seen: Histogram, error: Callable[[np.ndarray, np.ndarray, float, float], float], separately: bool = True) -> Range:
    filled = np.flatnonzero(seen.counts)
    if seen.low == seen.high or not filled.size:
        return seen.low, seen.high
    span = slice(int(filled[0]), int(filled[-1]) + 1)
    counts, x = seen.counts[span].astype(np.float64), seen.centres()[span]

    def best(ranges: list[Range]) -> Range:
        return min(ranges, key=lambda ends: error(counts, x, *ends))

    low, high = best([(seen.low * share, seen.high * share) for share in SHARES])
    if separately and seen.low < 0 < seen.high:
        low, high = best([(low, seen.high * share) for share in SHARES] + [(low, high)])
        low, high = best([(seen.low * share, high) for share in SHARES] + [(low, high)])
    return low, high


def _divergence(counts: np.ndarray, x: np.ndarray, low: float, high: float) -> float:
    """Of the counts, those outside moved to the ends, from the mean of those that share a level."""
    counts = np.where(np.abs(x) < x[-1] - x[-2], 0, counts) if x.size > 1 else counts
    fold = max(1, counts.size // ENTROPY_BINS)
    padded = np.concatenate([counts, np.zeros(-counts.size % fold)]).reshape(-1, fold).sum(1)
    x = x[::fold]
    inside = (x >= low) & (x <= high)
    if not inside.any():
        return np.inf
    begin, end = np.flatnonzero(inside)[[0, -1]]
    p = padded[begin:end + 1].copy()
    kept = p.copy()
    p[0] += padded[:begin].sum()
    p[-1] += padded[end + 1:].sum()
    level = np.arange(p.size) * LEVELS // max(p.size, LEVELS)
    filled = p > 0
    mass = np.bincount(level, kept, LEVELS) / np.maximum(np.bincount(level, filled, LEVELS), 1)
    q = np.where(filled, mass[level], 0)
    if not kept.any():
        return np.inf
    p, q = p[filled] / p.sum(), np.maximum(q[filled] / q.sum(), RAREST)
    return float((p * np.log(p / q)).sum())
