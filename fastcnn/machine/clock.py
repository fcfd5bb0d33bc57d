"""Measures the clock and the FMA peak of one core, which turn predicted cycles into seconds and times into shares of the peak."""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

import fastcnn._native as _native

CHAIN, SHORT_CHAIN = 100_000, 20_000    # multiplications; the short one is seldom disturbed
CHAIN_CYCLES = 3                    # of each
PEAK_CHANNELS = 256                 # of the product that measures the peak: both operands stay in L1
PEAK_REPEATS = 400


def least_seconds(run: Callable[[], object], seconds: float, rounds: int = 3) -> float:
    """The shortest time of one run, in seconds, among those that fit into `seconds`, at least `rounds` of them."""
    return least_in_turn([run], seconds, rounds)[0]


def least_in_turn(runs: Sequence[Callable[[], object]], seconds: float, rounds: int = 3) -> list[float]:
    """The shortest time of each run, in seconds: they run in turn, as many rounds as fit into `seconds`, at least `rounds` of them."""
    least, end = [float("inf")] * len(runs), time.perf_counter() + seconds
    while rounds > 0 or time.perf_counter() < end:
        for k, run in enumerate(runs):
            start = time.perf_counter()
            run()
            least[k] = min(least[k], time.perf_counter() - start)
        rounds -= 1
    return least


def cycles_in_turn(runs: Sequence[Callable[[], object]], seconds: float, rounds: int = 3) -> list[float]:
    """The shortest time of each run, in cycles.

    The chain that gives the clock takes its turn with the runs: a core's clock changes with its neighbours' load, and a clock from
    another moment gave 2.9 multiply-adds a cycle to a core with two units.
    """
    chain, *others = least_in_turn([lambda: _native.multiply_chain(SHORT_CHAIN), *runs], seconds, rounds)
    return [CHAIN_CYCLES * SHORT_CHAIN * least / chain for least in others]


@cache
def cycles_per_second() -> float:
    """clock(), measured once by the first call (a few milliseconds)."""
    return clock(0.005)


def clock(seconds: float) -> float:
    """The clock of one core now, in cycles a second."""
    return CHAIN_CYCLES * CHAIN / least_seconds(lambda: _native.multiply_chain(CHAIN), seconds)


def peak_gflops(seconds: float = 0.3) -> float:
    """FMA peak of one core in GFLOP/s: what the best register tile reaches with operands in L1."""
    best = 0.0
    tiles = [(nv, _native.gemm_max_mr(nv)) for nv in range(1, 5) if _native.gemm_max_mr(nv)]
    for nv, mr in tiles:
        took = least_seconds(row(nv, mr, 1, PEAK_CHANNELS, PEAK_REPEATS), seconds / len(tiles))
        best = max(best, 2e-9 * PEAK_REPEATS * mr * nv * _native.vector_length() * PEAK_CHANNELS / took)
    return best


def row(nv: int, pixels: int, panels: int, k: int, repeats: int) -> Callable[[], object]:
    """A row of pixels, k channels each, times `panels` panels of nv vectors: a 1x1 convolution, `repeats` times on the same operands."""
    oc = panels * nv * _native.vector_length()
    rng = np.random.default_rng(0)
    packed = _native.pack_gemm_b(rng.random((oc, k), np.float32), False, nv)
    fields = {"n": repeats, "groups": 1, "ic": k, "oc": oc, "iw": pixels, "ow": pixels, "nv": nv, "x_pixel": k, "y_pixel": oc,
              "block": pixels}
    fields |= dict.fromkeys(("kh", "kw", "sh", "sw", "dh", "dw", "ih", "oh"), 1)
    return step("conv", (np.empty(pixels * oc, np.float32), rng.random(pixels * k, np.float32), packed, None, None, None), fields)


def step(kind: str, operands: tuple[np.ndarray | None, ...], fields: dict[str, int]) -> Callable[[], object]:
    """A function that runs one native step on one thread; fields that are not given are 0."""
    given = {**dict.fromkeys(_native.step_fields()[kind], 0), **fields}
    program, workspace = _native.Program([(kind, operands, 1, given)], 0, 1, 0), _native.Workspace()
    return lambda: program.run(workspace, [])
