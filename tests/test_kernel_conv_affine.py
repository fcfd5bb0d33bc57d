"""The conv step that scales, shifts and clamps x on its way to the band, against the naive convolution of what that gives."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, operands, reference, run_conv
from step_helper import assert_close, tolerance

from fastcnn.fusions.normalized_conv import pack_affine

CASES = [
    Case(64, 32, oh=5, ow=14),
    Case(35, 17, oh=7, ow=7, x_gap=5, y_gap=3),
    Case(1, 1, oh=1, ow=1),
    Case(16, 40, oh=3, ow=29, n=2),
    Case(24, 20, 3, 3, oh=6, ow=9, pt=1, pl=1, pb=1, pr=1),
    Case(8, 6, 3, 2, oh=5, ow=8, sh=2, sw=2, groups=3, pl=1, x_gap=2),
]
CLAMPS = {"none": (-np.inf, np.inf), "Relu": (0.0, np.inf), "Clip": (-0.25, 0.5)}


def affine_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    rng, c = np.random.default_rng(3), case.groups * case.ic
    return rng.uniform(-2, 2, c), rng.standard_normal(c)


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_conv_of_scaled_and_shifted_input(case: Case, clamp: str, isa: str) -> None:
    data, (scale, shift) = operands(case), affine_of(case)
    packed = pack_affine(scale, shift, CLAMPS[clamp])
    scale, shift = (v.astype(np.float32).astype(np.float64) for v in (scale, shift))
    x = np.clip(data.x * scale + shift, *CLAMPS[clamp])
    expected = reference(case, x, data.w) + data.bias + data.residual
    for nv, block, threads, split in ((1, 1, 1, 0), (2, 3, 3, 0), (2, 100, 2, 1)):
        actual = run_conv(case, data, nv=nv, band=1, block=block, threads=threads, split_columns=split, bias=True, residual=True,
                          affine=packed)
        assert_close(actual, expected, 4 * tolerance(case.k), f"nv={nv} block={block} threads={threads} split={split}")


def test_rounded_input(isa: str) -> None:
    """As of the rounded values themselves."""
    for case in CASES:
        data, (scale, shift) = operands(case), affine_of(case)
        scaled = data.x.astype(np.float64) * (9 * scale).astype(np.float32) + shift.astype(np.float32)
        whole = replace(data, x=np.rint(np.clip(scaled, -3, 11)).astype(np.float32))
        got = run_conv(case, data, nv=2, band=1, block=2, affine=pack_affine(9 * scale, shift, (-3, 11), True))
        np.testing.assert_array_equal(got, run_conv(case, whole, nv=2, band=1, block=2))


def test_rounded_planes(isa: str) -> None:
    """Three planes times one factor, rounded on the way to the band; padding stays 0."""
    for case in (Case(3, 20, 3, 3, oh=6, ow=9, sh=2, sw=2, pt=1, pl=1, pb=1, pr=1, n=2),
                 Case(3, 33, 7, 7, oh=5, ow=18, pt=3, pl=3, pb=3, pr=3)):
        data = operands(case)
        whole = replace(data, x=np.clip(np.rint(data.x * np.float32(9.7)), -17, 11))
        affine = pack_affine(np.full(3, 9.7), np.zeros(3), (-17, 11), True)
        for threads in (1, 3):
            got = run_conv(case, data, nv=2, band=1, block=2, planes=True, affine=affine, threads=threads)
            np.testing.assert_array_equal(got, run_conv(case, whole, nv=2, band=1, block=2, planes=True))


def test_conv_affine_is_bitwise_the_same_for_any_number_of_threads(isa: str) -> None:
    case = CASES[0]
    data, packed = operands(case), pack_affine(*affine_of(case), (0.0, np.inf))
    results = [run_conv(case, data, nv=2, band=1, block=2, threads=threads, split_columns=split, affine=packed).tobytes()
               for threads in (1, 2, 3) for split in (0, 1)]
    assert len(set(results)) == 1
