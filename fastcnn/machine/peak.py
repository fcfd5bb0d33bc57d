"""How fast register tiles are on this machine, by measuring: for predictions in seconds and shares of the peak."""
from __future__ import annotations

import time
from functools import cache

import numpy as np

from fastcnn import _native
from fastcnn.machine.current import current

PEAK_CHANNELS = 256                 # of the product that measures the peak: both operands stay in L1
PEAK_REPEATS = 400


def peak_gflops(least: float = 0.3) -> float:
    """FMA peak of one core as the best register tile reaches it on operands in L1."""
    best, rng = 0.0, np.random.default_rng(0)
    for nv in range(1, 5):
        mr, oc = _native.gemm_max_mr(nv), nv * _native.vector_length()
        if not mr:
            continue
        x, y = rng.random(mr * PEAK_CHANNELS, np.float32), np.empty(mr * oc, np.float32)
        packed = _native.pack_gemm_b(rng.random((oc, PEAK_CHANNELS), np.float32), False, nv)
        fields = dict.fromkeys(_native.step_fields()["conv"], 0)
        fields |= {"n": PEAK_REPEATS, "ic": PEAK_CHANNELS, "oc": oc, "iw": mr, "ow": mr, "nv": nv, "x_pixel": PEAK_CHANNELS, "y_pixel": oc}
        fields |= dict.fromkeys(("groups", "block", "kh", "kw", "sh", "sw", "dh", "dw", "ih", "oh"), 1)
        program = _native.Program([("conv", (y, x, packed, None, None, None), 1, fields)], 0, 1, 0)
        workspace = _native.Workspace()
        end = time.perf_counter() + least
        while time.perf_counter() < end:
            start = time.perf_counter()
            program.run(workspace, [])
            best = max(best, 2e-9 * PEAK_REPEATS * mr * oc * PEAK_CHANNELS / (time.perf_counter() - start))
    return best


@cache
def cycles_per_second() -> float:
    """The clock of one core under vector arithmetic, from the peak: a few milliseconds at the first call."""
    return peak_gflops(0.005) * 1e9 / (2 * current().core(_native.vector_length()).fmas * _native.vector_length())
