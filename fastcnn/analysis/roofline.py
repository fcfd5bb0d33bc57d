"""Measures the machine's limits: multiply-adds on operands in L1, bandwidth of copies in L2 and through memory."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

import fastcnn._native as _native
from fastcnn.machine.clock import peak_gflops
from fastcnn.machine.current import current

ROWS = 256
FAR_BYTES = 192 << 20           # of the two arrays of the copy through memory
SECONDS, LIMIT = 0.1, 2.0       # of each measurement; and at most, where others take the CPUs
AGREE, NEAR = 5, 1.1            # runs that have to be so near to the shortest before that is believed


@dataclass(frozen=True)
class Roof:
    """gflops  of all threads: 2 for a multiply-add        near_gbs, far_gbs  GB/s read and written, operands in L2 and in memory"""

    threads: int
    gflops: float
    near_gbs: float
    far_gbs: float
    near_bytes: int

    def seconds(self, flops: float, near: float, far: float) -> tuple[float, float]:
        """(arithmetic, traffic): the least seconds that each takes."""
        return flops / (1e9 * self.gflops), near / (1e9 * self.near_gbs) + far / (1e9 * self.far_gbs)


@cache
def roof(threads: int) -> Roof:
    """The Roof for this number of threads, measured by the first call in half a second."""
    l2 = current().l2_bytes
    return Roof(threads, peak_gflops() * threads, threads * _copy(1, l2 // 2), _copy(threads, FAR_BYTES), int(l2 * threads))


def _copy(threads: int, nbytes: int) -> float:
    """GB/s, read plus written, of a copy step whose two arrays have this many bytes together."""
    row = nbytes // (8 * ROWS) // 16 * 16
    x, y = np.ones(ROWS * row, np.float32), np.zeros(ROWS * row, np.float32)
    given = {**dict.fromkeys(_native.step_fields()["copy"], 0), "ndim": 2, "shape": (ROWS, row), "y_strides": (row, 1),
             "x_strides": (row, 1), "elem_bytes": 4}
    program, workspace = _native.Program([("copy", (y, x), threads, given)], 0, threads, 0), _native.Workspace()
    return 1e-9 * 8 * ROWS * row / settled_seconds(lambda: program.run(workspace, []))


def settled_seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The shortest run within SECONDS, or within more time while few runs come near it: waiting for a CPU makes most runs long."""
    taken, begin = list[float](), clock()
    while True:
        start = clock()
        run()
        taken.append(clock() - start)
        least, passed = min(taken), clock() - begin
        if passed >= LIMIT or (passed >= SECONDS and sum(seconds <= NEAR * least for seconds in taken) >= AGREE):
            return least
