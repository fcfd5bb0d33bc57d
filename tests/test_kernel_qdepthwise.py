"""The qdepthwise step (dot products over four rows of a column) against sums of 64-bit integers, at every instruction set."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, place
from step_helper import Guarded, run_step
from test_kernel_qconv import operands, sums

from fastcnn import _native


def same(k: int, c: int, s: int = 1, **more: int) -> Case:
    """k x k, padded so that the extents stay, 9 x 14 outputs."""
    return Case(1, 1, k, k, groups=c, sh=s, sw=s, pt=k // 2, pl=k // 2, pb=(k - 1) // 2, pr=(k - 1) // 2, **{"oh": 9, "ow": 14, **more})


WINDOWS = [
    same(3, 40, x_gap=1, y_gap=3), same(3, 24, 2), same(5, 19, n=2), same(5, 33, 2), same(7, 17), same(7, 16, 2), same(4, 20), same(1, 70),
    same(2, 9), Case(1, 1, 3, 3, groups=21, oh=7, ow=9, dh=2, dw=2, pt=2, pl=2, pb=2, pr=2),
    Case(1, 1, 3, 5, groups=50, oh=6, ow=8, sh=2, sw=3, dh=1, dw=2, pt=1, pl=3, pb=0, pr=2),
    Case(1, 1, 9, 1, groups=18, oh=5, ow=6, pt=4, pb=4),
    Case(1, 1, 1, 9, groups=18, oh=5, ow=6, pl=4, pr=4), Case(1, 1, 3, 3, groups=7, oh=1, ow=1, pt=1, pl=1, pb=1, pr=1),
    Case(1, 1, 3, 3, groups=35, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5), Case(1, 1, 3, 3, groups=64, oh=4, ow=230, n=1),
    Case(1, 1, 5, 3, groups=12, oh=4, ow=6, sh=2, pt=-1, pl=2, pb=0, pr=-1), Case(1, 1, 5, 5, groups=5, oh=3, ow=400, sw=2, pl=2, pr=1),
]


def run(case: Case, x: np.ndarray, w: np.ndarray, *, threads: int = 1, zero_x: int = 0, offset: np.ndarray | None = None,
        factor: np.ndarray | float = 1.0, lo: float = -np.inf, hi: float = np.inf, zero: int = 0,
        table: np.ndarray | None = None) -> np.ndarray:
    """The step's result, margins and gaps checked."""
    c, pitch = case.groups, case.groups + case.x_gap
    read = Guarded(np.pad(x, [(0, 0)] * 3 + [(0, case.x_gap)], constant_values=77))
    y = Guarded(np.full((case.n, case.oh, case.ow, c + case.y_gap), 85, np.uint8), output=True)
    offset = np.zeros(c, np.int32) if offset is None else offset
    sizes = {name: getattr(case, name) for name in ("n", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "ih", "iw", "oh", "ow")}
    packed = _native.pack_qdepthwise(np.ascontiguousarray(w[:, 0]), case.sh, case.dh)
    each = [Guarded(offset), Guarded(np.broadcast_to(np.float32(factor), c)), None if table is None else Guarded(table)]
    assert run_step("qdepthwise", [y, read, packed, *each], threads, **sizes, **place("x", case.ih, case.iw, pitch),
                    **place("y", case.oh, case.ow, c + case.y_gap), c=c, x_zero=zero_x, lo=lo, hi=hi, zero=zero) == 0
    assert (y.array[..., c:] == 85).all(), "wrote between pixels"
    return y.array[..., :c].copy()


def requantised(exact: np.ndarray, factor: np.ndarray | float, zero: int, lo: float = -np.inf, hi: float = np.inf) -> np.ndarray:
    """Of exact sums, whose float32 are exact too."""
    return np.clip(np.clip(np.rint(exact.astype(np.float32) * np.float32(factor)), np.rint(lo), np.rint(hi)) + zero, 0, 255)


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_qdepthwise_windows(level: str, case: Case) -> None:
    x, w = operands(case)
    for zero_x in (0, 117, 255):
        exact = sums(case, x, w, zero_x)
        for threads in (1, 3):
            got = run(case, x, w, threads=threads, zero_x=zero_x, factor=0.003, zero=101)
            np.testing.assert_array_equal(got, requantised(exact, 0.003, 101))


@pytest.mark.parametrize("c", [1, 4, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 112, 144, 200])
def test_qdepthwise_channels(level: str, c: int) -> None:
    for case in (same(3, c, ow=7), same(5, c, 2, oh=4, ow=9), same(5, c, oh=4, ow=3), same(3, c, y_gap=1, x_gap=2, oh=3)):
        x, w = operands(case, c)
        np.testing.assert_array_equal(run(case, x, w, zero_x=9, factor=0.01, zero=120), requantised(sums(case, x, w, 9), 0.01, 120))


@pytest.mark.parametrize("ow", [*range(1, 20), 24, 25])
def test_qdepthwise_columns(level: str, ow: int) -> None:
    for case in (same(3, 80, ow=ow, oh=4), same(3, 20, ow=ow, oh=3), same(5, 10, 2, ow=ow, oh=3)):
        x, w = operands(case, ow)
        np.testing.assert_array_equal(run(case, x, w, zero_x=9, factor=0.01, zero=120), requantised(sums(case, x, w, 9), 0.01, 120))


@pytest.mark.parametrize("zero", [0, 1, 117, 255])
@pytest.mark.parametrize("relu", [False, True])
def test_qdepthwise_rounds_to_even_before_the_zero_point(level: str, zero: int, relu: bool) -> None:
    """Half of the sums times 1/2 are ties."""
    case = same(3, 37, y_gap=2)
    x, w = operands(case, 1, (-3, 3))
    offset = np.arange(37, dtype=np.int32) * 11 - 200
    factor = np.where(np.arange(37) % 3 == 0, 0.5, 0.03125).astype(np.float32)
    lo, hi = float(0 if relu else -zero), 55.0
    exact = sums(case, x, w, 9) + offset
    assert (exact * factor % 1 == 0.5).any()
    got = run(case, x, w, zero_x=9, offset=offset, factor=factor, lo=lo, hi=hi, zero=zero)
    np.testing.assert_array_equal(got, requantised(exact, factor, zero, lo, hi))


def test_qdepthwise_never_saturates_sums(level: str) -> None:
    case = same(7, 70)
    x, w = np.full((1, case.ih, case.iw, 70), 255, np.uint8), np.full((70, 1, 7, 7), -128, np.int8)
    w[::2] = 127
    exact = sums(case, x, w, 255)
    for factor in (1e-4, 1e9):
        np.testing.assert_array_equal(run(case, x, w, zero_x=255, factor=factor, zero=128), requantised(exact, factor, 128))


def test_qdepthwise_looks_its_result_up(level: str) -> None:
    table = np.random.default_rng(5).permutation(256).astype(np.uint8)
    for case in (same(3, 80), same(5, 9, 2), replace(same(3, 24), n=2)):
        x, w = operands(case)
        expected = table[run(case, x, w, factor=0.01, zero=100)]
        np.testing.assert_array_equal(run(case, x, w, factor=0.01, zero=100, table=table, threads=2), expected)
