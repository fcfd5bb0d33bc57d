"""Histogram: least, largest and counts of a value's elements while calibration data streams by, in bounded memory."""
from __future__ import annotations

import numpy as np

BINS = 8192
SMALLEST_EXPONENT = -140        # of widths of bins: below it floats are denormal


class Histogram:
    """counts[k] = values in [(first + k) * width, (first + k + 1) * width).

    The width is a power of two that doubles, neighbours joined, when a value would fall outside: bins stay on one grid, so each count is
    exact whatever comes in which order. total: values seen. low, high: the least and the largest, 0 among them.
    """

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.total = 0
        self.exponent: int | None = None
        self.first = 0
        self.counts = np.zeros(BINS, np.int64)

    @property
    def width(self) -> float:
        """The width of a bin."""
        return 2.0 ** (self.exponent or 0)

    def centres(self) -> np.ndarray:
        """The middle of every bin."""
        return (self.first + np.arange(BINS) + 0.5) * self.width

    def add(self, x: np.ndarray) -> None:
        """Counts values; NaN and infinities are left out."""
        x = x.reshape(-1)
        low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
        if not (np.isfinite(low) and np.isfinite(high)):
            x = x[np.isfinite(x)]
            low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if x.size and (low or high):
            self._widen(low, high)
        if self.exponent is None:
            self.counts[0] += x.size                # zeros alone so far: they are in the bin that begins at 0
        else:
            index = np.floor(x * np.float32(1 / self.width)).astype(np.int32) - self.first
            self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)
        self.total += x.size

    def _widen(self, low: float, high: float) -> None:
        """Extends the bins to cover [low, high]."""
        if self.exponent is None:
            spread = max(abs(low), abs(high))
            self.exponent = max(int(np.ceil(np.log2(spread))) - BINS.bit_length() + 3, SMALLEST_EXPONENT)
        while True:
            begin, end = int(np.floor(min(low, self.low) / self.width)), int(np.floor(max(high, self.high) / self.width))
            if end - begin < BINS:
                break
            self._join()
        if begin < self.first or end >= self.first + BINS:
            self._move(begin - (BINS - 1 - (end - begin)) // 2)

    def _join(self) -> None:
        """Joins neighbouring bins, doubling their width."""
        joined = np.zeros(BINS, np.int64)
        begin = self.first // 2
        np.add.at(joined, (self.first + np.arange(BINS)) // 2 - begin, self.counts)
        self.counts, self.first, self.exponent = joined, begin, (self.exponent or 0) + 1

    def _move(self, first: int) -> None:
        """Shifts the range of bins; only empty ones are dropped at the ends."""
        moved = np.zeros(BINS, np.int64)
        shift = self.first - first
        source = self.counts[max(0, -shift):BINS - max(0, shift)]
        moved[max(0, shift):max(0, shift) + source.size] = source
        self.counts, self.first = moved, first
