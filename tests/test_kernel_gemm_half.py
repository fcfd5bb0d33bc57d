"""Register tiles whose last vector is half a one: float64, the bits of the whole tiles, and where the planner asks for them."""
from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, operands, reference, run_conv, unary
from step_helper import assert_close, tolerance

from fastcnn import _native
from fastcnn.convolve.implicit_gemm import IN_PLACE
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.convolve.tile import half_tiles, tile_cycles
from fastcnn.machine.current import using
from fastcnn.machine.table import ROWS

LENGTHS = (1, 2, 7, 72, 521)
SAME = {"pt": 1, "pl": 1, "pb": 1, "pr": 1}


def tiles() -> list[tuple[str, str, int, int]]:
    """(kernel, instruction set, mr, nr) of every half tile this machine can run."""
    found = [(re.match(r"fc_gemm_f32_half_(\d+)x(\d+)__", name), name, isa) for isa in _native.isas() for name in _native.kernels(isa)]
    return [(name, isa, int(match[1]), int(match[2])) for match, name, isa in found if match]


@pytest.fixture(params=tiles(), ids=lambda tile: tile[0])
def tile(request):
    """(mr, nv, nr) of each tile, its instruction set selected."""
    _, isa, mr, nr = request.param
    before = _native.current_isa()
    _native.set_isa(isa)
    yield mr, -(-nr // _native.vector_length()), nr
    _native.set_isa(before)


def widths(nr: int) -> list[int]:
    """Columns for a tile: one of the last vector, two, one less than half a vector, half."""
    half = _native.vector_length() // 2
    return sorted({nr - half + 1, nr - half + 2, nr - 1, nr})


@pytest.mark.parametrize("k", LENGTHS)
def test_half_tiles_have_the_bits_of_whole_ones(tile, k):
    mr, nv, nr = tile
    for n in widths(nr):
        case = Case(k, n, ow=mr, x_gap=3, y_gap=5)
        data = operands(case)
        y = run_conv(case, data, nv=nv, block=3, halves=True)
        assert_close(y, reference(case, data.x, data.w), tolerance(k), f"n={n}")
        np.testing.assert_array_equal(y, run_conv(case, data, nv=nv, block=3))


def test_half_tiles_with_their_epilogue(tile):
    mr, nv, nr = tile
    for n in widths(nr):
        case = Case(19, n, ow=mr, y_gap=1)
        data = operands(case, 1)
        for fn in ("None", "Relu", "Sigmoid"):
            for bias, residual in ((True, False), (False, True), (True, True)):
                y = run_conv(case, data, nv=nv, bias=bias, residual=residual, fn=fn, halves=True)
                expected = reference(case, data.x, data.w) + bias * data.bias.astype(float) + residual * data.residual.astype(float)
                assert_close(y, unary(fn, expected.astype(np.float32), 0.0, 0.0), tolerance(19), f"n={n} {fn} {bias} {residual}")


def test_half_tiles_of_windows(tile):
    mr, nv, nr = tile
    case = Case(5, nr, kh=3, kw=3, ow=mr, oh=2, **SAME)
    data = operands(case, 2)
    y = run_conv(case, data, nv=nv, bias=True, band=1, halves=True)
    assert_close(y, reference(case, data.x, data.w) + data.bias, tolerance(45))


def test_half_tiles_let_nan_and_infinity_through(tile):
    mr, nv, nr = tile
    case = Case(3, nr, ow=mr)
    data = operands(case, 4)
    data.x[0, 0, mr - 1, 1] = np.nan
    y = run_conv(case, data, nv=nv, halves=True)
    assert np.isnan(y[0, 0, mr - 1]).all() and np.isfinite(y[0, 0, :mr - 1]).all()


@pytest.mark.parametrize("oc", [1, 5, 8, 9, 20, 24, 40, 56, 72, 88, 104, 120])
@pytest.mark.parametrize("nv", [1, 2, 3, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_half_panels_behind_whole_ones(oc, nv, threads, isa):
    case = Case(6, oc, oh=3, ow=23, y_gap=2)
    data = operands(case, 5)
    y = run_conv(case, data, nv=nv, block=2, threads=threads, bias=True, halves=True)
    assert_close(y, reference(case, data.x, data.w) + data.bias, tolerance(6))
    np.testing.assert_array_equal(y, run_conv(case, data, nv=nv, bias=True))


SHAPE = ConvShape(1, 1, 72, 24, 1, 1, 1, 1, 1, 1, 0, 0, 56, 56, 56, 56)


@pytest.mark.parametrize(("name", "expected"), [("zen4", True), ("zen5", False), ("sapphire_rapids", False), ("zen5_mobile", True)])
def test_the_planner_asks_for_half_tiles_where_512_bits_are_twice_256(name, expected, isa):
    x = (0, 1, 56 * 72, 72)
    with using(ROWS[name]):
        wide = _native.vector_length() == 16
        assert half_tiles() is (wide and expected)
        problem = Problem(SHAPE, (x, x), 1)
        assert IN_PLACE.choose(problem).fields["halves"] == int(wide and expected)
        half, whole = tile_cycles(24, 56, 72, 2), tile_cycles(32, 56, 72, 2)
        assert half < whole if wide and expected else half == whole or not wide
        assert tile_cycles(replace(SHAPE, oc=32).oc, 56, 72, 1) == tile_cycles(32, 56, 72, 1)
