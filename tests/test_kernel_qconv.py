"""The qconv step (8-bit implicit GEMM) against sums of 64-bit integers, at every instruction set and its sub-levels (kernels: qgemm,
qwide: over operands that are widened to 16 bits first)."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, place
from step_helper import Guarded, run_step

from fastcnn import _native
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.block_diagonal import block_diagonal, factors
from fastcnn.convolve.shape import ConvShape

SUMS, FLOATS, BYTES = range(3)          # FC_Q_SUMS ... of kernels.h
SLACK = 3                               # bytes after the last pixel that a step in place reads

WINDOWS = [
    Case(5, 9, oh=3, ow=17), Case(64, 67, oh=5, ow=14, x_gap=1, y_gap=3), Case(3, 5, oh=1, ow=1), Case(130, 33, oh=2, ow=29, n=2),
    Case(6, 20, sh=2, sw=3, oh=4, ow=7), Case(7, 40, oh=6, ow=5, groups=3, x_gap=2, y_gap=1),
    Case(3, 21, 7, 7, oh=6, ow=15, sh=2, sw=2, pt=3, pl=3, pb=2, pr=2), Case(16, 16, 3, 3, oh=7, ow=7, pt=1, pl=1, pb=1, pr=1, n=3),
    Case(5, 9, 3, 3, oh=7, ow=11, pt=1, pl=1, pb=1, pr=1, x_gap=2, y_gap=1),
    Case(6, 17, 3, 3, oh=9, ow=10, dh=2, dw=3, pt=2, pl=3, pb=2, pr=3),
    Case(4, 8, 3, 3, oh=5, ow=9, groups=4, pt=1, pl=1, pb=1, pr=1, y_gap=1), Case(2, 3, 5, 3, oh=4, ow=6, sh=2, pt=-1, pl=2, pb=0, pr=-1),
    Case(9, 33, 1, 3, oh=3, ow=31, pl=1, pr=1), Case(1, 1, 3, 3, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5),
    Case(5, 70, 5, 3, oh=7, ow=7, groups=2, dh=2, pt=4, pb=4, pl=1, pr=1), Case(8, 24, 3, 3, oh=4, ow=5, sh=2, dh=3, pt=7, pb=6),
]


def all_tiles() -> list[dict[str, int]]:
    """Widths of the tiles of the current level, over bytes and widened."""
    widths = {0: _native.qgemm_max_mr, 1: _native.qwide_max_mr}
    return [{"nv": nv, "wide": wide} for wide, tallest in widths.items() for nv in range(1, 5) if tallest(nv)]


def tallest(nv: int, wide: int) -> int:
    return _native.qwide_max_mr(nv) if wide else _native.qgemm_max_mr(nv)


def operands(case: Case, seed: int = 0, weights: tuple[int, int] = (-128, 127)) -> tuple[np.ndarray, np.ndarray]:
    """x (n, ih, iw, c) and w (m, c/group, kh, kw): any values, the outermost more often."""
    rng = np.random.default_rng(seed)
    m = case.groups * case.oc
    x = rng.choice([0, 255, *range(256)], (case.n, case.ih, case.iw, case.groups * case.ic)).astype(np.uint8)
    w = rng.choice([*weights * 20, *range(weights[0], weights[1] + 1)], (m, case.ic, case.kh, case.kw)).astype(np.int8)
    return x, w


def sums(case: Case, x: np.ndarray, w: np.ndarray, zero: int, kind: type = np.int64) -> np.ndarray:
    """(n, oh, ow, m) in int64, or another kind: sums of x * w, padding being `zero`."""
    wide = np.full((case.n, case.ih + 40, case.iw + 40, x.shape[3]), zero, kind)
    wide[:, 20:20 + case.ih, 20:20 + case.iw] = x
    y = np.zeros((case.n, case.oh, case.ow, case.groups, case.oc), kind)
    filters = w.astype(kind).reshape(case.groups, case.oc, case.ic, case.kh, case.kw)
    for r in range(case.kh):
        for s in range(case.kw):
            top, left = 20 - case.pt + r * case.dh, 20 - case.pl + s * case.dw
            seen = wide[:, top:top + (case.oh - 1) * case.sh + 1:case.sh, left:left + (case.ow - 1) * case.sw + 1:case.sw]
            y += np.einsum("nhwgc,goc->nhwgo", seen.reshape(*seen.shape[:3], case.groups, case.ic), filters[..., r, s])
    return y.reshape(case.n, case.oh, case.ow, -1)


def run(case: Case, x: np.ndarray, w: np.ndarray, *, nv: int = 1, turns: int = 0, wide: int = 0, block: int = 2, threads: int = 1,
        split: int = 0, band: int | None = None, zero_x: int = 0, to: int = SUMS,
        offset: np.ndarray | None = None, factor: np.ndarray | None = None, lo: float = -np.inf, hi: float = np.inf,
        zero: int = 0, residual: np.ndarray | None = None, r_gap: int = 0, table: np.ndarray | None = None, skips: bool = True,
        largest: bool = True, **more: float) -> np.ndarray:
    """The step's result, margins and gaps checked. skips: it knows what to add for rows left out; largest: how large sums are at most.
    more: the fields own_* and r_*."""
    m, needed = case.groups * case.oc, case.kh * case.kw > 1 or case.padded
    pitch = case.groups * case.ic + case.x_gap
    spaced = np.full((case.n, case.ih, case.iw, pitch), 77, np.uint8)
    spaced[..., :case.groups * case.ic] = x
    kind = {BYTES: np.uint8, SUMS: np.int32, FLOATS: np.float32}[to]
    y = Guarded(np.full((case.n, case.oh, case.ow, m + case.y_gap), 85, kind), output=True)
    margin = y.array.copy()
    read = Guarded(np.concatenate([spaced.ravel(), np.full(SLACK, 99, np.uint8)]))
    each = [Guarded(np.zeros(m, np.int32) if offset is None else offset), Guarded(np.ones(m, np.float32) if factor is None else factor)]
    sizes = {name: getattr(case, name) for name in ("n", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "ih", "iw", "oh", "ow", "groups",
                                                    "ic", "oc")}
    if residual is not None:
        residual = np.pad(residual, [(0, 0)] * 3 + [(0, r_gap)], constant_values=200)
    row_sums = w.sum((1, 3), dtype=np.int32).T.copy() if skips else None
    most = np.abs(w.reshape(m, -1).astype(np.int64)).sum(1).max() * 255 + (0 if offset is None else np.abs(offset.astype(np.int64)).max())
    bound = np.array([min(most, 2 ** 31 - 1)], np.int32) if largest else None
    each += [None if extra is None else Guarded(extra) for extra in (residual, table, row_sums, bound)]
    fields = {"own_factor": 0.0, "own_lo": 0.0, "own_hi": 0.0, "r_factor": 0.0, "r_zero": 0, **more}
    status = run_step("qconv", [y, read, _native.pack_qconv(w, case.groups, nv, case.dw == 1), *each], threads, **sizes,
                      **place("x", case.ih, case.iw, pitch), **place("y", case.oh, case.ow, m + case.y_gap),
                      **place("r", case.oh, case.ow, m + r_gap), nv=nv, turns=turns, wide=wide,
                      band=int(needed) if band is None else band, block=block, split_columns=split, x_zero=zero_x,
                      to=to, lo=lo, hi=hi, zero=zero, **fields)
    assert status == 0
    np.testing.assert_array_equal(y.array[..., m:], margin[..., m:], err_msg="wrote between pixels")
    return y.array[..., :m].copy()


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_qconv_sums_are_exact(level: str, case: Case) -> None:
    x, w = operands(case)
    for zero_x in (0, 117, 255):
        expected = sums(case, x, w, zero_x)
        for tile in all_tiles():
            for block, threads, split in ((1, 1, 0), (3, 2, 0), (100, 3, 1)):
                got = run(case, x, w, **tile, block=min(block, case.oh), threads=threads, split=split, zero_x=zero_x, skips=block != 3)
                np.testing.assert_array_equal(got, expected, err_msg=f"{tile} block={block}")


INSIDE = [
    Case(16, 35, 3, 3, oh=7, ow=9, pt=1, pl=1, pb=1, pr=1, n=2), Case(4, 9, 3, 3, oh=17, ow=16, pt=1, pl=1, pb=1, pr=1, x_gap=12, y_gap=5),
    Case(8, 70, 5, 3, oh=6, ow=31, dh=2, pt=4, pb=4, pl=1, pr=1, x_gap=4),
    Case(12, 20, 3, 5, oh=5, ow=14, sh=2, sw=2, pt=1, pl=2, pb=0, pr=2),
    Case(4, 33, 3, 3, oh=6, ow=12, dw=3, pt=1, pb=1, pl=3, pr=3), Case(8, 17, 1, 7, oh=3, ow=11, pl=3, pr=3),
    Case(8, 17, 7, 1, oh=9, ow=5, pt=3, pb=3), Case(4, 5, 3, 3, oh=4, ow=6), Case(64, 64, 3, 3, oh=15, ow=30, pt=-2, pl=1, pb=1, pr=0),
    Case(4, 6, 3, 3, oh=5, ow=3, pt=1, pl=2, pb=1, pr=2),
]


@pytest.mark.parametrize("case", INSIDE, ids=str)
def test_columns_that_see_no_padding_read_x_in_place(level: str, case: Case) -> None:
    x, w = operands(case)
    for zero_x in (0, 117):
        expected = sums(case, x, w, zero_x)
        for nv in (tile["nv"] for tile in all_tiles() if not tile["wide"]):
            for block, threads, split in ((1, 1, 0), (3, 2, 0), (100, 3, 1)):
                got = run(case, x, w, nv=nv, block=min(block, case.oh), threads=threads, split=split, band=2, zero_x=zero_x)
                np.testing.assert_array_equal(got, expected, err_msg=f"nv={nv} block={block}")


def test_columns_that_see_no_padding_with_a_residual_and_a_table(level: str) -> None:
    case = Case(16, 70, 3, 3, oh=9, ow=31, pt=1, pl=1, pb=1, pr=1, x_gap=48, y_gap=3)
    x, w = operands(case)
    residual = np.random.default_rng(1).integers(0, 256, (1, case.oh, case.ow, case.oc), np.uint8)
    more = {"to": BYTES, "factor": np.full(case.oc, 2.0 ** -12, np.float32), "lo": -100.0, "hi": 120.0, "zero": 90, "zero_x": 3,
            "residual": residual, "r_gap": 5, "r_factor": 0.25, "r_zero": 100,
            "table": np.random.default_rng(2).permutation(256).astype(np.uint8)}
    for nv in (tile["nv"] for tile in all_tiles() if not tile["wide"]):
        for turns in (0, 1):
            got = [run(case, x, w, nv=nv, turns=turns, block=4, band=band, **more) for band in (1, 2)]
            np.testing.assert_array_equal(*got, err_msg=f"nv={nv}")


@pytest.mark.parametrize("ic", [1, 4, 8, 12, 16, 24, 48, 72, 260])
def test_pixels_of_a_group_are_copied_one_after_the_other(level: str, ic: int) -> None:
    """With another group between them; by chunks of 4, 8 or 16 bytes where they have so many."""
    case = Case(ic, 3, 3, 3, oh=3, ow=5, groups=2, pt=1, pl=1, pb=1, pr=1)
    x, w = operands(case)
    np.testing.assert_array_equal(run(case, x, w, zero_x=117), sums(case, x, w, 117))


@pytest.mark.parametrize("groups, ic, oc, kernel", [(12, 4, 4, 3), (8, 3, 5, 1), (16, 1, 2, 3), (6, 7, 16, 1)])
def test_groups_joined_to_a_block_diagonal(level: str, groups: int, ic: int, oc: int, kernel: int) -> None:
    pad = kernel // 2
    case = Case(ic, oc, kernel, kernel, oh=5, ow=7, groups=groups, pt=pad, pl=pad, pb=pad, pr=pad, y_gap=1)
    x, w = operands(case)
    shape = ConvShape(case.n, groups, ic, oc, kernel, kernel, 1, 1, 1, 1, pad, pad, case.ih, case.iw, 5, 7, arithmetic=U8S8)
    listed = {f"{together} together": block_diagonal(w, oc, together) for together in factors(shape)}
    assert bool(listed) == (_native.vector_length() > oc)
    for name, filters in listed.items():
        together = int(name.split()[0])
        joined = replace(case, ic=ic * together, oc=oc * together, groups=groups // together)
        np.testing.assert_array_equal(run(joined, x, filters, zero_x=117), sums(case, x, w, 117), err_msg=name)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 64, 129])
def test_qconv_at_the_edges_of_every_tile(level: str, k: int) -> None:
    vector = _native.vector_length()
    for tile in all_tiles():
        nv = tile["nv"]
        for mr in range(1, tallest(**tile) + 2):
            for oc in {max(1, (nv - 1) * vector + 1), nv * vector - 1, nv * vector, nv * vector + 1} - {0}:
                case = Case(k, oc, ow=mr, y_gap=1)
                x, w = operands(case, k)
                np.testing.assert_array_equal(run(case, x, w, **tile, block=1), sums(case, x, w, 0), err_msg=f"{tile} {mr} {oc}")


def test_qconv_never_saturates(level: str) -> None:
    """The outermost values alone: pairs of products pass 16 bits."""
    case = Case(256, 40, oh=2, ow=9)
    x, w = np.full((1, 2, 9, 256), 255, np.uint8), np.full((40, 256, 1, 1), -128, np.int8)
    w[::2] = 127
    for tile in all_tiles():
        np.testing.assert_array_equal(run(case, x, w, **tile), sums(case, x, w, 0), err_msg=str(tile))


@pytest.mark.parametrize("zero", [0, 1, 117, 128, 255])
@pytest.mark.parametrize("relu", [False, True])
def test_qconv_requantises_to_nearest_even_and_saturates(level: str, zero: int, relu: bool) -> None:
    """Half of the sums times 1/2 are ties: these go to the even integer, the zero point is added after that."""
    case = Case(19, 37, 3, 3, oh=5, ow=13, pt=1, pl=1, pb=1, pr=1, y_gap=2)
    x, w = operands(case, 1, (-3, 3))
    offset = np.arange(37, dtype=np.int32) * 11 - 200
    factor = np.where(np.arange(37) % 3 == 0, 0.5, 0.03125).astype(np.float32)
    lo, hi = float(0 if relu else -zero), float(255 - zero)
    exact = (sums(case, x, w, 9) + offset) * factor.astype(np.float64)
    assert (exact % 1 == 0.5).any()
    expected = np.clip(np.rint(np.clip(exact, lo, hi)) + zero, 0, 255)
    for tile in all_tiles():
        got = run(case, x, w, **tile, zero_x=9, to=BYTES, offset=offset, factor=factor, lo=lo, hi=hi, zero=zero)
        np.testing.assert_array_equal(got, expected)


EPILOGUES = [Case(19, 37, oh=5, ow=13, y_gap=2), Case(8, 70, 3, 3, oh=4, ow=11, pt=1, pl=1, pb=1, pr=1), Case(12, 16, oh=3, ow=9, n=2),
             Case(4, 5, 1, 3, oh=2, ow=31, groups=3)]


@pytest.mark.parametrize("case", EPILOGUES, ids=str)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("to", [FLOATS, BYTES])
def test_qconv_adds_a_residual_before_rounding(level: str, case: Case, own: bool, to: int) -> None:
    """With own the steps of the unfused graph one by one: quantise the convolution, dequantise, add, quantise. Factors of 1/2 give ties."""
    x, w = operands(case, 1, (-3, 3))
    m = case.groups * case.oc
    residual = np.random.default_rng(2).integers(0, 256, (case.n, case.oh, case.ow, m)).astype(np.uint8)
    factor = np.where(np.arange(m) % 3, 0.03125, 0.021).astype(np.float32)
    offset = np.arange(m, dtype=np.int32) * 3 - 20
    f = (sums(case, x, w, 9) + offset).astype(np.float32) * factor
    fields = {"r_factor": 0.5, "r_zero": 117}
    if own:
        fields |= {"own_factor": 0.5, "own_lo": -31.0, "own_hi": 60.5}
        f = np.rint(np.clip(f, np.float32(-31), np.float32(60.5))) * np.float32(0.5)
    f = f + (residual.astype(np.float32) - 117) * np.float32(0.5)
    expected = np.clip(f, -40, 90) if to == FLOATS else np.clip(np.rint(f) + 41, 1, 131)
    for tile in all_tiles():
        threads, gap = ((1, 0), (1, 3), (2, 0), (1, 1))[tile["nv"] - 1]
        got = run(case, x, w, **tile, zero_x=9, to=to, offset=offset, factor=factor, lo=-40.0, hi=90.0, zero=41, threads=threads,
                  residual=residual, r_gap=gap, **fields)
        np.testing.assert_array_equal(got, expected)


TURNS = [Case(9, 32, ow=12), Case(70, 64, oh=2, ow=24, y_gap=2), Case(3, 80, ow=37, n=2), Case(21, 33, oh=3, ow=25, sw=2),
         Case(5, 40, 3, 3, oh=4, ow=13, pt=1, pl=1, pb=1, pr=1), Case(7, 32, 3, 3, oh=3, ow=26, dw=2, pl=2, pr=2, groups=2)]


@pytest.mark.parametrize("case", TURNS, ids=str)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_qconv_in_tiles_that_take_turns(level: str, case: Case, own: bool, added: bool) -> None:
    """One to several pairs of tiles, whole and not, few and many words of k. Factors of 1/32 and 1/2 give ties."""
    x, w = operands(case, 1, (-3, 3))
    m = case.groups * case.oc
    residual = np.random.default_rng(2).integers(0, 256, (case.n, case.oh, case.ow, m)).astype(np.uint8)
    factor, offset = np.where(np.arange(m) % 3, 0.03125, 0.021).astype(np.float32), np.arange(m, dtype=np.int32) * 3 - 20
    f, fields = (sums(case, x, w, 9) + offset).astype(np.float32) * factor, {}
    if own:
        fields |= {"own_factor": 0.5, "own_lo": -31.0, "own_hi": 60.5}
        f = np.rint(np.clip(f, np.float32(-31), np.float32(60.5))) * np.float32(0.5)
    if added:
        fields |= {"residual": residual, "r_gap": 3, "r_factor": 0.5, "r_zero": 117}
        f = f + (residual.astype(np.float32) - 117) * np.float32(0.5)
    for zero, threads in ((41, 1), (0, 2), (255, 1)):
        got = run(case, x, w, nv=2, turns=1, zero_x=9, to=BYTES, offset=offset, factor=factor, lo=-40.0, hi=90.0, zero=zero,
                  threads=threads, **fields)
        np.testing.assert_array_equal(got, np.clip(np.clip(np.rint(f), -40, 90) + zero, 0, 255))


def test_qconv_in_turns_saturates_what_is_far_outside(level: str) -> None:
    """Factors just below and above those for which 32 bits hold a result and its zero point."""
    case = Case(64, 32, ow=25)
    x, w = np.full((1, 1, 25, 64), 255, np.uint8), np.full((32, 64, 1, 1), 127, np.int8)
    w[::2] = -128
    for factor in (0.2499, 0.25, 0.999, 1e9):
        offset = np.where(np.arange(32) % 2, 2 ** 31 - 1 - 64 * 255 * 127, 64 * 255 * 128 - 2 ** 31).astype(np.int32)
        got = run(case, x, w, nv=2, turns=1, to=BYTES, offset=offset, factor=np.full(32, factor, np.float32), lo=-255.0, hi=255.0, zero=255)
        np.testing.assert_array_equal(got, np.broadcast_to(np.where(np.arange(32) % 2, 255, 0), got.shape))


@pytest.mark.parametrize("residual", [None, 0.375, 60.0])
@pytest.mark.parametrize("own", [0.0, 0.8125, 100.0])
def test_qconv_gives_the_same_whether_it_knows_the_largest_sum(level: str, residual: float | None, own: float) -> None:
    """Results within 16 bits with their zero point and beyond."""
    case = Case(129, 70, ow=25)
    x, w = np.full((1, 1, 25, 129), 255, np.uint8), np.zeros((70, 129, 1, 1), np.int8)
    w[::2], w[1::2] = 127, -128
    x[0, 0, :, 3:] = np.random.default_rng(0).choice([0, 255, 255, *range(256)], (25, 126))
    bytes_ = np.arange(25 * 70).reshape(1, 1, 25, 70).astype(np.uint8)
    more = {} if residual is None else {"residual": bytes_, "r_factor": residual, "r_zero": 200}
    for factor in (2.0 ** -30, 1e-3, 7.7e-3, 7.9e-3, 0.25, np.inf):
        for offset in (0, 2 ** 22 - 1 - 129 * 255 * 128, 2 ** 22 - 129 * 255 * 128):
            offsets = np.where(np.arange(70) % 2, -offset, offset).astype(np.int32)
            fields = {"to": BYTES, "offset": offsets, "factor": np.full(70, factor, np.float32), "lo": -117.0, "hi": 138.0, "zero": 117,
                      "own_factor": own, "own_lo": -128.0, "own_hi": 127.0, "r_factor": 0.0, "r_zero": 0, **more}
            for tile in ({"nv": 4}, {"nv": 1}, {"nv": 2, "turns": 1}):
                if _native.qgemm_max_mr(tile["nv"]):
                    known, unknown = (run(case, x, w, **tile, largest=largest, **fields) for largest in (True, False))
                    np.testing.assert_array_equal(known, unknown, err_msg=f"{factor} {offset} {tile}")


@pytest.mark.parametrize("case", EPILOGUES, ids=str)
def test_qconv_looks_its_result_up(level: str, case: Case) -> None:
    table = np.random.default_rng(5).permutation(256).astype(np.uint8)
    x, w = operands(case, 1, (-3, 3))
    plain = {"zero_x": 9, "to": BYTES, "factor": np.full(case.groups * case.oc, 0.02, np.float32), "lo": -100.0, "hi": 155.0, "zero": 100}
    expected = table[run(case, x, w, **plain)]
    for nv, threads, split in ((1, 1, 0), (2, 2, 1)):
        np.testing.assert_array_equal(run(case, x, w, nv=nv, threads=threads, split=split, table=table, **plain), expected)


def test_qconv_saturates_what_is_far_outside(level: str) -> None:
    case = Case(64, 20, ow=9)
    x, w = operands(case)
    exact = sums(case, x, w, 0)
    got = run(case, x, w, to=BYTES, factor=np.full(20, 1e9, np.float32), lo=-3.0, hi=252.0, zero=3)
    np.testing.assert_array_equal(got, np.where(exact > 0, 255, np.where(exact < 0, 0, 3)))


@pytest.mark.parametrize("shape", [(5, 3, 1, 1), (40, 7, 3, 3), (33, 16, 1, 1), (6, 3, 7, 7), (17, 5, 1, 3)])
def test_qconv_weights_are_packed_by_words(level: str, shape: tuple[int, ...]) -> None:
    w, vector = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8), _native.vector_length()
    oc, ic, kh, kw = shape
    for nv in (1, 2, 4):
        for whole in (True, False):
            runs = w.transpose(0, 2, 3, 1).reshape((oc, kh, kw * ic) if whole else (oc, kh * kw, ic))
            wide = np.pad(runs, [(0, -oc % vector), (0, 0), (0, -runs.shape[2] % 4)])
            words = wide.reshape(len(wide), -1, 4)
            expected = [words[j:j + nv * vector].transpose(1, 0, 2).ravel() for j in range(0, len(wide), nv * vector)]
            np.testing.assert_array_equal(_native.pack_qconv(w, 1, nv, whole), np.concatenate(expected))


def test_qconv_gives_floats(level: str) -> None:
    case = Case(19, 37, oh=5, ow=13)
    x, w = operands(case, 1)
    offset, factor = np.arange(37, dtype=np.int32) - 20, np.linspace(1e-3, 2e-3, 37).astype(np.float32)
    got = run(case, x, w, nv=2, to=FLOATS, offset=offset, factor=factor, lo=-30.0, hi=40.0)
    np.testing.assert_allclose(got, np.clip((sums(case, x, w, 0) + offset) * factor.astype(np.float64), -30, 40), rtol=3e-7)
    assert got.min() == -30 and got.max() == 40


def test_qconv_same_bits_at_every_level() -> None:
    case = Case(33, 50, 3, 3, oh=9, ow=9, pt=1, pl=1, pb=1, pr=1)
    x, w = operands(case)
    before, results = _native.current_isa(), set()
    try:
        for name in _native.levels():
            _native.set_isa(name)
            results.add(run(case, x, w, to=BYTES, factor=np.full(50, 1e-3, np.float32), lo=-100.0, hi=155.0, zero=100).tobytes())
    finally:
        _native.set_isa(before)
    assert len(results) == 1
