"""Pooling of 8-bit values (qpool) against sums of integers, at every instruction set."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from step_helper import Guarded, run_step
from test_kernel_pool import AVERAGE, MAX, WINDOWS, Case, _taps, square


def run(case: Case, kind: int, include: int = 0, threads: int = 1, x_zero: int = 0, zero: int = 0, factor: float = 1.0,
        gaps: tuple[int, int] = (2, 1)) -> tuple[np.ndarray, np.ndarray]:
    """What the step gives and what it should; pixels have gaps after them."""
    (oh, ow), c = case.out, case.c
    x = np.random.default_rng(case.c + case.ih).integers(0, 256, (case.n, case.ih, case.iw, c)).astype(np.uint8)
    read = Guarded(np.pad(x, [(0, 0)] * 3 + [(0, gaps[0])], constant_values=255))
    y = Guarded(np.full((case.n, oh, ow, c + gaps[1]), 85, np.uint8), output=True)
    fields = {f"{name}{axis}": value for name in ("k", "s", "d") for axis, value in zip("hw", getattr(case, name))}
    for name, (h, w, pixel) in {"x": (case.ih, case.iw, c + gaps[0]), "y": (oh, ow, c + gaps[1])}.items():
        fields |= {f"{name}_image": h * w * pixel, f"{name}_row": w * pixel, f"{name}_pixel": pixel}
    assert run_step("qpool", [y, read], threads, n=case.n, c=c, ih=case.ih, iw=case.iw, oh=oh, ow=ow, pt=case.before[0], pl=case.before[1],
                    pb=case.after[0], pr=case.after[1], kind=kind, include_pad=include, x_zero=x_zero, zero=zero, factor=factor,
                    **fields) == 0
    assert (y.array[..., c:] == 85).all(), "wrote between pixels"
    return y.array[..., :c].copy(), expected(case, x, kind, include, x_zero, zero, factor)


def expected(case: Case, x: np.ndarray, kind: int, include: int, x_zero: int, zero: int, factor: float) -> np.ndarray:
    y = np.zeros((case.n, *case.out, case.c), np.uint8)
    for i in range(case.out[0]):
        for j in range(case.out[1]):
            taps, counted = zip(*(_taps(axis, at, case) for axis, at in enumerate((i, j))))
            window = x[:, taps[0]][:, :, taps[1]].astype(np.int64)
            if kind == MAX:
                y[:, i, j] = window.max((1, 2), initial=0)
                continue
            divisor = max(counted[0] * counted[1] if include else len(taps[0]) * len(taps[1]), 1)
            mean = (window - x_zero).sum((1, 2)).astype(np.float32) * (np.float32(factor) / np.float32(divisor))
            y[:, i, j] = np.clip(np.rint(mean) + zero, 0, 255)
    return y


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_qpool_windows(level: str, case: Case) -> None:
    for kind, include in ((MAX, 0), (AVERAGE, 0), (AVERAGE, 1)):
        for threads in (1, 3):
            got, exact = run(replace(case, n=2), kind, include, threads, x_zero=117, zero=41, factor=1.7)
            np.testing.assert_array_equal(got, exact)


@pytest.mark.parametrize("c", [1, 3, 6, 7, 8, 9, 13, 15, 16, 17, 25, 31, 32, 33, 63, 64, 65, 130])
def test_qpool_channels(level: str, c: int) -> None:
    for kind in (MAX, AVERAGE):
        for threads in (1, 3):
            for case in (square(3, 2, 1, c=c), square(13, c=c)):
                np.testing.assert_array_equal(*run(case, kind, threads=threads, x_zero=3, zero=128))


@pytest.mark.parametrize("zero", [0, 1, 117, 255])
def test_qpool_averages_round_to_even_before_the_zero_point(level: str, zero: int) -> None:
    """Half of the means of two taps are ties; factors that saturate on either side."""
    for factor in (1.0, 0.5, 40.0, 1e7):
        np.testing.assert_array_equal(*run(Case(6, 9, (1, 2), (1, 2), c=70), AVERAGE, x_zero=100, zero=zero, factor=factor))


def test_qpool_global_sums_are_exact(level: str) -> None:
    case = Case(67, 81, (67, 81), c=40)
    np.testing.assert_array_equal(*run(case, AVERAGE, threads=2, x_zero=255, zero=200, factor=0.9, gaps=(0, 0)))
