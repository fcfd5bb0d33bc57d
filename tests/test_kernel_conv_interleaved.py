"""Two groups of one and a half vectors as one tile (interleaved: lace, gemm): float64, and the bits of the tiles that take one group."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, operands, reference, run_conv, unary
from step_helper import assert_close, tolerance

from fastcnn import _native
from fastcnn.convolve import joined_groups, ladder, regions
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.shape import ConvShape, Problem

SAME = {"pt": 1, "pl": 1, "pb": 1, "pr": 1}
# ic and oc in half vectors
CASES = [Case(3, 3, 3, 3, oh=7, ow=7, groups=2, **SAME), Case(3, 3, 3, 3, oh=14, ow=14, groups=6, **SAME),
         Case(3, 3, 3, 3, oh=5, ow=28, n=2, groups=2, x_gap=3, y_gap=1, **SAME), Case(1, 3, 1, 1, oh=3, ow=31, groups=4),
         Case(2, 3, 3, 3, oh=6, ow=9, groups=4, sh=2, sw=2, **SAME), Case(3, 3, 5, 2, oh=4, ow=6, groups=2, pt=3, pl=0, pb=1, pr=1),
         Case(3, 3, 3, 3, oh=5, ow=8, groups=2, dh=2, dw=3, pt=2, pl=3, pb=2, pr=3), Case(3, 3, 3, 3, oh=1, ow=1, groups=2, **SAME),
         Case(4, 3, 3, 3, oh=4, ow=10, groups=2, pt=-1, pl=2, pb=0, pr=-1)]
NV = joined_groups.NV


def whole(case: Case) -> Case:
    """The case with half vectors as channels; skipped where a vector has no half."""
    half = _native.vector_length() // 2
    if not half:
        pytest.skip("one lane")
    return replace(case, ic=case.ic * half, oc=case.oc * half)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("block", "threads"), [(1, 1), (3, 2), (100, 3)])
def test_interleaved_groups(case: Case, block: int, threads: int, isa: str) -> None:
    case = whole(case)
    data = operands(case)
    y = run_conv(case, data, nv=NV, band=1, block=block, threads=threads, bias=True, interleaved=True)
    assert_close(y, reference(case, data.x, data.w) + data.bias, tolerance(case.k))
    np.testing.assert_array_equal(y, run_conv(case, data, nv=1, band=1, block=2, bias=True))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("fn", "slope"), [("None", False), ("Relu", False), ("Sigmoid", False), ("None", True)])
def test_interleaved_groups_with_their_epilogue(bias: bool, residual: bool, fn: str, slope: bool, isa: str) -> None:
    case = whole(Case(3, 3, 3, 3, oh=5, ow=11, groups=4, y_gap=2, **SAME))
    data = operands(case, 3)
    y = run_conv(case, data, nv=NV, band=1, block=2, bias=bias, residual=residual, slope=slope, fn=fn, interleaved=True)
    expected = reference(case, data.x, data.w) + bias * data.bias.astype(float) + residual * data.residual.astype(float)
    expected = np.where(expected < 0, expected * data.slope, expected) if slope else unary(fn, expected.astype(np.float32), 0.0, 0.0)
    assert_close(y, expected, tolerance(case.k))


def test_an_infinity_in_one_group_stays_there(isa: str) -> None:
    case = whole(Case(3, 3, 3, 3, oh=4, ow=4, groups=2, **SAME))
    data = operands(case)
    data.x[0, 1, 1, 0] = np.inf
    y = run_conv(case, data, nv=NV, band=1, interleaved=True)
    assert not np.isfinite(y[..., :case.oc]).all() and np.isfinite(y[..., case.oc:]).all()


def shape_of(groups: int, channels: int, side: int, stride: int = 1) -> ConvShape:
    return ConvShape(1, groups, channels, channels, 3, 3, stride, stride, 1, 1, 1, 1, stride * side, stride * side, side, side)


def test_groups_of_one_and_a_half_vectors_are_interleaved_and_an_odd_one_comes_last(isa: str) -> None:
    half = _native.vector_length() // 2
    if not half:
        pytest.skip("one lane")
    shape = shape_of(14, 3 * half, 7, 2)
    x = (0, 1, shape.iw * shape.groups * shape.ic, shape.groups * shape.ic)
    picked = choose(Problem(shape, (x, x), 1))
    assert picked.fields["interleaved"] and picked.shape.groups == 7 and picked.shape.macs == shape.macs
    assert regions.group_regions(shape) == [(0, 14)]
    assert regions.group_regions(replace(shape, groups=37)) == [(0, 36), (36, 1)]
    assert ladder.cycles(picked, 1) < 7 * ladder.cycles(choose(Problem(replace(shape, groups=2, oc=4 * half), (x, x), 1)), 1)


def test_large_groups_run_alone_by_winograd(isa: str) -> None:
    vector = _native.vector_length()
    assert regions.group_regions(shape_of(3, max(2 * vector, 32), 56)) == [(0, 1), (1, 1), (2, 1)]
    assert regions.group_regions(shape_of(1, 64, 56)) == [(0, 1)]
    assert regions.group_regions(shape_of(32, 1, 56)) == [(0, 32)]                       # depthwise
    assert regions.group_regions(shape_of(32, 2 * vector, 3)) == [(0, 32)]               # steps too small
    assert regions.group_regions(shape_of(4, 2 * vector, 56, 2)) == [(0, 4)]             # stride 2
