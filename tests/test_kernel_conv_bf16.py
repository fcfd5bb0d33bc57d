"""The conv_bf16 step (implicit GEMM of bfloat16) against sums in float64 of rounded operands, at every instruction set that has it."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, place
from step_helper import Guarded, run_step, unary_number
from test_kernel_qconv import sums

from fastcnn import _native
from fastcnn.convolve.bf16_gemm import pack_pairs, rounded

WINDOWS = [
    Case(6, 9, oh=3, ow=17), Case(64, 67, oh=5, ow=14, x_gap=1, y_gap=3), Case(2, 5, oh=1, ow=1), Case(130, 33, oh=2, ow=29, n=2),
    Case(6, 20, sh=2, sw=3, oh=4, ow=7), Case(8, 40, oh=6, ow=5, groups=3, x_gap=2, y_gap=1), Case(34, 20, oh=1, ow=45, n=2, y_gap=1),
    Case(16, 16, 3, 3, oh=7, ow=7, pt=1, pl=1, pb=1, pr=1, n=3), Case(6, 9, 3, 3, oh=7, ow=11, pt=1, pl=1, pb=1, pr=1, x_gap=2, y_gap=1),
    Case(6, 17, 3, 3, oh=9, ow=10, dh=2, dw=3, pt=2, pl=3, pb=2, pr=3),
    Case(4, 8, 3, 3, oh=5, ow=9, groups=4, pt=1, pl=1, pb=1, pr=1, y_gap=1),
    Case(2, 3, 5, 3, oh=4, ow=6, sh=2, pt=-1, pl=2, pb=0, pr=-1), Case(10, 33, 1, 3, oh=3, ow=31, pl=1, pr=1),
    Case(3, 21, 7, 4, oh=6, ow=15, sh=2, sw=2, pt=3, pl=2, pb=2, pr=1), Case(2, 2, 3, 3, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5),
    Case(3, 20, 3, 3, oh=5, ow=9, sh=2, sw=2, pt=1, pl=1, pb=1, pr=1, n=2), Case(1, 18, 5, 5, oh=4, ow=6, pt=2, pl=2, pb=2, pr=2),
    Case(7, 20, oh=3, ow=9, x_gap=2), Case(1, 3, oh=1, ow=5),
    Case(5, 33, 3, 2, oh=4, ow=6, dw=2, groups=2, pt=1, pl=1, pb=1, pr=1, x_gap=1),
    Case(8, 24, 3, 3, oh=4, ow=5, sh=2, dh=3, pt=7, pb=6), Case(6, 70, 5, 3, oh=7, ow=7, groups=2, dh=2, pt=4, pb=4, pl=1, pr=1),
]


def to_float(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def operands(case: Case, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.n, case.ih, case.iw, case.groups * case.ic), np.float32)
    return x, rng.standard_normal((case.groups * case.oc, case.ic, case.kh, case.kw), np.float32)


def run(case: Case, x: np.ndarray, w: np.ndarray, *, nv: int = 1, block: int = 2, threads: int = 1, split: int = 0,
        bias: np.ndarray | None = None, residual: np.ndarray | None = None, slope: np.ndarray | None = None, fn: str = "None",
        alpha: float = 0.0, beta: float = 0.0, halves: str = "", scale: np.ndarray | None = None, affine: np.ndarray | None = None,
        planes: bool = False) -> np.ndarray:
    """The step's result, margins and gaps checked; what lies between pixels of x is NaN. halves: which of x, y, r are bfloat16.

    planes: x is row-major
    """
    m, pitch = case.groups * case.oc, case.groups * case.ic + case.x_gap
    spaced = np.full((case.n, case.ih, case.iw, pitch), np.nan, np.float32)
    spaced[..., :case.groups * case.ic] = x
    y = Guarded(np.full((case.n, case.oh, case.ow, m + case.y_gap), 85, np.uint16 if "y" in halves else np.float32), output=True)
    margin = y.array.copy()
    read = spaced.ravel()[:spaced.size - case.x_gap]        # the last pixel ends with its channels
    read = rounded(read) if "x" in halves else read
    residual = rounded(residual) if residual is not None and "r" in halves else residual
    where = place("x", case.ih, case.iw, pitch)
    if planes:
        read, where = np.ascontiguousarray(x.transpose(0, 3, 1, 2)), {"x_image": x[0].size, "x_row": case.iw, "x_pixel": 1}
    factors = scale if affine is None else affine
    each = [None if extra is None else Guarded(extra) for extra in (bias, residual, slope, factors)]
    scaled = 2 if affine is not None else int(scale is not None)
    names = ("n", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "ih", "iw", "oh", "ow", "groups", "ic", "oc")
    sizes = {name: getattr(case, name) for name in names}
    packed = Guarded(pack_pairs(w, case.groups, nv, case.dw == 1))
    status = run_step("conv_bf16", [y, Guarded(np.ascontiguousarray(read)), packed, *each], threads, **sizes,
                      **where, **place("y", case.oh, case.ow, m + case.y_gap),
                      **place("r", case.oh, case.ow, m), nv=nv, block=block, split_columns=split, fn=unary_number(fn),
                      alpha=alpha, beta=beta, y_gap=0, scaled=scaled, **{f"{name}_half": int(name in halves) for name in "xyr"})
    assert status == 0
    np.testing.assert_array_equal(y.array[..., m:], margin[..., m:], err_msg="wrote between pixels")
    return to_float(y.array[..., :m]) if "y" in halves else y.array[..., :m].copy()


def check(got: np.ndarray, case: Case, x: np.ndarray, w: np.ndarray, more: np.ndarray | float = 0.0) -> None:
    """Products of 8 bits of mantissa are exact in float32: only the order of the sum is the kernel's."""
    x, w = to_float(rounded(x)), to_float(rounded(w))
    exact, size = sums(case, x, w, 0, np.float64) + more, sums(case, abs(x), abs(w), 0, np.float64) + abs(np.asarray(more))
    assert (abs(got - exact) <= 2.0 ** -23 * (case.k + 4) * size).all(), abs(got - exact).max()


@pytest.fixture(autouse=True)
def fitting(request: pytest.FixtureRequest) -> None:
    """Runs of an odd length where tiles take them."""
    case = request.node.callspec.params.get("case") if hasattr(request.node, "callspec") else None
    if case is not None and case.ic * (case.kw if case.dw == 1 else 1) % 2:
        request.getfixturevalue("pairs")
        if not _native.pgemm_odd_runs():
            pytest.skip(f"{_native.current_isa()} takes no runs of an odd length")


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_conv_bf16(pairs: str, case: Case) -> None:
    x, w = operands(case)
    for nv in (nv for nv in range(1, 5) if _native.pgemm_max_mr(nv)):
        for block, threads, split in ((1, 1, 0), (3, 2, 0), (1000, 3, 1)):
            most = case.ow if case.oh == 1 else case.oh
            check(run(case, x, w, nv=nv, block=min(block, most), threads=threads, split=split), case, x, w)


@pytest.mark.parametrize("case", WINDOWS, ids=str)
@pytest.mark.parametrize("halves", ["x", "xr", "yr", "xyr"])
def test_conv_bf16_of_values_that_lie_in_memory_so(pairs: str, case: Case, halves: str) -> None:
    """The same bits as from floats that need no rounding, rounded where y is stored so."""
    x, w = operands(case)
    x = to_float(rounded(x))
    residual = to_float(rounded(operands(Case(case.groups * case.oc, 1, oh=case.oh, ow=case.ow, n=case.n), 3)[0]))
    for nv in (nv for nv in range(1, 5) if _native.pgemm_max_mr(nv)):
        for block, threads, split in ((1, 1, 0), (3, 2, 0), (1000, 3, 1)):
            most = {"nv": nv, "block": min(block, case.ow if case.oh == 1 else case.oh), "threads": threads, "split": split, "fn": "Relu"}
            wanted = run(case, x, w, residual=residual, **most)
            got = run(case, x, w, residual=residual, halves=halves, **most)
            np.testing.assert_array_equal(got, to_float(rounded(wanted)) if "y" in halves else wanted)


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_conv_bf16_scales_x_by_channel_before_it_is_rounded(pairs: str, case: Case) -> None:
    x, w = operands(case)
    scale = np.random.default_rng(4).random(x.shape[3], np.float32)
    for block, threads in ((1, 1), (1000, 2)):
        most = {"block": min(block, case.ow if case.oh == 1 else case.oh), "threads": threads}
        np.testing.assert_array_equal(run(case, x, w, scale=scale, **most), run(case, x * scale, w, **most))


@pytest.mark.parametrize("case", WINDOWS, ids=str)
@pytest.mark.parametrize("halves", ["", "x"])
def test_conv_bf16_scales_and_shifts_x_before_it_is_rounded(pairs: str, case: Case, halves: str) -> None:
    """As the step of floats does with its affine; padding stays 0."""
    x, w = operands(case)
    x = to_float(rounded(x)) if halves else x
    rng = np.random.default_rng(5)
    scale, shift = rng.random(x.shape[3], np.float32), rng.standard_normal(x.shape[3], np.float32)
    affine = np.concatenate([scale, shift, np.array([-0.25, 1.5], np.float32)])
    y = np.clip(np.float32(x.astype(np.float64) * scale + shift), -0.25, 1.5).astype(np.float32)     # one rounding, as of an FMA
    for block, threads in ((1, 1), (1000, 2)):
        most = {"block": min(block, case.ow if case.oh == 1 else case.oh), "threads": threads}
        got = run(case, x, w, affine=affine, halves=halves, **most)
        near, exact = to_float(rounded(y)), to_float(rounded(w))
        size = sums(case, abs(near), abs(exact), 0, np.float64)         # a sum that is rounded twice may become the next bfloat16
        assert (abs(got - sums(case, near, exact, 0, np.float64)) <= (2.0 ** -23 * (case.k + 4) + 2.0 ** -7) * size).all()
        if _native.current_isa() != "scalar":
            np.testing.assert_array_equal(got, run(case, y, w, **most))
    if halves:
        for threads in (1, 2):
            np.testing.assert_array_equal(run(case, x, w, scale=scale, halves="x", threads=threads),
                                          run(case, x, w, scale=scale, threads=threads))


@pytest.mark.parametrize("case", [case for case in WINDOWS if case.groups == 1 and case.ic > 1 and (case.kh, case.kw) != (1, 1)], ids=str)
def test_conv_bf16_of_planes(pairs: str, case: Case) -> None:
    x, w = operands(case)
    case = replace(case, x_gap=0)
    for block, threads in ((1, 1), (3, 2), (1000, 1)):
        most = {"block": min(block, case.ow if case.oh == 1 else case.oh), "threads": threads}
        np.testing.assert_array_equal(run(case, x, w, planes=True, **most), run(case, x, w, **most))


def test_conv_bf16_keeps_nan_where_it_is(pairs: str) -> None:
    """The value after an odd run is multiplied by nothing."""
    if not _native.pgemm_odd_runs():
        pytest.skip(f"{_native.current_isa()} takes no runs of an odd length")
    case = Case(3, 8, 3, 3, oh=6, ow=9, pt=1, pl=1, pb=1, pr=1)
    x, w = operands(case)
    x[0, 2, 4] = np.nan
    seen = np.zeros((1, 6, 9, 8), bool)
    seen[0, 1:4, 3:6] = True
    np.testing.assert_array_equal(np.isnan(run(case, x, w)), seen)


@pytest.mark.parametrize("k", [1, 2, 4, 5, 6, 30, 32, 33, 34, 64, 130])
def test_conv_bf16_at_the_edges_of_every_tile(pairs: str, k: int) -> None:
    if k % 2 and not _native.pgemm_odd_runs():
        pytest.skip(f"{_native.current_isa()} takes no runs of an odd length")
    vector = _native.vector_length()
    for nv in (nv for nv in range(1, 5) if _native.pgemm_max_mr(nv)):
        for mr in range(1, _native.pgemm_max_mr(nv) + 2):
            half = (nv - 1) * vector + vector // 2
            for oc in {max(1, (nv - 1) * vector + 1), half, half + 1, nv * vector - 1, nv * vector, nv * vector + 1} - {0}:
                case = Case(k, oc, ow=mr, y_gap=1)
                x, w = operands(case, k)
                check(run(case, x, w, nv=nv, block=mr), case, x, w)


@pytest.mark.parametrize("fn, alpha, beta", [("None", 0, 0), ("Relu", 0, 0), ("Clip", -0.5, 2), ("LeakyRelu", 0.25, 0), ("PRelu", 0, 0)])
def test_conv_bf16_epilogue(pairs: str, fn: str, alpha: float, beta: float) -> None:
    case = Case(12, 37, 3, 3, oh=5, ow=9, pt=1, pl=1, pb=1, pr=1, y_gap=2)
    x, w = operands(case, 1)
    rng = np.random.default_rng(2)
    bias, slope = rng.standard_normal(37, np.float32), rng.random(37, np.float32)
    residual = rng.standard_normal((1, 5, 9, 37), np.float32)
    more = {"fn": "None", "slope": slope} if fn == "PRelu" else {"fn": fn, "alpha": alpha, "beta": beta}
    got = run(case, x, w, bias=bias, residual=residual, **more)
    plain = sums(case, to_float(rounded(x)), to_float(rounded(w)), 0, np.float64) + bias + residual
    expected = {"None": plain, "Relu": np.maximum(plain, 0), "Clip": np.clip(plain, alpha, beta),
                "LeakyRelu": np.where(plain < 0, alpha * plain, plain), "PRelu": np.where(plain < 0, slope * plain, plain)}[fn]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


def test_rounded_is_nearest_even() -> None:
    bits = np.random.default_rng(0).integers(0, 2 ** 32, 100_000, np.uint64).astype(np.uint32)
    special = {0x3f808000: 0x3f80, 0x3f818000: 0x3f82, 0x7f7fffff: 0x7f80, 0x7f800000: 0x7f80, 0xff800000: 0xff80}
    x = np.concatenate([bits, np.array([0x7f800001, 0x7fffffff, 1, *special], np.uint32)]).view(np.float32)
    near = to_float(rounded(x))
    assert np.array_equal(np.isnan(x), np.isnan(near)) and rounded(x)[-len(special):].tolist() == list(special.values())
    finite = np.isfinite(x) & np.isfinite(near)
    for step in (1, -1):
        other = to_float((rounded(x[finite]).astype(np.int64) + step).astype(np.uint16)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            assert not (abs(other - x[finite]) < abs(near[finite].astype(np.float64) - x[finite])).any()


def test_conv_bf16_rounds_x_as_weights_are(pairs: str) -> None:
    """x through a weight of 1: every number of bfloat16 and ties between, except those so small that products count as 0."""
    halves = np.arange(0x0080, 0x7f80, dtype=np.uint32) << 16
    x = np.concatenate([halves, halves + 0x8000, halves + 0x7fff, halves + 0x8001]).view(np.float32)
    x = np.concatenate([x, -x])
    case = Case(2, 1, ow=len(x))
    pixels = np.stack([x, np.zeros_like(x)], 1).reshape(1, 1, len(x), 2)
    w = np.array([1, 0], np.float32).reshape(1, 2, 1, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(run(case, pixels, w, block=1000).ravel(), to_float(rounded(x)))
