"""Depthwise convolution against a float64 sum over taps, at every instruction set."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from images import CHANNELS, Image, run_image_step
from step_helper import Guarded, assert_close, table_of_bytes, tolerance, unary_number

from fastcnn.operators.cards import FORMULAS

# And what tiles do by themselves on the way to bytes, which no operator is.
ACTIVATIONS = {**FORMULAS, "RoundClip": lambda x, a, b: np.rint(np.clip(x, a, b)),
               "RoundTwice": lambda x, a, b: byte(byte(x, b % 256) * a, b // 256)}


def byte(x: np.ndarray, zero: float) -> np.ndarray:
    """The nearest whole number that a byte of this zero point stands for."""
    return np.clip(np.rint(x), -zero, 255 - zero)


@dataclass(frozen=True)
class Case:
    """Channels, extents in, kernel, stride, dilation and padding of both axes (after: bottom and right)."""

    c: int
    ih: int
    iw: int
    k: tuple[int, int] = (3, 3)
    s: tuple[int, int] = (1, 1)
    d: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (1, 1)
    after: tuple[int, int] = (1, 1)
    n: int = 1
    fn: str = "None"
    alpha: float = 0.0
    beta: float = 0.0
    bias: bool = True
    residual: bool = False
    slope: bool = False
    gap: int = 3

    @property
    def out(self) -> tuple[int, int]:
        return tuple((n + b + a - d * (k - 1) - 1) // s + 1 for n, b, a, d, k, s in
                     zip((self.ih, self.iw), self.before, self.after, self.d, self.k, self.s))

    def __str__(self) -> str:
        extra = "".join(f"-{name}" for name in ("residual", "slope") if getattr(self, name)) + (f"-{self.fn}" if self.fn != "None" else "")
        text = f"n{self.n}c{self.c}-in{self.ih}x{self.iw}-k{self.k}-s{self.s}-d{self.d}-p{self.before}{self.after}{extra}"
        return text.replace(" ", "")


def square(k: int, s: int = 1, d: int = 1, pad: int = 0, **more) -> Case:
    return Case(17, 9, 13, (k, k), (s, s), (d, d), (pad, pad), (pad, pad), **more)


WINDOWS = [
    square(3, pad=1), square(3), square(3, 2, pad=1), square(5, pad=2), square(5, 2, pad=2), square(7, pad=3), square(7, 2, pad=3),
    square(1), square(2), square(3, 3), square(3, d=2, pad=2), square(9, pad=4), square(4, 2, 3, 5),
    Case(17, 9, 13, (3, 5), before=(1, 2), after=(1, 2)),
    Case(17, 9, 13, (5, 3), (2, 1), (2, 1), (4, 1), (3, 0)),
    Case(17, 1, 29, (1, 7), before=(0, 3), after=(0, 3)),
    Case(17, 9, 13, (3, 3), (2, 2), before=(0, 0), after=(1, 1)),
    Case(17, 9, 13, before=(-1, -2), after=(-1, 3)),              # the window starts inside
    Case(17, 4, 5, (3, 3), (1, 1), (1, 1), (6, 7), (8, 9)),       # whole tiles of padding
    Case(17, 30, 30, (3, 3), (1, 1), (12, 12), (12, 12), (12, 12)),
]


def run(case: Case, threads: int = 1, table: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What the step gives, in every way it can go, beside what it should without a table."""
    rng = np.random.default_rng(case.c + case.ih)
    oh, ow = case.out
    x, y = Image.random(rng, case.n, case.ih, case.iw, case.c, gap=case.gap), Image(case.n, oh, ow, case.c, case.gap + 1, output=True)
    w = Guarded(rng.standard_normal((*case.k, case.c)).astype(np.float32))
    bias = Guarded(rng.standard_normal(case.c).astype(np.float32)) if case.bias else None
    slope = Guarded(rng.random(case.c).astype(np.float32)) if case.slope else None if table is None else Guarded(table)
    residual = Image.random(rng, case.n, oh, ow, case.c, gap=1) if case.residual else None
    names = ("k", "s", "d")
    fields = {f"{name}{axis}": value for name in names for axis, value in zip("hw", getattr(case, name))}
    fields |= {"pt": case.before[0], "pl": case.before[1], "ih": case.ih, "iw": case.iw, "oh": oh, "ow": ow}
    for direct, tile_rows in ways(case):
        got = run_image_step("depthwise", y, x, w, bias, residual and residual.buffer, slope, threads=threads, n=case.n, c=case.c, ic=1,
                             x_c=0, fn=unary_number(case.fn), alpha=case.alpha, beta=case.beta, direct=direct, tile_rows=tile_rows,
                             **fields, **(residual.place("r") if residual else {}))
        yield got, expected(case, x, w, bias, residual, slope if case.slope else None)


def ways(case: Case) -> list[tuple[int, int]]:
    """(direct, tile_rows) by which the step may compute it."""
    (kh, kw), plain = case.k, case.s == case.d == (1, 1)
    pairs = plain and kw in (3, 5, 7) and (kw != 3 or kh == 3)
    direct = case.s[1] == 2 and case.d[1] == 1 and kw in (3, 5)
    return [(0, 1), *([(0, 2)] if pairs else []), *([(1, 1)] if direct else [])]


def expected(case: Case, x: Image, w: Guarded, bias, residual, slope) -> np.ndarray:
    """The definition: a sum of shifted images in float64."""
    (oh, ow), margin = case.out, 64
    padded = np.pad(x.array.astype(np.float64), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    y = np.zeros((case.n, oh, ow, case.c)) + (bias.array if bias else 0.0)
    for ky in range(case.k[0]):
        for kx in range(case.k[1]):
            top, left = margin - case.before[0] + ky * case.d[0], margin - case.before[1] + kx * case.d[1]
            y += padded[:, top:, left:][:, :(oh - 1) * case.s[0] + 1:case.s[0], :(ow - 1) * case.s[1] + 1:case.s[1]] * w.array[ky, kx]
    y = y + (residual.array if residual else 0.0)
    if slope:
        return np.where(y < 0, y * slope.array, y)
    return y if case.fn == "None" else ACTIVATIONS[case.fn](y, case.alpha, case.beta)


def check(case: Case, threads: int = 1, factor: float = 1.0) -> None:
    for got, wanted in run(case, threads):
        assert_close(got, wanted, factor * tolerance(case.k[0] * case.k[1]), str(case))


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_depthwise_windows(isa, case):
    check(case)


@pytest.mark.parametrize("window", [square(3, pad=1), square(3, 2, pad=1), square(5, pad=2), square(2)], ids=str)
@pytest.mark.parametrize("c", CHANNELS)
def test_depthwise_channel_tails(isa, c, window):
    check(replace(window, c=c, n=2))


@pytest.mark.parametrize("window", [square(3, pad=1), square(5, pad=2), square(3, 2, pad=1), square(4, pad=2)], ids=str)
@pytest.mark.parametrize("extent", [(1, 1), (2, 3), (3, 2), (7, 7), (8, 15), (5, 16), (6, 23)], ids=str)
def test_depthwise_extents_around_tiles(isa, extent, window):
    check(replace(window, ih=extent[0], iw=extent[1]))


@pytest.mark.parametrize("epilogue", [
    dict(bias=False), dict(residual=True), dict(slope=True), dict(slope=True, residual=True), dict(fn="Relu"),
    dict(fn="Clip", alpha=-0.5, beta=0.7, residual=True), dict(fn="HardSwish"), dict(fn="Sigmoid", residual=True),
    dict(fn="Swish", alpha=1.0), dict(fn="LeakyRelu", alpha=0.1)], ids=str)
@pytest.mark.parametrize("k", [3, 5])
def test_depthwise_epilogues(isa, k, epilogue):
    check(square(k, pad=k // 2, **epilogue), factor=2.0)


@pytest.mark.parametrize("fn, alpha, beta", [("RoundClip", -2.0, 3.0), ("RoundTwice", 1.7, 2.0 + 256 * 3)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("k", [3, 5, 7])
def test_depthwise_rounds_to_whole_numbers(isa, k, residual, fn, alpha, beta):
    """Exactly those of what it stores without."""
    case = square(k, pad=k // 2, residual=residual)
    for (plain, _), (rounded, _) in zip(run(case), run(replace(case, fn=fn, alpha=alpha, beta=beta))):
        np.testing.assert_array_equal(rounded, ACTIVATIONS[fn](plain, alpha, beta))


@pytest.mark.parametrize("window", [square(3, pad=1), square(5, 2, pad=2), square(4, pad=2), square(3, pad=1, residual=True)], ids=str)
def test_depthwise_looks_rounded_values_up(isa, window):
    table = table_of_bytes()
    for c in (1, 16, 33):
        case = replace(window, c=c, fn="RoundClip", alpha=-117, beta=138)
        for (plain, _), (found, _) in zip(run(case), run(case, table=table)):
            np.testing.assert_array_equal(found, table[plain.astype(int) % 256])


@pytest.mark.parametrize("case", [Case(70, 5, 700), Case(8, 6, 1500, (7, 7), before=(3, 3), after=(3, 3)), Case(16, 56, 56, gap=0)],
                         ids=str)
def test_depthwise_wide_rows_in_blocks(isa, case):
    check(case)


@pytest.mark.parametrize("case", [Case(50, 20, 20, residual=True), Case(100, 7, 7, n=2), Case(19, 33, 31, (5, 5), (2, 2), fn="HardSwish"),
                                  Case(3, 2, 2), Case(960, 7, 7)], ids=str)
def test_depthwise_same_bits_for_any_number_of_threads(isa, case):
    for k, (alone, wanted) in enumerate(run(case)):
        assert_close(alone, wanted, 2 * tolerance(25))
        for threads in (2, 3, 5):
            np.testing.assert_array_equal(list(run(case, threads))[k][0], alone)


DIRECT = [square(3, 2, pad=1), square(5, 2, pad=2), Case(0, 0, 0, (3, 5), (1, 2), (2, 1), (2, 2), (1, 1)),
          Case(0, 0, 0, (5, 3), (3, 2), before=(0, 0), after=(0, 1)), Case(0, 0, 0, (3, 3), (2, 2), before=(-1, -3), after=(1, 7)),
          Case(0, 0, 0, (3, 3), (2, 2), before=(5, 6), after=(7, 9))]


@pytest.mark.parametrize("window", DIRECT, ids=str)
@pytest.mark.parametrize("epilogue", [dict(), dict(residual=True, fn="Relu"), dict(slope=True), dict(fn="HardSwish", bias=False),
                                      dict(fn="Sigmoid", gap=0, residual=True)], ids=str)
@pytest.mark.parametrize("c", [1, 16, 37])
def test_depthwise_stride_two_of_wide_maps(isa, c, epilogue, window):
    check(replace(window, c=c, ih=11, iw=53, n=2, **epilogue), factor=2.0)


def test_depthwise_stride_two_same_bits_for_any_number_of_threads(isa):
    for case in (Case(50, 21, 61, (5, 5), (2, 2)), Case(50, 3, 61, (3, 3), (2, 2))):
        for k, (alone, _) in enumerate(run(case)):
            for threads in (2, 3, 5):
                np.testing.assert_array_equal(list(run(case, threads))[k][0], alone)


def test_depthwise_infinity_stays_where_it_is(isa):
    rng = np.random.default_rng(0)
    x, y = Image.random(rng, 1, 9, 9, 5), Image(1, 9, 9, 5, output=True)
    x.array[0, 4, 4, 2] = np.inf
    w = Guarded(rng.random((3, 3, 5)).astype(np.float32) + 0.1)
    got = run_image_step("depthwise", y, x, w, None, None, None, n=1, c=5, ic=1, x_c=0, kh=3, kw=3, sh=1, sw=1, dh=1, dw=1, pt=1,
                         pl=1, ih=9, iw=9, oh=9, ow=9, fn=unary_number("None"), direct=0, tile_rows=2)
    assert np.isinf(got[0, 3:6, 3:6, 2]).all() and np.isinf(got).sum() == 9 and not np.isnan(got).any()
