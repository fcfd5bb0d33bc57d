"""The grouped step (several groups in a vector) against float64, at every instruction set."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, Operands, operands, place, reference, spaced, unary
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

from fastcnn import _native
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.rotated_groups import WIDTHS, rotations
from fastcnn.convolve.shape import ConvShape, Problem

WINDOWS = [
    Case(1, 1, 3, 3, oh=5, ow=7, pt=1, pl=1, pb=1, pr=1),
    Case(1, 1, 3, 3, oh=4, ow=15, n=2, x_gap=3, y_gap=2),
    Case(1, 1, 3, 3, oh=14, ow=29, pt=1, pl=1, pb=1, pr=1),
    Case(1, 1, 3, 3, oh=4, ow=17, sh=2, sw=2, pt=1, pl=1, pb=0, pr=0),
    Case(1, 1, 3, 3, oh=3, ow=8, sh=1, sw=2, pt=0, pl=2, pb=1, pr=1, n=3),
    Case(1, 1, 1, 3, oh=3, ow=13, pl=2, pr=0),
    Case(1, 1, 5, 3, oh=6, ow=5, sh=3, pt=2, pl=1, pb=2, pr=1),
    Case(1, 1, 3, 3, oh=4, ow=5, pt=-1, pl=-2, pb=1, pr=0),                 # the window starts inside
    Case(1, 1, 1, 1, oh=3, ow=31), Case(1, 1, 1, 1, oh=3, ow=9, sh=2, sw=3, pl=1, pr=1),
    Case(1, 1, 2, 5, oh=3, ow=15, pl=2, pr=2), Case(1, 1, 3, 3, oh=5, ow=16, sw=3, pt=1, pl=1, pb=1, pr=1),
    Case(1, 1, 3, 3, oh=5, ow=15, dh=2, dw=3, pt=2, pl=3, pb=2, pr=3), Case(1, 1, 3, 3, oh=5, ow=8, dh=3, sh=2, sw=2, pt=1, pl=1),
    Case(1, 1, 3, 3, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5),                  # windows that see padding alone
]
EPILOGUE = Case(1, 1, 3, 3, oh=5, ow=16, n=2, pt=1, pl=1, pb=1, pr=1, y_gap=3)


def widths() -> list[int]:
    return [width for width in (1, 2, 4, 8, 16) if width <= _native.vector_length()]


def of_width(case: Case, width: int, vectors: int = 5) -> Case:
    return replace(case, ic=width, oc=width, groups=vectors * _native.vector_length() // width)


def run(case: Case, data: Operands, *, block: int = 2, threads: int = 1, bias: bool = False, residual: bool = False, slope: bool = False,
        fn: str = "None", alpha: float = 0.0, beta: float = 0.0) -> np.ndarray:
    m = case.groups * case.oc
    y = spaced(np.full((case.n, case.oh, case.ow, m), np.nan, np.float32), case.y_gap, output=True)
    extras = [Guarded(value) if wanted else None for value, wanted in ((data.bias, bias), (data.residual, residual), (data.slope, slope))]
    weights = Guarded(rotations(data.w, _native.vector_length()))
    status = run_step(
        "grouped", [y, spaced(data.x, case.x_gap), weights, *extras], threads, n=case.n, kh=case.kh, kw=case.kw, sh=case.sh, sw=case.sw,
        dh=case.dh, dw=case.dw, pt=case.pt, pl=case.pl, ih=case.ih, iw=case.iw, oh=case.oh, ow=case.ow,
        **place("x", case.ih, case.iw, m + case.x_gap), **place("y", case.oh, case.ow, m + case.y_gap), **place("r", case.oh, case.ow, m),
        c=m, width=case.ic, block=block, fn=unary_number(fn), alpha=alpha, beta=beta)
    assert status == 0
    assert (y.array[..., m:] == y.margin).all(), "wrote between pixels"
    return y.array[..., :m].copy()


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_grouped_equals_naive(isa, window):
    for width in widths():
        case = of_width(window, width)
        data = operands(case)
        for block in (1, 3, case.oh):
            assert_close(run(case, data, block=min(block, case.oh)), reference(case, data.x, data.w), tolerance(case.k), f"width={width}")


@pytest.mark.parametrize("columns", range(1, 16))
def test_grouped_every_tile_equals_naive(isa, columns):
    for stride in (1, 2, 3):
        case = of_width(Case(1, 1, 3, 3, oh=2, ow=columns, sw=stride, pl=1, pr=1), widths()[-1], vectors=1)
        data = operands(case, 1)
        assert_close(run(case, data), reference(case, data.x, data.w), tolerance(case.k), f"stride={stride}")


def test_grouped_bias_then_residual_then_activation(isa):
    case = of_width(EPILOGUE, widths()[-1])
    data = operands(case, 2)
    expected = reference(case, data.x, data.w) + data.bias + data.residual
    assert_close(run(case, data, bias=True, residual=True, fn="Relu"), np.maximum(expected, 0), tolerance(case.k))


@pytest.mark.parametrize("fn", ["Clip", "Tanh", "HardSwish"])
def test_grouped_activation_is_the_elementwise_kernel(isa, fn):
    case = of_width(EPILOGUE, widths()[0])
    data = operands(case, 3)
    y = run(case, data, bias=True, fn=fn, alpha=-0.3, beta=0.7)
    np.testing.assert_array_max_ulp(y, unary(fn, run(case, data, bias=True), -0.3, 0.7), 2)


def test_grouped_prelu_slope_per_channel(isa):
    case = of_width(EPILOGUE, widths()[-1])
    data = operands(case, 4)
    plain = run(case, data, residual=True)
    np.testing.assert_array_equal(run(case, data, residual=True, slope=True), np.where(plain < 0, plain * data.slope, plain))


@pytest.mark.parametrize("vectors", [1, 12])
def test_grouped_is_bitwise_the_same_for_any_number_of_threads(isa, vectors):
    case = of_width(EPILOGUE, widths()[-1], vectors)
    data = operands(case, 5)
    one = run(case, data, bias=True, fn="Tanh")
    for threads in (2, 3):
        np.testing.assert_array_equal(run(case, data, bias=True, fn="Tanh", threads=threads, block=1), one)


@pytest.mark.parametrize("width", WIDTHS)
def test_grouped_is_chosen_where_groups_are_narrower_than_a_vector(isa, width):
    c, vector = 64, _native.vector_length()
    shape = ConvShape(1, c // width, width, width, 3, 3, 1, 1, 1, 1, 1, 1, 14, 14, 14, 14)
    places = ((14 * 14 * c, 1, 14 * c, c),) * 2
    assert (choose(Problem(shape, places, 1)).kind == "grouped") == (width < vector)
    assert (choose(Problem(replace(shape, kh=1, kw=1, dh=2, sw=3), places, 1)).kind == "grouped") == (width < vector)
    assert choose(Problem(replace(shape, oc=2 * width), places, 1)).kind != "grouped"
