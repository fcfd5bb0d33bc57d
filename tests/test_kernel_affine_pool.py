"""The pooling step that scales, shifts and clamps x on its way to its windows, against numpy's reductions of what that gives."""
from __future__ import annotations

import numpy as np
import pytest
from images import CHANNELS, Image, run_image_step
from step_helper import Guarded, assert_close
from test_kernel_pool import AVERAGE, LP, MAX, WINDOWS, Case, expected, square

from fastcnn.fusions.normalized_conv import pack_affine

CLAMPS = {"none": (-np.inf, np.inf), "Relu": (0.0, np.inf), "Clip": (-0.25, 0.5)}


def check(case: Case, kind: int, clamp: tuple[float, float], include: int = 0, p: int = 2, block: int = 32, threads: int = 1) -> None:
    rng = np.random.default_rng(case.c)
    x, y = Image.random(rng, case.n, case.ih, case.iw, case.c), Image(case.n, *case.out, case.c, 2, output=True)
    scale, shift = rng.uniform(-2, 2, case.c).astype(np.float32), rng.standard_normal(case.c).astype(np.float32)
    fields = {f"{name}{axis}": value for name in ("k", "s", "d") for axis, value in zip("hw", getattr(case, name))}
    got = run_image_step("affine_pool", y, x, Guarded(pack_affine(scale, shift, clamp)), threads=threads, n=case.n, c=case.c, ih=case.ih,
                         iw=case.iw, oh=case.out[0], ow=case.out[1], pt=case.before[0], pl=case.before[1], pb=case.after[0],
                         pr=case.after[1], kind=kind, include_pad=include, p=p, block=block, **fields)
    wanted = np.clip(x.array.astype(np.float64) * scale + shift, *clamp)
    assert_close(got, expected(case, wanted, kind, include, p), 1e-5, str(case))


@pytest.mark.parametrize("kind, include", [(MAX, 0), (AVERAGE, 0), (AVERAGE, 1), (LP, 0)])
@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_affine_pool_windows(isa, case, kind, include):
    for block, threads in ((1, 2), (16, 1), (64, 3)):
        check(case, kind, CLAMPS["Relu"], include, block=block, threads=threads)


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("c", [*CHANNELS, 129])
def test_affine_pool_channel_tails(isa, c, clamp):
    for case in (square(2, 2, c=c, n=2), square(3, 3, 1, c=c)):
        check(case, AVERAGE, CLAMPS[clamp])
        check(case, MAX, CLAMPS[clamp], threads=2)
