"""Winograd along both axes and along one against direct convolution in float64, at every instruction set."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from step_helper import Guarded, assert_close, run_step, second_rounding, table_of_bytes, tolerance, unary_number

from fastcnn import _native
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.convolve.winograd_cost import FORMS, STRIDED_FORMS, choose_winograd, positions_of, tile_count


@dataclass(frozen=True)
class Form:
    """F(m, kh) by F(m, kw). error: its largest over that of direct convolution, at most; rms: likewise, for the channels that FORMS has."""

    kh: int
    kw: int
    m: int
    error: float
    rms: float
    stride: int = 1

    def __str__(self) -> str:
        return f"{self.kh}x{self.kw}-m{self.m}" + (f"-s{self.stride}" if self.stride > 1 else "")

    @property
    def k(self) -> int:
        return self.kh * self.kw


FORM_CASES = [
    Form(3, 3, 2, 1.5, 1.2), Form(3, 3, 4, 4.0, 3.0), Form(5, 5, 2, 2.5, 2.2), Form(5, 5, 3, 4.5, 4.0),
    Form(2, 2, 3, 2.0, 1.7), Form(4, 4, 3, 3.0, 2.5), Form(1, 2, 3, 2.0, 1.6), Form(2, 1, 3, 2.0, 1.6),
    Form(1, 3, 2, 1.5, 1.2), Form(3, 1, 2, 1.5, 1.2), Form(1, 3, 4, 3.0, 2.1), Form(3, 1, 4, 3.0, 2.1),
    Form(1, 5, 2, 2.0, 2.0), Form(5, 1, 2, 2.0, 2.0), Form(1, 5, 4, 4.0, 3.7), Form(5, 1, 4, 4.0, 3.7),
    Form(1, 7, 3, 5.0, 4.5), Form(7, 1, 3, 5.0, 4.5), Form(3, 3, 2, 1.5, 1.2, 2),
]
forms = pytest.mark.parametrize("form", FORM_CASES, ids=str)


@dataclass(frozen=True)
class Case:
    """Extents, padding at top and left (bottom and right follow from oh and ow), and what pixels are padded by."""

    n: int
    ic: int
    oc: int
    ih: int
    iw: int
    pt: int
    pl: int
    oh: int
    ow: int
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        return (f"n{self.n}-c{self.ic}+{self.x_gap}x{self.oc}+{self.y_gap}-in{self.ih}x{self.iw}-out{self.oh}x{self.ow}"
                f"-pad{self.pt},{self.pl}")


CASES = [
    Case(1, 1, 1, 1, 1, 1, 1, 1, 1),
    Case(1, 1, 1, 3, 3, 0, 0, 1, 1),
    Case(1, 3, 5, 4, 4, 0, 0, 2, 2),
    Case(1, 7, 8, 5, 6, 1, 1, 5, 6),
    Case(1, 8, 9, 6, 5, 0, 1, 5, 5),            # asymmetric: bottom 1, right 1
    Case(2, 15, 16, 4, 7, 1, 1, 4, 7, 1, 3),
    Case(1, 16, 17, 8, 8, 2, 2, 10, 10),
    Case(3, 17, 15, 9, 3, 1, 0, 9, 1, 5, 0),
    Case(1, 31, 33, 7, 11, 2, 1, 9, 12, 0, 16),
    Case(1, 5, 6, 2, 2, 5, 6, 11, 12),          # whole tiles of padding
    Case(1, 32, 64, 13, 13, 0, 0, 11, 11),
    Case(1, 64, 67, 14, 14, 1, 1, 14, 14),
    Case(1, 4, 3, 9, 9, -2, -1, 5, 6),          # the window starts inside
]
REAL = Case(1, 128, 128, 28, 28, 1, 1, 28, 28)


def tensor(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def test_winograd_forms_are_those_of_the_planner():
    listed = {(min(f.kh, f.kw), max(f.kh, f.kw), f.m, f.stride) for f in FORM_CASES}
    assert listed == {(*window, m, s) for s, of in ((1, FORMS), (2, STRIDED_FORMS)) for window, ms in of.items() for m in ms}


REFUSED = [((3, 3), 3), ((3, 5), 2), ((2, 2), 2), ((2, 3), 3), ((1, 1), 2), ((1, 7), 4), ((9, 9), 2), ((1, 3), 1), ((3, 3), -1),
           ((4, 4), 2), ((2, 2), 4)]


@pytest.mark.parametrize("shape, m", REFUSED, ids=str)
def test_winograd_packing_refuses_what_has_no_transforms(shape, m):
    with pytest.raises(ValueError, match=f"{shape[0]}x{shape[1]}"):
        _native.pack_winograd(np.zeros((4, 4, *shape), np.float32), m, 2)


@pytest.mark.parametrize("shape, m, stride", [((3, 3), 4, 2), ((5, 5), 2, 2), ((1, 3), 2, 2), ((3, 3), 2, 3), ((3, 3), 2, 0)], ids=str)
def test_winograd_packing_refuses_strides_without_transforms(shape, m, stride):
    with pytest.raises(ValueError, match=f"{shape[0]}x{shape[1]} with a stride of {stride}"):
        _native.pack_winograd(np.zeros((4, 4, *shape), np.float32), m, 2, stride=stride)


def direct(x: np.ndarray, w: np.ndarray, case: Case, stride: int = 1) -> np.ndarray:
    """y[n,i,j,o] = sum over r, s, c of x[n, i*stride-pt+r, j*stride-pl+s, c] * w[o,c,r,s] in float64, zero outside x."""
    room, after = 12, 12 + (stride - 1) * max(case.oh, case.ow)
    padded = np.pad(x.astype(np.float64), ((0, 0), (room, after), (room, after), (0, 0)))
    y = np.zeros((case.n, case.oh, case.ow, case.oc))
    for r in range(w.shape[2]):
        for s in range(w.shape[3]):
            top, left = room - case.pt + r, room - case.pl + s
            y += padded[:, top:top + stride * case.oh:stride, left:left + stride * case.ow:stride] @ w[:, :, r, s].T.astype(np.float64)
    return y


def place(prefix: str, height: int, width: int, pixel: int) -> dict[str, int]:
    return {f"{prefix}_image": height * width * pixel, f"{prefix}_row": width * pixel, f"{prefix}_pixel": pixel}


def spaced(values: np.ndarray, gap: int, output: bool = False) -> Guarded:
    """values with `gap` more elements after the channels of every pixel, poisoned like the margins."""
    guarded = Guarded(np.zeros((*values.shape[:-1], values.shape[-1] + gap), np.float32), output)
    guarded.array[:] = guarded.margin
    guarded.array[..., :values.shape[-1]] = values
    return guarded


def winograd(case: Case, x: np.ndarray, w: np.ndarray, m: int, nv: int = 2, tiles: int = 5, threads: int = 1,
             bias: np.ndarray | None = None,
             residual: np.ndarray | None = None, slope: np.ndarray | None = None, fn: str = "None", alpha: float = 0.0,
             beta: float = 0.0, stride: int = 1) -> np.ndarray:
    y = spaced(np.zeros((case.n, case.oh, case.ow, case.oc), np.float32), case.y_gap, output=True)
    y.array[..., :case.oc] = np.nan
    kh, kw = w.shape[2:]
    operands = [y, spaced(x, case.x_gap), _native.pack_winograd(w, m, nv, stride=stride),
                *(None if extra is None else Guarded(extra) for extra in (bias, residual, slope))]
    status = run_step(
        "winograd", operands, threads, n=case.n, kh=kh, kw=kw, sh=stride, sw=stride, dh=1, dw=1, pt=case.pt, pl=case.pl,
        ih=case.ih, iw=case.iw, oh=case.oh, ow=case.ow, **place("x", case.ih, case.iw, case.ic + case.x_gap),
        **place("y", case.oh, case.ow, case.oc + case.y_gap), ic=case.ic, oc=case.oc, **place("r", case.oh, case.ow, case.oc),
        fn=unary_number(fn), alpha=alpha, beta=beta, nv=nv, m=m, tiles=tiles,
        inner=max(case.n, 1), x_outer=0, y_outer=0, r_outer=0)
    assert status == 0
    assert (y.array[..., case.oc:] == y.margin).all(), "wrote between pixels"
    return y.array[..., :case.oc].copy()


def filters(rng: np.random.Generator, case: Case, form: Form) -> np.ndarray:
    return tensor(rng, case.oc, case.ic, form.kh, form.kw) / np.float32((form.k * case.ic) ** 0.5)


@forms
@pytest.mark.parametrize("case", [*CASES, REAL], ids=str)
def test_winograd_equals_direct_convolution(isa, case, form):
    rng = np.random.default_rng(1)
    x, w, bias = tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form), tensor(rng, case.oc)
    y = winograd(case, x, w, form.m, bias=bias, stride=form.stride)
    assert_close(y, direct(x, w, case, form.stride) + bias, form.error * tolerance(form.k * case.ic), str(case))


@forms
def test_winograd_after_its_first_rounding(isa, form):
    """A residual that is added to the rounded sum, and a table that it is looked up in."""
    table = table_of_bytes()
    for case in (CASES[3], CASES[5], CASES[8]):
        rng = np.random.default_rng(2)
        x, w, bias = 9 * tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form), tensor(rng, case.oc)
        residual, factor = np.rint(20 * tensor(rng, case.n, case.oh, case.ow, case.oc)), np.full(case.oc, 0.37, np.float32)
        first = winograd(case, x, w, form.m, bias=bias, fn="RoundClip", alpha=-2, beta=253)
        twice = winograd(case, x, w, form.m, bias=bias, residual=residual, slope=factor, fn="RoundTwice", alpha=1.7, beta=2 + 256 * 3)
        np.testing.assert_array_equal(twice, second_rounding(first, residual, 1.7, 0.37, 3))
        found = winograd(case, x, w, form.m, bias=bias, slope=table, fn="RoundClip", alpha=-2, beta=253)
        np.testing.assert_array_equal(found, table[first.astype(int) % 256])


@pytest.mark.parametrize("tiles", [1, 2, 13, 14, 15, 1000])
@pytest.mark.parametrize("nv", [1, 2, 3, 4])
@forms
def test_winograd_any_block_and_tile_width(isa, form, nv, tiles):
    case = Case(2, 19, 71, 9, 14, 1, 1, 9, 14)
    rng = np.random.default_rng(2)
    x, w = tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form)
    y = winograd(case, x, w, form.m, nv, tiles, stride=form.stride)
    assert_close(y, direct(x, w, case, form.stride), form.error * tolerance(form.k * case.ic))


@forms
def test_winograd_residual_is_added_before_the_activation(isa, form):
    case = Case(2, 17, 35, 7, 9, 1, 1, 7, 9, 3, 2)
    rng = np.random.default_rng(3)
    x, w, bias = tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form), tensor(rng, case.oc)
    residual = tensor(rng, case.n, case.oh, case.ow, case.oc)
    y = winograd(case, x, w, form.m, bias=bias, residual=residual, fn="Relu", stride=form.stride)
    assert_close(y, np.maximum(direct(x, w, case, form.stride) + bias + residual, 0), form.error * tolerance(form.k * case.ic))


def elementwise(kind: str, *operands: np.ndarray, **fields: object) -> np.ndarray:
    """One unary or binary step over flat arrays."""
    y = np.empty_like(operands[0])
    strides = dict(zip(("x_strides",) if kind == "unary" else ("a_strides", "b_strides"), [[1]] * len(operands), strict=True))
    assert run_step(kind, [y, *operands], ndim=1, shape=[y.size], y_strides=[1], alpha=0.3, beta=0.7, **strides, **fields) == 0
    return y


@forms
@pytest.mark.parametrize("fn", list(_native.UNARY))
def test_winograd_every_activation_is_the_elementwise_kernel(isa, fn, form):
    case = Case(1, 6, 21, 6, 7, 1, 1, 6, 7, 0, 3)
    rng = np.random.default_rng(4)
    x, w, bias = tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form), tensor(rng, case.oc)
    plain = winograd(case, x, w, form.m, bias=bias, stride=form.stride)
    expected = elementwise("unary", plain.ravel(), fn=unary_number(fn)).reshape(plain.shape)
    np.testing.assert_array_max_ulp(winograd(case, x, w, form.m, bias=bias, fn=fn, alpha=0.3, beta=0.7, stride=form.stride), expected, 2)


@forms
def test_winograd_prelu_slope_per_channel(isa, form):
    case = Case(1, 6, 21, 6, 7, 1, 1, 6, 7, 0, 3)
    rng = np.random.default_rng(5)
    x, w, slope = tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form), tensor(rng, case.oc)
    plain = winograd(case, x, w, form.m, stride=form.stride)
    np.testing.assert_array_equal(winograd(case, x, w, form.m, slope=slope, stride=form.stride), np.where(plain < 0, plain * slope, plain))


@pytest.mark.parametrize("tiles", [2, 7, 1000], ids=["blocks", "few-blocks", "one-block"])
@forms
def test_winograd_is_bitwise_the_same_for_any_number_of_threads(isa, form, tiles):
    case = Case(2, 24, 40, 9, 10, 1, 1, 9, 10)
    rng = np.random.default_rng(6)
    x, w, bias = tensor(rng, case.n, case.ih, case.iw, case.ic), filters(rng, case, form), tensor(rng, case.oc)
    one = winograd(case, x, w, form.m, tiles=tiles, bias=bias, fn="Sigmoid", stride=form.stride)
    for threads in (2, 3):
        shared = winograd(case, x, w, form.m, tiles=tiles, threads=threads, bias=bias, fn="Sigmoid", stride=form.stride)
        np.testing.assert_array_equal(shared, one)


def rms(error: np.ndarray) -> float:
    return float(np.sqrt((error ** 2).mean()))


@forms
@pytest.mark.parametrize("ic", [16, 64, 256])
def test_winograd_rounding_error_over_that_of_the_direct_kernel(isa, ic, form):
    if ic < (STRIDED_FORMS if form.stride == 2 else FORMS)[min(form.kh, form.kw), max(form.kh, form.kw)][form.m]:
        pytest.skip("not chosen for so few channels")
    pt, pl = form.kh // 2, form.kw // 2
    out = 12 // form.stride
    case = Case(1, ic, 32, 12, 12, pt, pl, out, out)
    rng = np.random.default_rng(7)
    x, w = np.maximum(tensor(rng, 1, 12, 12, ic), 0), filters(rng, case, form)
    y = np.empty((1, out, out, 32), np.float32)
    run_step("conv", [y, x, _native.pack_conv(w, 1, 1), None, None, None], n=1, kh=form.kh, kw=form.kw,
             sh=form.stride, sw=form.stride, dh=1, dw=1, pt=pt, pl=pl, ih=12, iw=12, oh=out, ow=out,
             **place("x", 12, 12, ic), **place("y", out, out, 32), **place("r", out, out, 32),
             groups=1, ic=ic, oc=32, fn=0, alpha=0.0, beta=0.0, nv=1, band=1, block=4, split_columns=0, y_gap=0, interleaved=0, pair=0,
             halves=0)
    exact = direct(x, w, case, form.stride)
    assert rms(winograd(case, x, w, form.m, stride=form.stride) - exact) <= form.rms * rms(y - exact)


@forms
@pytest.mark.parametrize("ic", [16, 64])
def test_winograd_error_beside_one_enormous_pixel(isa, ic, form):
    """At most 16 * 2^-24 of the patch's largest |x| times the filter's sum of |w| (README); beyond the patch nothing changes."""
    case = Case(1, ic, 16, 20, 20, 0, 0, (20 - form.kh) // form.stride + 1, (20 - form.kw) // form.stride + 1)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, w = tensor(rng, 1, 20, 20, ic), tensor(rng, 16, ic, form.kh, form.kw)
        ordinary, at = winograd(case, x, w, form.m, stride=form.stride), rng.integers(20, size=2)
        x[0, at[0], at[1]] = 65504
        y, exact = winograd(case, x, w, form.m, stride=form.stride), direct(x, w, case, form.stride)
        allowed = 16 * 2.0 ** -24 * np.abs(x).max() * np.abs(w).sum((1, 2, 3))
        assert (np.abs(y - exact) <= allowed).all(), (np.abs(y - exact) / allowed).max()
        reach = [(form.m - 1) * form.stride + r if r > 1 else 1 for r in (form.kh, form.kw)]
        rows, columns = (abs(form.stride * np.arange(size) - place) >= e for size, place, e in zip((case.oh, case.ow), at, reach))
        beyond = rows[:, None] | columns
        np.testing.assert_array_equal(y[0][beyond], ordinary[0][beyond])


def test_winograd_choice_on_the_layers_it_was_measured_on(plan_for):
    """In networks, where weights come from memory: layers with many weights for few pixels take the algorithm with smaller ones."""
    def pick(kernel: tuple[int, int], ic: int, oc: int, size: int) -> tuple[int, int] | None:
        return choose_winograd(kernel, ic, oc, size, size, 1, 1)

    plan_for("sapphire_rapids")
    if _native.vector_length() == 16:
        assert pick((3, 3), 512, 512, 7) is None
        assert pick((3, 3), 512, 512, 14)[0] == 2
        assert pick((3, 3), 3, 64, 224) is None
        assert pick((3, 3), 256, 256, 14) == (2, 49)
        assert pick((1, 3), 64, 64, 56)[0] == 4
    assert pick((3, 3), 64, 64, 224)[0] == 4
    assert pick((3, 3), 64, 64, 56)[0] == 4
    assert pick((3, 3), 512, 512, 28) == (4, 49)
    assert pick((5, 5), 64, 192, 27)[0] == 3
    for kernel in ((1, 7), (7, 1)):
        assert pick(kernel, 128, 128, 17)[0] == 3 and pick(kernel, 192, 192, 17)[0] == 3


@pytest.mark.parametrize("row", ["haswell", "zen4", "sapphire_rapids"])
@pytest.mark.parametrize("threads", [1, 2, 7, 64])
@pytest.mark.parametrize("size", [1, 5, 14, 57, 224])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 3), (5, 1), (7, 1)], ids=str)
def test_winograd_choice_covers_the_map(kernel, size, threads, row, plan_for):
    plan_for(row)
    picked = choose_winograd(kernel, 64, 96, size, size, 2, threads)
    if picked is not None:
        m, tiles = picked
        assert m in FORMS[min(kernel), max(kernel)] and 1 <= tiles <= tile_count(kernel, m, 2, size, size)
        alone = choose_winograd(kernel, 64, 96, size, size, 2, 1)
        assert alone is not None and alone[0] == m, "the same bits for any number of threads"


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 3), (1, 7)], ids=str)
def test_winograd_choice_keeps_the_error_bound_with_few_channels(kernel):
    for ic in range(1, 32):
        picked = choose_winograd(kernel, ic, 64, 112, 112, 1, 1)
        assert picked is None or ic >= FORMS[kernel][picked[0]]


def test_winograd_counts_tiles_and_positions_of_the_axes_it_transforms():
    assert [(positions_of(k, 3), tile_count(k, 3, 2, 17, 10)) for k in ((1, 7), (7, 1), (5, 5))] == [(9, 136), (9, 120), (49, 48)]
    assert positions_of((3, 3), 2, 2) == 25


def test_winograd_of_a_stride_is_chosen_for_many_channels_alone(plan_for):
    plan_for("sapphire_rapids")
    picked = choose_winograd((3, 3), 64, 64, 80, 80, 1, 1, 2)
    assert picked is not None and picked[0] == 2 and picked[1] >= 14
    if _native.vector_length() == 16:
        assert choose_winograd((3, 3), 512, 512, 7, 7, 1, 1, 2) is None, "the weights take longer than the products save"
    assert choose_winograd((3, 3), 32, 64, 160, 160, 1, 1, 2) is None
    assert choose_winograd((3, 3), 64, 64, 80, 80, 1, 1, 3) is None, "no transforms"


@pytest.mark.parametrize("shape, expected", [
    (ConvShape(1, 1, 64, 64, 5, 5, 1, 1, 2, 2, 4, 4, 56, 56, 56, 56), (4, 28, 28)),
    (ConvShape(1, 1, 64, 64, 3, 3, 1, 1, 2, 4, 2, 4, 56, 56, 56, 56), (8, 28, 14)),
    (ConvShape(3, 1, 64, 64, 1, 5, 1, 1, 1, 4, 0, 8, 1, 400, 1, 400), (12, 1, 100)),
    (ConvShape(2, 1, 64, 64, 7, 1, 1, 1, 2, 9, 6, 0, 34, 17, 34, 17), (4, 17, 17)),
], ids=str)
def test_winograd_takes_the_phases_of_a_dilated_window(plan_for, shape, expected):
    plan_for("sapphire_rapids")
    picked = choose(Problem(shape, own_places(shape), 1))
    assert (picked.kind, picked.shape.n, picked.shape.oh, picked.shape.ow) == ("winograd", *expected)
