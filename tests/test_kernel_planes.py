"""Convolution of row-major planes to row-major planes (the conv_planes step, kernel planes) against the float64 sum."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import helper
from plane_window import Pair, Window
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

import fastcnn
from fastcnn.convolve.planes_dense import PLANES_DENSE
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.tensor import dense_strides


@dataclass(frozen=True)
class Case(Window):
    """And input and output channels, output rows of a band."""

    channels: Pair = (3, 8)
    block: int = 4

    def __str__(self) -> str:
        names = "extents", "kernel", "strides", "dilations", "before", "after", "channels"
        return "-".join("x".join(map(str, getattr(self, name))) for name in names) + f"-{self.block}"


ALL = (1, 1)
CASES = [
    *(Case((5, width), before=ALL, after=ALL) for width in (1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 39, 41, 47, 48, 49)),
    *(Case((7, width), strides=(2, 2), before=ALL, after=ALL) for width in (1, 2, 3, 15, 16, 31, 32, 33, 34, 62, 63, 64, 65, 66, 95, 97)),
    *(Case((6, 20), channels=(ic, oc), before=ALL, after=ALL) for ic in (1, 2, 5) for oc in (1, 7, 8, 9, 16, 17)),
    *(Case((6, 25), channels=(2, oc), before=ALL, after=ALL) for oc in (3, 4, 5, 11, 12, 13)),      # half an eight of channels
    *(Case((9, 21), before=ALL, after=ALL, block=block) for block in (1, 2, 3, 9)),
    Case((8, 40), (2, 2), (2, 2), channels=(8, 16)), Case((8, 40), (2, 2), after=ALL),
    Case((9, 33), (5, 5), (2, 2), before=(2, 2), after=(2, 2)),
    Case((9, 33), (1, 1), (2, 2)), Case((9, 35), (3, 3), (1, 2), before=(0, 1), after=(2, 2)), Case((9, 35), (3, 3), (3, 1), before=(5, 0)),
    Case((11, 40), (3, 3), (2, 2), (2, 3), before=(2, 4), after=(1, 1)),
    Case((11, 40), (3, 5), (1, 1), (3, 2), before=(3, 4), after=(3, 4)),
    Case((3, 5), (3, 3), before=(4, 4), after=(4, 4)), Case((4, 6), (7, 7), (2, 2), before=(3, 3), after=(3, 3)),
    Case((1, 70), (1, 9), before=(0, 4)),
]


def run(case: Case, fn: str = "None", bounds: tuple[float, float] = (0.0, 0.0), bias: bool = True, threads: int = 1,
        n: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """What the step makes of random planes, and the float64 sum."""
    rng = np.random.default_rng(0)
    (ih, iw), (kh, kw), (oh, ow), (ic, oc) = case.extents, case.kernel, case.out, case.channels
    (sh, sw), (dh, dw), (pt, pl) = case.strides, case.dilations, case.before
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, ic, ih, iw), (oc, ic, kh, kw), (oc,)))
    shape = ConvShape(n, 1, ic, oc, kh, kw, sh, sw, dh, dw, pt, pl, ih, iw, oh, ow)
    choice = PLANES_DENSE.choose(Problem(shape, (dense_strides(shape.x_extents), dense_strides(shape.y_extents)), planes=True))
    y = Guarded(np.full((n, oc, oh, ow), np.nan, np.float32), output=True)
    status = run_step("conv_planes", [y, Guarded(x), Guarded(PLANES_DENSE.pack(choice, w)), Guarded(b) if bias else None], threads, n=n,
                      ic=ic, oc=oc, kh=kh, kw=kw, sh=sh, sw=sw, dh=dh, dw=dw, pt=pt, pl=pl, ih=ih, iw=iw, oh=oh, ow=ow, fn=unary_number(fn),
                      alpha=bounds[0], beta=bounds[1], block=case.block)
    assert status == 0
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *zip(case.before, case.after)))
    wanted = np.zeros((n, oc, oh, ow)) + (b[:, None, None] if bias else 0)
    for i, j in np.ndindex(kh, kw):
        seen = padded[:, :, i * dh:i * dh + (oh - 1) * sh + 1:sh, j * dw:j * dw + (ow - 1) * sw + 1:sw]
        wanted += np.einsum("oc,nchw->nohw", w[:, :, i, j].astype(np.float64), seen)
    clamps = {"Relu": (0, np.inf), "Clip": bounds}
    return y.array.copy(), np.clip(wanted, *clamps.get(fn, (-np.inf, np.inf)))


@pytest.mark.parametrize("fn, bounds, bias", [("None", (0, 0), False), ("Relu", (0, 0), True), ("Clip", (-1, 2), True)],
                         ids=["plain", "relu", "clip"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_conv_planes(case, fn, bounds, bias, isa):
    got, wanted = run(case, fn, bounds, bias)
    assert_close(got, wanted, tolerance(case.channels[0] * case.kernel[0] * case.kernel[1]))


@pytest.mark.parametrize("case", CASES[::7], ids=str)
def test_conv_planes_same_bits_for_any_number_of_threads(case, isa):
    alone = run(case)[0]
    for threads in (2, 3, 5, 100):
        np.testing.assert_array_equal(run(case, threads=threads)[0], alone)


def test_conv_planes_infinities_stay_in_their_windows(isa):
    """Padding is not multiplied with them, nor the columns that whole vectors read beyond a row."""
    x = np.zeros((1, 1, 8, 40), np.float32)
    x[0, 0, 4, 20] = np.inf
    y = Guarded(np.zeros((1, 8, 8, 40), np.float32), output=True)
    run_step("conv_planes", [y, Guarded(x), Guarded(np.ones(72, np.float32)), None], n=1, ic=1, oc=8, kh=3, kw=3, sh=1, sw=1, dh=1,
             dw=1, pt=1, pl=1, ih=8, iw=40, oh=8, ow=40, fn=unary_number("None"), alpha=0.0, beta=0.0, block=3)
    wanted = np.zeros((8, 40), np.float32)
    wanted[3:6, 19:22] = np.inf
    np.testing.assert_array_equal(y.array[0], np.broadcast_to(wanted, (8, 8, 40)))


@pytest.mark.parametrize("ic, oc, strides", [(3, 16, 2), (8, 16, 2), (16, 32, 2), (5, 11, 1)])
def test_a_lone_layer_on_planes_gives_onnxruntimes_numbers(ic, oc, strides):
    rng = np.random.default_rng(1)
    w, b = rng.standard_normal((oc, ic, 3, 3)).astype(np.float32), rng.standard_normal(oc).astype(np.float32)
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1] * 4, strides=[strides] * 2)
    proto = model([conv], {"x": [2, ic, 32, 32]}, ["y"], {"w": w, "b": b})
    x = rng.standard_normal((2, ic, 32, 32)).astype(np.float32)
    got, = fastcnn.load(proto, threads=1).run(None, {"x": x})
    np.testing.assert_allclose(got, onnxruntime_run(proto, {"x": x})[0], atol=2e-4)
