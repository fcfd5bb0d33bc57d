"""The conv_compressed step and its kernels against sums in float64 of the compressed weights, at every instruction set."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_step import Case, may_pair, operands, place, reference, spaced, unary
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

from fastcnn import _native
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.compressed_gemm import BYTES, COMPRESSED_GEMM, compressed
from fastcnn.convolve.shape import WINDOW, ConvShape, Problem, own_places

ROWS = [Case(k, n) for k, n in ((1, 1), (2, 3), (7, 31), (64, 32), (521, 67), (4096, 33))]
WINDOWS = [
    Case(5, 9, ow=2), Case(64, 67, oh=5, ow=14, x_gap=1, y_gap=3), Case(130, 33, oh=2, ow=29, n=2), Case(33, 40, oh=7, ow=7),
    Case(6, 20, sh=2, sw=3, oh=4, ow=7), Case(16, 35, 3, 3, oh=7, ow=7, pt=1, pl=1, pb=1, pr=1, n=3),
    Case(7, 9, 3, 3, oh=7, ow=11, pt=1, pl=1, pb=1, pr=1, x_gap=2, y_gap=1),
    Case(6, 17, 3, 3, oh=9, ow=10, dh=2, dw=3, pt=2, pl=3, pb=2, pr=3), Case(3, 21, 7, 4, oh=6, ow=15, sh=2, sw=2, pt=3, pl=2, pb=2, pr=1),
    Case(3, 8, 3, 3), Case(2, 2, 3, 3, oh=9, ow=12, pt=4, pl=5, pb=4, pr=5),
]


def run(case: Case, weights: str, *, nv: int = 2, chunk: int = 0, threads: int = 1, bias: bool = False, residual: bool = False,
        slope: bool = False, fn: str = "None", alpha: float = 0.0, beta: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """What the step makes, and the sums it stands for; gaps and margins checked."""
    data = operands(case)
    nv = min(nv, -(-case.oc // _native.vector_length()))
    band = int(case.padded or (case.kh, case.kw) != (1, 1))
    sizes = {name: getattr(case, name) for name in (*WINDOW, "ic", "oc")}
    shape = ConvShape(groups=1, **sizes)
    chunk = chunk or case.ic
    choice = Choice("", "conv_compressed", shape, {}, (BYTES[weights], nv, chunk if case.kh * case.kw > 1 else 0))
    packed = COMPRESSED_GEMM.pack(choice, data.w)
    assert packed.shape == COMPRESSED_GEMM.packed_spec(choice, data.w.shape).shape
    y = spaced(np.full((case.n, case.oh, case.ow, case.oc), np.nan, np.float32), case.y_gap, output=True)
    extras = [Guarded(value) if wanted else None for value, wanted in ((data.bias, bias), (data.residual, residual), (data.slope, slope))]
    status = run_step("conv_compressed", [y, spaced(data.x, case.x_gap), Guarded(packed), *extras], threads, **sizes,
                      **place("x", case.ih, case.iw, case.ic + case.x_gap), **place("y", case.oh, case.ow, case.oc + case.y_gap),
                      **place("r", case.oh, case.ow, case.oc), groups=1, fn=unary_number(fn), alpha=alpha, beta=beta, nv=nv, band=band,
                      block=3, split_columns=1, y_gap=0, interleaved=0, pair=int(may_pair(case, bool(band)) and nv == 2), halves=0,
                      w_bytes=BYTES[weights], chunk=chunk)
    assert status == 0
    assert (y.array[..., case.oc:] == y.margin).all(), "wrote between pixels"
    expected = reference(case, data.x, compressed(data.w, weights))
    expected = expected + data.bias * bias + data.residual * residual
    if slope:
        expected = np.where(expected < 0, expected * data.slope, expected)
    elif fn != "None":
        expected = unary(fn, expected.astype(np.float32), alpha, beta)
    return y.array[..., :case.oc].copy(), expected


@pytest.mark.parametrize("weights", BYTES)
@pytest.mark.parametrize("nv", [1, 2])
@pytest.mark.parametrize("case", [*ROWS, *WINDOWS], ids=str)
def test_compressed_sums_of_products(isa: str, case: Case, nv: int, weights: str) -> None:
    for chunk in (0, 1, -(-case.ic // 3)):
        if chunk == 1 and case.ic > 64:
            continue
        got, expected = run(case, weights, nv=nv, chunk=chunk)
        assert_close(got, expected, tolerance(case.k), f"chunk={chunk}")


@pytest.mark.parametrize("weights", BYTES)
@pytest.mark.parametrize("case", [Case(67, 70), Case(67, 70, oh=3, ow=5, y_gap=2),
                                  Case(20, 70, 3, 3, oh=7, ow=7, pt=1, pl=1, pb=1, pr=1)], ids=str)
def test_compressed_bias_residual_and_activation(isa: str, case: Case, weights: str) -> None:
    """In chunks too: what follows the sum happens once. Threads share panels: the bits are the same."""
    for chunk in (0, 16):
        for extras in ({}, {"bias": True}, {"residual": True}, {"bias": True, "residual": True}):
            for after in ({}, {"fn": "Relu"}, {"fn": "Clip", "alpha": -0.25, "beta": 0.5}, {"fn": "HardSwish"}, {"slope": True}):
                got, expected = run(case, weights, chunk=chunk, **extras, **after)
                assert_close(got, expected, tolerance(case.k), f"{chunk} {extras} {after}")
        for threads in (2, 5):
            shared = run(case, weights, chunk=chunk, threads=threads, bias=True)[0]
            np.testing.assert_array_equal(shared, run(case, weights, chunk=chunk, bias=True)[0])


def test_compressed_weights_are_off_by_what_is_stated(isa: str) -> None:
    """1/256 of each in bfloat16, 1/254 of the channel's largest in int8; zeros stay zeros."""
    w = np.random.default_rng(0).standard_normal((9, 5, 3, 3), np.float32) * np.logspace(-6, 6, 9, dtype=np.float32)[:, None, None, None]
    w[4] = 0
    largest = np.abs(w).max(axis=(1, 2, 3), keepdims=True)
    assert (np.abs(compressed(w, "bf16") - w) <= np.abs(w) / 256).all()
    assert (np.abs(compressed(w, "int8") - w) <= largest / 254 * (1 + 1e-5)).all()
    assert not compressed(w, "int8")[4].any()


@pytest.mark.parametrize("weights", BYTES)
def test_compressed_not_a_number_stays_in_its_channel(isa: str, weights: str) -> None:
    w = np.ones((3, 4, 1, 1), np.float32)
    w[1, 2] = np.nan
    problem = Problem(ConvShape(1, 1, 4, 3, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1), (), weights=weights)
    problem = replace(problem, places=own_places(problem.shape))
    picked = COMPRESSED_GEMM.choose(problem)
    y, x = np.zeros(3, np.float32), np.ones(4, np.float32)
    strides = {f"{name}_{axis}": 0 for name in "xyr" for axis in ("image", "row", "pixel")}
    assert run_step(picked.kind, [y, x, COMPRESSED_GEMM.pack(picked, w)], **picked.shape.window, **picked.fields, **strides,
                    fn=unary_number("None"), alpha=0.0, beta=0.0) == 0
    assert np.isnan(y[1]) and y[0] == y[2]
    np.testing.assert_allclose(y[[0, 2]], 4, rtol=1e-6)
