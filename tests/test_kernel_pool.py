"""Pooling against numpy's reductions of each window, at every instruction set."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from images import CHANNELS, Image, run_image_step
from step_helper import assert_close

MAX, AVERAGE, LP = 0, 1, 2


@dataclass(frozen=True)
class Case:
    """Extents, kernel, stride, dilation and padding of both axes; ceil: one more window where it starts inside."""

    ih: int
    iw: int
    k: tuple[int, int]
    s: tuple[int, int] = (1, 1)
    d: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    ceil: bool = False
    c: int = 17
    n: int = 1

    @property
    def out(self) -> tuple[int, int]:
        room = [n + b + a - d * (k - 1) - 1 for n, b, a, d, k in zip((self.ih, self.iw), self.before, self.after, self.d, self.k)]
        return tuple((-(-r // s) if self.ceil else r // s) + 1 for r, s in zip(room, self.s))

    def __str__(self) -> str:
        return (f"n{self.n}c{self.c}-in{self.ih}x{self.iw}-k{self.k}-s{self.s}-d{self.d}-p{self.before}{self.after}"
                f"{'-ceil' if self.ceil else ''}").replace(" ", "")


def square(k: int, s: int = 1, pad: int = 0, d: int = 1, **more) -> Case:
    return Case(13, 14, (k, k), (s, s), (d, d), (pad, pad), (pad, pad), **more)


WINDOWS = [
    square(2, 2), square(3, 2), square(3, 2, 1), square(3, 1, 1), square(2, 1, 1), square(3, 2, ceil=True), square(2, 2, ceil=True),
    square(3, 1, 2, d=2), square(5, 3, 2), square(7, 7), square(1, 2), square(13), square(3, 2, 2), square(3, 3, 1, ceil=True),
    Case(9, 11, (2, 3), (2, 1), before=(1, 0), after=(0, 1)), Case(1, 20, (1, 3), (1, 2), before=(0, 1), after=(0, 1)),
    Case(2, 2, (3, 3), before=(5, 5), after=(5, 5)),         # windows of nothing but padding
    Case(9, 9, (3, 3), (2, 2), (1, 1), (-1, -2), (-1, 0)),   # windows start inside
    Case(5, 6, (2, 2), (1, 1), (3, 2)),
]
VARIANTS = [(MAX, 0, 2), (AVERAGE, 0, 2), (AVERAGE, 1, 2), (LP, 0, 1), (LP, 0, 2), (LP, 0, 3)]


def run(case: Case, kind: int, include: int = 0, p: int = 2, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(case.c + case.ih)
    x, y = Image.random(rng, case.n, case.ih, case.iw, case.c), Image(case.n, *case.out, case.c, 2, output=True)
    x.array[...] -= 1
    fields = {f"{name}{axis}": value for name in ("k", "s", "d") for axis, value in zip("hw", getattr(case, name))}
    got = run_image_step("pool", y, x, threads=threads, n=case.n, c=case.c, ih=case.ih, iw=case.iw, oh=case.out[0], ow=case.out[1],
                         pt=case.before[0], pl=case.before[1], pb=case.after[0], pr=case.after[1], kind=kind, include_pad=include,
                         p=p, **fields)
    return got, expected(case, x.array.astype(np.float64), kind, include, p)


def expected(case: Case, x: np.ndarray, kind: int, include: int, p: int) -> np.ndarray:
    y = np.zeros((case.n, *case.out, case.c))
    for i in range(case.out[0]):
        for j in range(case.out[1]):
            taps, counted = zip(*(_taps(axis, at, case) for axis, at in enumerate((i, j))))
            window = x[:, taps[0]][:, :, taps[1]]
            if kind == MAX:
                y[:, i, j] = window.max((1, 2), initial=-np.inf)
            elif kind == AVERAGE:
                y[:, i, j] = window.sum((1, 2)) / max(counted[0] * counted[1] if include else len(taps[0]) * len(taps[1]), 1)
            else:
                y[:, i, j] = (np.abs(window) ** p).sum((1, 2)) ** (1 / p)
    return y


def _taps(axis: int, at: int, case: Case) -> tuple[list[int], int]:
    """Positions of a window inside the image, and how many lie inside the padded extent."""
    extent = (case.ih, case.iw)[axis]
    every = [at * case.s[axis] - case.before[axis] + k * case.d[axis] for k in range(case.k[axis])]
    return [t for t in every if 0 <= t < extent], sum(-case.before[axis] <= t < extent + case.after[axis] for t in every)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{('max', 'average', 'lp')[v[0]]}-{v[1]}-{v[2]}")
@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_pool_windows(isa, case, variant):
    got, wanted = run(case, *variant)
    assert_close(got, wanted, 3e-6 if variant[0] != MAX else 0.0, str(case))


@pytest.mark.parametrize("kind", [MAX, AVERAGE, LP])
@pytest.mark.parametrize("window", [square(3, 2, 1), square(2, 2), square(3, 1, 1), square(4, 3)], ids=str)
@pytest.mark.parametrize("c", [*CHANNELS, 129])
def test_pool_channel_tails(isa, c, window, kind):
    got, wanted = run(replace(window, c=c, n=2), kind)
    assert_close(got, wanted, 3e-6 if kind != MAX else 0.0)


@pytest.mark.parametrize("case", [square(3, 2, 1, c=40, n=3), square(13, c=300),
                                  Case(112, 112, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), c=64)],
                         ids=str)
@pytest.mark.parametrize("kind", [MAX, AVERAGE])
def test_pool_same_bits_for_any_number_of_threads(isa, case, kind):
    alone = run(case, kind)[0]
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(run(case, kind, threads=threads)[0], alone)


def test_max_pool_of_minus_infinity(isa):
    x, y = Image(1, 4, 4, 3, 1), Image(1, 2, 2, 3, output=True)
    x.array[...] = -np.inf
    got = run_image_step("pool", y, x, n=1, c=3, kh=2, kw=2, sh=2, sw=2, dh=1, dw=1, ih=4, iw=4, oh=2, ow=2, kind=MAX)
    assert (got == -np.inf).all()
