"""Depthwise convolution of row-major planes (the depthwise_planes step, kernels depthwise_rows) against the float64 sum."""
from __future__ import annotations

import numpy as np
import pytest
from plane_window import Pair, Window
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

CASES = [
    Window((9, 64), before=(1, 1), after=(1, 1)),
    Window((8, 57), before=(1, 1), after=(1, 1)),
    Window((11, 113), strides=(2, 2), before=(1, 1), after=(1, 1)),
    Window((6, 33), (5, 5), before=(2, 2), after=(2, 2)),
    Window((12, 28), (7, 7), before=(3, 3), after=(3, 3)),
    Window((9, 130), (5, 5), (2, 2), before=(2, 2), after=(2, 2)),
    Window((13, 40), (3, 3), (1, 1), (2, 3), (2, 3), (2, 3)),
    Window((7, 26), (4, 6), (1, 2), (1, 2), (3, 1), (0, 7)),
    Window((10, 31), (2, 3), (3, 1), before=(0, 2), after=(1, 0)),
    Window((1, 90), (1, 9), before=(0, 4), after=(0, 4)),
    Window((5, 16), (1, 1)),
    Window((2, 3), (3, 3), before=(5, 5), after=(5, 5)),              # windows of padding alone
    Window((3, 1), (3, 3), (2, 2), before=(1, 1), after=(1, 1)),
    Window((56, 56), before=(1, 1), after=(1, 1)),
    Window((17, 200), before=(1, 1), after=(1, 1)),                   # bands of fewer rows than the plane
    Window((40, 400), (5, 5), before=(2, 2), after=(2, 2)),
    Window((31, 250), (3, 3), (2, 2), before=(1, 1), after=(1, 1)),
    Window((30, 131), (7, 7), (2, 2), before=(3, 3), after=(2, 2)),
    *(Window((7, width), (k, k), (s, s), before=(k // 2, k // 2), after=(k // 2, k // 2))
      for k in (3, 5, 7) for s in (1, 2) for width in (15, 16, 17, 31, 48, 63, 65)),
    *(Window((height, 50), (k, k), before=(k // 2, k // 2), after=(k // 2, k // 2)) for k in (3, 5) for height in (1, 2, 3, 4, 5)),
    Window((9, 37), (3, 3), before=(1, 1), after=(1, 3)),             # rows that roll, with more outputs than inputs
    Window((9, 37), (5, 5), before=(2, 2), after=(2, 0)),
    *(Window((height, width), (3, 3), (2, 2), before=before, after=after)         # output rows of one vector
      for height, width in ((28, 28), (1, 32), (2, 2), (6, 9), (13, 14)) for before, after in (((0, 1), (2, 2)), ((3, 2), (1, 1)))),
]


def run(case: Window, fn: str = "None", bounds: Pair = (0, 0), bias: bool = True, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng, n, c = np.random.default_rng(sum(case.extents)), 2, 3
    (ih, iw), (kh, kw), (oh, ow) = case.extents, case.kernel, case.out
    (sh, sw), (dh, dw), (pt, pl) = case.strides, case.dilations, case.before
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, c, ih, iw), (c, kh, kw), (c,)))
    y = Guarded(np.full((n, c, oh, ow), np.nan, np.float32), output=True)
    status = run_step("depthwise_planes", [y, Guarded(x), Guarded(w), Guarded(b) if bias else None], threads, n=n, c=c, kh=kh, kw=kw, sh=sh,
                      sw=sw, dh=dh, dw=dw, pt=pt, pl=pl, ih=ih, iw=iw, oh=oh, ow=ow, fn=unary_number(fn), alpha=bounds[0], beta=bounds[1])
    assert status == 0
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *zip(case.before, case.after)))
    wanted = np.zeros((n, c, oh, ow)) + (b[:, None, None] if bias else 0)
    for i, j in np.ndindex(kh, kw):
        wanted += w[:, i, j, None, None] * padded[:, :, i * dh:i * dh + (oh - 1) * sh + 1:sh, j * dw:j * dw + (ow - 1) * sw + 1:sw]
    clamps = {"Relu": (0, np.inf), "Clip": bounds}
    return y.array.copy(), np.clip(wanted, *clamps.get(fn, (-np.inf, np.inf)))


@pytest.mark.parametrize("fn, bounds, bias", [("None", (0, 0), False), ("Relu", (0, 0), True), ("Clip", (-1, 2), True)],
                         ids=["plain", "relu", "clip"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_depthwise_planes(case, fn, bounds, bias, isa):
    got, wanted = run(case, fn, bounds, bias)
    assert_close(got, wanted, tolerance(case.kernel[0] * case.kernel[1]))


@pytest.mark.parametrize("case", [*CASES[:6], Window((12, 14), (5, 5), before=(2, 2), after=(2, 2)),
                                  Window((11, 20), before=(1, 1), after=(1, 1)),
                                  Window((11, 14), (3, 3), (2, 2), before=(1, 1), after=(1, 1))], ids=str)
def test_depthwise_planes_same_bits_for_any_number_of_threads(case, isa):
    alone = run(case)[0]
    for threads in (2, 3, 5, 100):
        np.testing.assert_array_equal(run(case, threads=threads)[0], alone)


def test_depthwise_planes_infinities_stay_in_their_windows(isa):
    """Padding and the weights beyond a window's rows are not multiplied with them."""
    x = np.zeros((1, 1, 8, 40), np.float32)
    x[0, 0, 4, 20] = np.inf
    y = Guarded(np.zeros((1, 1, 8, 40), np.float32), output=True)
    run_step("depthwise_planes", [y, Guarded(x), Guarded(np.ones((1, 3, 3), np.float32)), None], n=1, c=1, kh=3, kw=3, sh=1, sw=1, dh=1,
             dw=1, pt=1, pl=1, ih=8, iw=40, oh=8, ow=40, fn=unary_number("None"), alpha=0.0, beta=0.0)
    wanted = np.zeros((8, 40), np.float32)
    wanted[3:6, 19:22] = np.inf
    np.testing.assert_array_equal(y.array[0, 0], wanted)
