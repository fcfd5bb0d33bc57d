"""Pooling of row-major planes (the pool_planes step, kernels pool_rows) against numpy's reduction of each window."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from step_helper import Guarded, assert_close, run_step

MAX, AVERAGE = 0, 1
Axes = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """Three axes each: extents, kernel, stride, dilation, padding before and after; `more` windows past what fits (ceil_mode)."""

    extents: Axes
    kernel: Axes
    strides: Axes = (1, 1, 1)
    dilations: Axes = (1, 1, 1)
    before: Axes = (0, 0, 0)
    after: Axes = (0, 0, 0)
    more: int = 0

    @property
    def out(self) -> Axes:
        axes = zip(self.extents, self.kernel, self.strides, self.dilations, self.before, self.after)
        return tuple((n + b + a - d * (k - 1) - 1) // s + 1 + self.more for n, k, s, d, b, a in axes)

    def taps(self, axis: int, at: int) -> tuple[list[int], int]:
        """Positions of a window inside the plane, and how many lie inside the padded extent."""
        start = at * self.strides[axis] - self.before[axis]
        every = [start + k * self.dilations[axis] for k in range(self.kernel[axis])]
        end = self.extents[axis]
        return [t for t in every if 0 <= t < end], sum(-self.before[axis] <= t < end + self.after[axis] for t in every)


CASES = [
    Case((1, 7, 9), (1, 2, 2), (1, 2, 2)),
    Case((1, 8, 40), (1, 3, 3), (1, 1, 1), before=(0, 1, 1), after=(0, 1, 1)),
    Case((1, 9, 67), (1, 3, 3), (1, 2, 2), before=(0, 1, 1), after=(0, 1, 1)),
    Case((4, 6, 33), (2, 2, 2), (2, 2, 2)),
    Case((5, 7, 31), (3, 3, 3), (2, 2, 2), before=(1, 1, 1), after=(1, 1, 1)),
    Case((3, 9, 35), (2, 3, 4), (1, 3, 2), (1, 2, 3), (1, 2, 4), (0, 1, 5)),
    Case((1, 13, 13), (1, 13, 13)),
    Case((1, 5, 50), (1, 1, 5), (1, 1, 2), before=(0, 0, 4), after=(0, 0, 0)),
    Case((1, 6, 34), (1, 3, 3), (1, 2, 2), after=(0, 1, 1), more=1),
    Case((1, 2, 2), (1, 3, 3), before=(0, 5, 5), after=(0, 5, 5)),       # windows of padding alone
]


def run(case: Case, kind: int, include: int = 0, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(sum(case.extents)).standard_normal((3, *case.extents)).astype(np.float32) - 1
    y = Guarded(np.full((3, *case.out), np.nan, np.float32), output=True)
    status = run_step("pool_planes", [y, Guarded(x)], threads, planes=3, kernel=case.kernel, strides=case.strides, dilations=case.dilations,
                      before=case.before, after=case.after, **{"in": case.extents}, out=case.out, kind=kind, include_pad=include)
    assert status == 0
    wanted = np.zeros(y.array.shape)
    for at in np.ndindex(*case.out):
        taps, counted = zip(*(case.taps(axis, i) for axis, i in enumerate(at)))
        window = x.astype(np.float64)[:, taps[0]][:, :, taps[1]][:, :, :, taps[2]]
        if kind == MAX:
            wanted[(slice(None), *at)] = window.max((1, 2, 3), initial=-np.inf)
        else:
            wanted[(slice(None), *at)] = window.sum((1, 2, 3)) / max(np.prod(counted) if include else window[0].size, 1)
    return y.array.copy(), wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.extents}k{case.kernel}s{case.strides}".replace(" ", ""))
def test_pool_planes_equals_numpy(isa, case):
    got, wanted = run(case, MAX)
    assert_close(got, wanted, 0.0)
    for include in (0, 1):
        got, wanted = run(case, AVERAGE, include)
        assert_close(got, wanted, 3e-6, f"include={include}")


def test_pool_planes_of_any_width(isa):
    for width in range(1, 40):
        for stride in (1, 2):
            case = Case((1, 4, width), (1, 3, 3), (1, stride, stride), before=(0, 1, 1), after=(0, 1, 1))
            for kind in (MAX, AVERAGE):
                got, wanted = run(case, kind)
                assert_close(got, wanted, 3e-6)


def test_pool_planes_same_bits_for_any_number_of_threads(isa):
    for kind in (MAX, AVERAGE):
        alone = run(CASES[4], kind, 1)[0]
        for threads in (2, 5):
            np.testing.assert_array_equal(run(CASES[4], kind, 1, threads)[0], alone)
