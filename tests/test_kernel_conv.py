"""The conv step (implicit GEMM, in place and through the band) and im2col against float64, at every instruction set."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, operands, reference, run_conv, unary
from step_helper import assert_close, second_rounding, table_of_bytes, tolerance

from fastcnn import _native

DENSE = [
    Case(1, 1),
    Case(7, 15, oh=3, ow=5),
    Case(16, 16, oh=7, ow=7),
    Case(17, 33, oh=2, ow=31, n=2),
    Case(64, 67, oh=5, ow=14, x_gap=1, y_gap=3),
    Case(3, 8, 3, 3, oh=6, ow=6),
    Case(3, 8, 3, 3, oh=6, ow=6, pt=1, pl=1, pb=1, pr=1),
    Case(5, 9, 3, 3, oh=7, ow=11, pt=1, pl=1, pb=1, pr=1, n=3, x_gap=2, y_gap=1),
    Case(4, 16, 5, 5, oh=9, ow=8, pt=2, pl=2, pb=2, pr=2),
    Case(2, 31, 1, 7, oh=5, ow=13, pl=3, pr=3),
    Case(2, 31, 7, 1, oh=13, ow=5, pt=3, pb=3),
    Case(6, 5, 2, 4, oh=4, ow=9, pt=0, pl=2, pb=1, pr=1),                   # asymmetric
    Case(6, 5, 4, 2, oh=5, ow=6, pt=3, pl=0, pb=0, pr=1, n=2),
    Case(3, 4, 3, 3, oh=4, ow=5, pt=-1, pl=-2, pb=1, pr=0),                 # the window starts inside
    Case(3, 4, 3, 3, oh=4, ow=5, pt=2, pl=1, pb=-2, pr=-1),
    Case(1, 32, 3, 3, oh=5, ow=26),                                          # runs of three products, of one
    Case(1, 33, 3, 3, oh=4, ow=9, dh=2, dw=2, pt=2, pl=2, pb=2, pr=2),
    Case(8, 17, 3, 3, oh=5, ow=6, sh=2, sw=2, pt=1, pl=1, pb=0, pr=0),
    Case(3, 64, 7, 7, oh=8, ow=9, sh=2, sw=2, pt=3, pl=3, pb=2, pr=2),
    Case(5, 12, 1, 1, oh=6, ow=7, sh=3, sw=2),
    Case(4, 6, 3, 2, oh=5, ow=4, sh=3, sw=4, pt=1, pb=1),                   # strides that skip pixels
    Case(9, 10, 3, 3, oh=6, ow=5, dh=2, dw=3, pt=2, pl=3, pb=2, pr=3),
    Case(9, 10, 3, 3, oh=3, ow=4, sh=2, dh=3, dw=1, x_gap=7),
    Case(2, 3, 3, 3, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5),                   # windows that see padding alone
    Case(11, 13, 3, 3, oh=1, ow=1, pt=1, pl=1, pb=1, pr=1),
    Case(9, 40, 3, 3, oh=7, ow=7, pt=1, pl=1, pb=1, pr=1, n=2, y_gap=1),     # narrow: two rows a tile
    Case(5, 96, 3, 3, oh=6, ow=7, pt=1, pl=1, pb=1, pr=1), Case(5, 48, 3, 3, oh=2, ow=3, pt=1, pl=1, pb=1, pr=1),   # the last panel alone
    Case(9, 33, 3, 3, oh=6, ow=6, sh=2, sw=2, pt=1, pl=1),
    Case(4, 34, 5, 3, oh=4, ow=5, sh=2, pt=3, pl=1, pb=3, pr=1),
    Case(6, 64, 2, 4, oh=5, ow=4, pl=2, pr=1),
    Case(5, 16, 3, 3, oh=5, ow=3, pt=1, pl=1, pb=1, pr=1),
    Case(5, 7, 3, 3, oh=4, ow=2, pt=1, pl=1, pb=1, pr=1),
    Case(13, 33, 1, 1, oh=3, ow=7, sh=2, sw=2),
    Case(64, 33, oh=5, ow=21, n=2), Case(65, 70, oh=4, ow=30, n=2, sh=2, sw=2, y_gap=2),     # blocks that ask for the next one's pixels
]
GROUPED = [
    Case(3, 5, 3, 3, oh=5, ow=7, groups=4, pt=1, pl=1, pb=1, pr=1),
    Case(8, 16, 1, 1, oh=4, ow=6, groups=3, x_gap=2, y_gap=4),
    Case(1, 2, 3, 3, oh=6, ow=5, groups=7, sh=2, pt=1, pl=1, pb=1, pr=1, n=2),
    Case(4, 19, 2, 3, oh=5, ow=6, groups=2, dh=2, dw=2),
    Case(5, 1, 3, 3, oh=4, ow=4, groups=6, pt=1, pl=1, pb=1, pr=1),
]
RESNET = Case(64, 64, 3, 3, oh=56, ow=56, pt=1, pl=1, pb=1, pr=1)
RESNEXT = Case(4, 4, 3, 3, oh=14, ow=14, groups=32, pt=1, pl=1, pb=1, pr=1)
EPILOGUE = Case(6, 21, 3, 3, oh=5, ow=9, n=2, pt=1, pl=1, pb=1, pr=1, y_gap=3)
NARROW = [replace(EPILOGUE, ow=7, ic=8, oc=32), replace(EPILOGUE, ow=3, oc=16), replace(EPILOGUE, ow=2)]     # two rows a tile


@pytest.mark.parametrize("case", [*DENSE, *GROUPED, RESNET, RESNEXT], ids=str)
def test_conv_equals_naive(isa, case):
    data = operands(case)
    expected = reference(case, data.x, data.w)
    for nv in (1, 2, 3, 4):
        assert_close(run_conv(case, data, nv=nv, block=2), expected, tolerance(case.k), f"nv={nv}")


@pytest.mark.parametrize("case", [case for case in DENSE if case.ic == 3 and case.kw > 1], ids=str)
def test_band_from_three_planes_is_the_band_from_pixels(isa, case):
    data = operands(case)
    for block in (1, 3):
        got = run_conv(case, data, nv=2, block=block, band=1, planes=True)
        np.testing.assert_array_equal(got, run_conv(case, data, nv=2, block=block, band=1))


PLANES = [*(case for case in DENSE if case.ic > 1 and case.oc > 1 and not case.x_gap and not case.y_gap), *NARROW,
          Case(16, 33, 2, 2, oh=9, ow=35, sh=2, sw=2, n=2), Case(17, 16, 3, 3, oh=5, ow=48, pt=1, pl=1, sh=2, sw=2)]


@pytest.mark.parametrize("case", PLANES, ids=str)
def test_planes_on_either_side_are_the_same_bits_as_pixels(isa, case):
    case = replace(case, x_gap=0, y_gap=0)
    data, extras = operands(case), {"nv": 2, "band": 1, "bias": True, "residual": True}
    for fn, slope in (("Relu", False), ("Tanh", False), ("None", True)):
        pixels = run_conv(case, data, fn=fn, slope=slope, **extras)
        for block, split in ((1, 0), (2, 0), (1, 1), (case.oh, 0)):
            for threads in (1, 3):
                for x, y in ((True, False), (False, True), (True, True)):
                    got = run_conv(case, data, fn=fn, slope=slope, block=block, split_columns=split, threads=threads, planes=x, y_planes=y,
                                   **extras)
                    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize("case", [*DENSE, *GROUPED, RESNEXT], ids=str)
def test_im2col_equals_naive(isa, case):
    data = operands(case)
    expected = reference(case, data.x, data.w)
    for nv in (1, 2, 4):
        assert_close(run_conv(case, data, "im2col", nv=nv), expected, tolerance(case.k), f"nv={nv}")


@pytest.mark.parametrize("case", [c for c in [*DENSE, *GROUPED] if not c.padded], ids=str)
def test_conv_band_and_in_place_agree_with_naive(isa, case):
    data = operands(case, 1)
    expected = reference(case, data.x, data.w)
    for band in (0, 1):
        for block in (1, 3, 1000):
            y = run_conv(case, data, band=band, block=min(block, case.oh) if band else block, nv=2)
            assert_close(y, expected, tolerance(case.k), f"band={band} block={block}")


@pytest.mark.parametrize("kind", ["conv", "im2col"])
@pytest.mark.parametrize("case", [EPILOGUE, replace(EPILOGUE, groups=3), *NARROW], ids=str)
def test_conv_bias_then_residual_then_activation(isa, case, kind):
    data = operands(case, 2)
    y = run_conv(case, data, kind, nv=2, bias=True, residual=True, fn="Relu", block=2)
    expected = reference(case, data.x, data.w) + data.bias + data.residual
    assert_close(y, np.maximum(expected, 0), tolerance(case.k))


@pytest.mark.parametrize("kind", ["conv", "im2col"])
@pytest.mark.parametrize("fn", list(_native.UNARY))
def test_conv_every_activation_is_the_elementwise_kernel(isa, fn, kind):
    data = operands(EPILOGUE, 3)
    plain = run_conv(EPILOGUE, data, kind, nv=2, bias=True, block=2)
    y = run_conv(EPILOGUE, data, kind, nv=2, bias=True, block=2, fn=fn, alpha=0.3, beta=0.7)
    np.testing.assert_array_max_ulp(y, unary(fn, plain, 0.3, 0.7), 2)


@pytest.mark.parametrize("fn, alpha, beta", [("RoundClip", -2.0, 3.0), ("RoundTwice", 1.7, 2.0 + 256 * 3)])
def test_conv_rounds_to_whole_numbers(isa: str, fn: str, alpha: float, beta: float) -> None:
    """Those of what it stores without, in tiles of every width."""
    for case in (EPILOGUE, replace(EPILOGUE, ic=60, oc=70, ow=17), *NARROW):
        data = operands(case, 7)
        for nv in (1, 2, 3, 4):
            once = fn == "RoundClip"        # a residual is added before it
            plain = run_conv(case, data, nv=nv, bias=True, residual=once)
            rounded = run_conv(case, data, nv=nv, bias=True, residual=once, fn=fn, alpha=alpha, beta=beta)
            np.testing.assert_array_equal(rounded, unary(fn, plain, alpha, beta))


def test_conv_after_its_first_rounding(isa: str) -> None:
    """A residual that is added to the rounded sum, a table that it is looked up in: tiles of every width, pairs of rows, through a band."""
    table = table_of_bytes()
    for case in (EPILOGUE, replace(EPILOGUE, ic=60, oc=70, ow=17), replace(EPILOGUE, groups=3), *NARROW):
        data = operands(case, 7)
        data = replace(data, x=8 * data.x, residual=np.rint(20 * data.residual))
        for nv in (1, 2, 3, 4):
            first = run_conv(case, data, nv=nv, bias=True, fn="RoundClip", alpha=-2, beta=253)
            twice = run_conv(case, data, nv=nv, bias=True, residual=True, slope=np.full(case.groups * case.oc, 0.37, np.float32),
                             fn="RoundTwice", alpha=1.7, beta=2 + 256 * 3, block=2)
            np.testing.assert_array_equal(twice, second_rounding(first, data.residual, 1.7, 0.37, 3))
            found = run_conv(case, data, nv=nv, bias=True, slope=table, fn="RoundClip", alpha=-2, beta=253, block=2)
            np.testing.assert_array_equal(found, table[first.astype(int) % 256])


@pytest.mark.parametrize("kind", ["conv", "im2col"])
@pytest.mark.parametrize("groups", [1, 3])
def test_conv_prelu_slope_per_channel(isa, groups, kind):
    case = replace(EPILOGUE, groups=groups)
    data = operands(case, 4)
    plain = run_conv(case, data, kind, nv=2, residual=True)
    y = run_conv(case, data, kind, nv=2, residual=True, slope=True)
    np.testing.assert_array_equal(y, np.where(plain < 0, plain * data.slope, plain))


@pytest.mark.parametrize("split_columns", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize("case", [EPILOGUE, replace(EPILOGUE, groups=2), *NARROW, Case(33, 100, oh=5, ow=29, n=2),
                                  Case(3, 70, 3, 3, oh=1, ow=1)], ids=str)
def test_conv_is_bitwise_the_same_for_any_number_of_threads(isa, case, split_columns):
    data = operands(case, 5)
    one = run_conv(case, data, nv=2, bias=True, fn="Tanh")
    for threads in (1, 2, 3):
        y = run_conv(case, data, nv=2, bias=True, fn="Tanh", split_columns=split_columns, threads=threads, block=2)
        np.testing.assert_array_equal(y, one)


@pytest.mark.parametrize("case", [EPILOGUE, replace(EPILOGUE, groups=2)], ids=str)
def test_im2col_is_bitwise_the_same_for_any_number_of_threads(isa, case):
    data = operands(case, 6)
    one = run_conv(case, data, "im2col", nv=2, bias=True)
    for threads in (2, 3):
        np.testing.assert_array_equal(run_conv(case, data, "im2col", nv=2, bias=True, threads=threads), one)


@pytest.mark.parametrize(("pads", "sh"), [((1, 1), 1), ((2, 0), 1), ((0, 2), 2), ((-1, 1), 1), ((3, 3), 3)])
def test_narrow_rows_of_padding_read_in_place(pads: tuple[int, int], sh: int, isa: str) -> None:
    """1x1 on rows so narrow that two make a tile: rows in padding are the bias, and what lies before and after x is not read."""
    v = _native.vector_length()
    for ow in (2, 3, 5, 7):
        for oc, nv in ((5 * v, 3), (2 * v, 2)):
            case = Case(3, oc, 1, 1, oh=7, ow=ow, sh=sh, pt=pads[0], pb=pads[1])
            data = operands(case, seed=ow)
            y = run_conv(case, data, nv=nv, band=0, block=100, bias=True)
            assert_close(y, reference(case, data.x, data.w) + data.bias, tolerance(case.k), f"{ow} {oc}")
