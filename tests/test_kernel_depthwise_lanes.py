"""The depthwise step with lanes (groups narrower than a vector) against float64, at every instruction set, and when it is chosen."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, Operands, operands, place, reference, spaced, unary
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

from fastcnn import _native
from fastcnn.convolve.depthwise import lane_tables
from fastcnn.convolve.ladder import candidates, choose
from fastcnn.convolve.lane_tables import group_tables
from fastcnn.convolve.shape import ConvShape, Problem

WINDOWS = [
    Case(1, 1, 3, 3, oh=5, ow=7, pt=1, pl=1, pb=1, pr=1, n=2, x_gap=3, y_gap=2),
    Case(1, 1, 3, 3, oh=4, ow=17, sh=2, sw=2, pt=1, pl=1, pb=0, pr=0),
    Case(1, 1, 3, 3, oh=4, ow=33, sh=2, sw=2, pt=1, pl=1),                  # as wide as what depthwise convolution reads in place
    Case(1, 1, 1, 1, oh=3, ow=9, n=2), Case(1, 1, 5, 5, oh=6, ow=9, pt=2, pl=2, pb=2, pr=2), Case(1, 1, 7, 1, oh=3, ow=5, pt=3, pb=3),
    Case(1, 1, 2, 4, oh=5, ow=8, sh=1, sw=3, dh=3, dw=2, pt=1, pl=2, pb=4, pr=1),
    Case(1, 1, 3, 3, oh=4, ow=5, pt=-1, pl=-2, pb=1, pr=0),                 # the window starts inside
    Case(1, 1, 3, 3, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5),                  # windows that see padding alone
]
# (groups, inputs, outputs of each): fewer channels than a vector, whole ones, tails, groups that end inside a vector.
GROUPS = [(2, 1, 2), (4, 1, 4), (3, 1, 8), (16, 1, 2), (33, 1, 3), (5, 2, 1), (19, 2, 1), (7, 3, 5), (16, 4, 2),
          (6, 8, 7), (12, 4, 6), (2, 1, 40)]
EPILOGUE = Case(2, 3, 3, 3, oh=5, ow=16, n=2, groups=15, pt=1, pl=1, pb=1, pr=1, y_gap=3)


def run(case: Case, data: Operands, *, threads: int = 1, bias: bool = False, residual: bool = False, slope: bool = False,
        fn: str = "None", alpha: float = 0.0, beta: float = 0.0) -> np.ndarray:
    c, m = case.groups * case.ic, case.groups * case.oc
    y = spaced(np.full((case.n, case.oh, case.ow, m), np.nan, np.float32), case.y_gap, output=True)
    extras = [Guarded(value) if wanted else None for value, wanted in ((data.bias, bias), (data.residual, residual), (data.slope, slope))]
    tables = group_tables(case.groups, case.ic, case.oc)
    assert tables is not None
    status = run_step(
        "depthwise", [y, spaced(data.x, case.x_gap), Guarded(data.w.transpose(2, 1, 3, 0)), *extras, tables], threads,
        n=case.n, kh=case.kh, kw=case.kw, sh=case.sh, sw=case.sw, dh=case.dh, dw=case.dw, pt=case.pt, pl=case.pl, ih=case.ih, iw=case.iw,
        oh=case.oh, ow=case.ow, **place("x", case.ih, case.iw, c + case.x_gap), **place("y", case.oh, case.ow, m + case.y_gap),
        **place("r", case.oh, case.ow, m), c=m, ic=case.ic, x_c=c, direct=0, tile_rows=1, fn=unary_number(fn), alpha=alpha, beta=beta)
    assert status == 0
    assert (y.array[..., m:] == y.margin).all(), "wrote between pixels"
    return y.array[..., :m].copy()


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_lanes_equal_naive(isa, window):
    for groups, ic, oc in GROUPS:
        case = replace(window, groups=groups, ic=ic, oc=oc)
        data = operands(case)
        assert_close(run(case, data), reference(case, data.x, data.w), tolerance(case.k), str(case))


def test_lanes_bias_then_residual_then_activation(isa):
    data = operands(EPILOGUE, 2)
    expected = reference(EPILOGUE, data.x, data.w) + data.bias + data.residual
    assert_close(run(EPILOGUE, data, bias=True, residual=True, fn="Relu"), np.maximum(expected, 0), tolerance(EPILOGUE.k))


@pytest.mark.parametrize("fn", ["Clip", "Tanh", "HardSwish"])
def test_lanes_activation_is_the_elementwise_kernel(isa, fn):
    data = operands(EPILOGUE, 3)
    y = run(EPILOGUE, data, bias=True, fn=fn, alpha=-0.3, beta=0.7)
    np.testing.assert_array_max_ulp(y, unary(fn, run(EPILOGUE, data, bias=True), -0.3, 0.7), 2)


def test_lanes_prelu_slope_per_channel(isa):
    data = operands(EPILOGUE, 4)
    plain = run(EPILOGUE, data, residual=True)
    np.testing.assert_array_equal(run(EPILOGUE, data, residual=True, slope=True), np.where(plain < 0, plain * data.slope, plain))


def test_lanes_are_bitwise_the_same_for_any_number_of_threads(isa):
    for case in (EPILOGUE, replace(EPILOGUE, n=1, oh=1, groups=60)):
        data = operands(case, 5)
        one = run(case, data, bias=True, fn="Tanh")
        for threads in (2, 3, 5):
            np.testing.assert_array_equal(run(case, data, bias=True, fn="Tanh", threads=threads), one)


def test_lanes_see_their_own_group_alone(isa):
    """NaN and infinities of one group stay there: nothing is multiplied by the zeros of a block diagonal."""
    case = replace(EPILOGUE, n=1)
    data = operands(case)
    data.x[..., 4], data.x[..., 9] = np.nan, np.inf                 # of groups 2 and 4
    y = run(case, data)
    assert np.isnan(y[..., 6:9]).all() and not np.isfinite(y[..., 12:15]).any()
    assert np.isfinite(np.delete(y, [*range(6, 9), *range(12, 15)], -1)).all()


def test_lanes_are_chosen_where_two_groups_fit_a_vector(isa):
    vector = _native.vector_length()
    for groups, ic, oc in ((32, 1, 2), (9, 2, 1), (6, 3, 3), (8, 1, 4), (8, 1, 8), (4, 16, 16), (5, 9, 2)):
        shape = ConvShape(1, groups, ic, oc, 3, 3, 1, 1, 1, 1, 1, 1, 9, 9, 9, 9)
        places = tuple((81 * c, 1, 9 * c, c) for c in (groups * ic, groups * oc))
        picked = choose(Problem(shape, places, 1))
        assert (picked.kind == "depthwise") == (2 * oc <= vector and ic <= 2 * oc), (groups, ic, oc)
        assert (lane_tables(picked) is not None) == (picked.kind == "depthwise")
        assert ("groups by lanes" in candidates(Problem(shape, places, 1))) == (picked.kind == "depthwise")
