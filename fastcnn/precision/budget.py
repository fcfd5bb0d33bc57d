"""The fastest choice for every layer whose errors add up to no more than a bound: a knapsack."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 1000             # that the bound is counted in


class Option(NamedTuple):
    """One way to compute a layer: what it takes, and the square of the error it alone makes of the outputs."""

    name: str
    ms: float
    square: float


def cheapest(layers: Sequence[Sequence[Option]], bound: float) -> list[int]:
    """For each layer the index of an option: the least sum of ms whose squares add up to bound^2 at most.

    Errors of layers are taken to be independent, so their squares add. Each layer has an option without an error. Squares are rounded up
    to a thousandth of the bound's: what is found keeps within the bound, and is the fastest but for that rounding.
    """
    best = np.zeros(BINS + 1)                           # least ms with so many bins spent
    picks = np.zeros((len(layers), BINS + 1), np.int32)
    for k, options in enumerate(layers):
        times = np.full((len(options), BINS + 1), np.inf)
        for i, option in enumerate(options):
            bins = _bins(option.square, bound)
            if bins <= BINS:
                times[i, bins:] = best[:BINS + 1 - bins] + option.ms
        picks[k] = times.argmin(0)
        best = times.min(0)
    chosen, left = [], BINS
    for k in reversed(range(len(layers))):
        chosen.append(int(picks[k, left]))
        left -= _bins(layers[k][chosen[-1]].square, bound)
    return chosen[::-1]


def _bins(square: float, bound: float) -> int:
    return BINS + 1 if square > bound * bound else int(np.ceil(BINS * square / (bound * bound)))
