"""The overlap_add step: windows of products added up to a transposed convolution, against sums in float64, at every instruction set."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from images import Image, run_image_step
from step_helper import Guarded, assert_close, unary_number

from fastcnn.convolve.transposed import Axis, column_runs


@dataclass(frozen=True)
class Case:
    """One value an axis: kernel, stride, dilation, leading pad, extents in and out."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    size: tuple[int, int]
    out: tuple[int, int]
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    n: int = 1
    groups: int = 1
    oc: int = 1

    def __str__(self) -> str:
        return f"k{self.kernel}s{self.stride}d{self.dilation}p{self.pad}-{self.size}to{self.out}-g{self.groups}x{self.oc}"

    def axes(self) -> list[Axis]:
        return [Axis(*values) for values in zip(self.kernel, self.stride, self.dilation, self.pad, self.size, self.out)]

    def sums(self, z: np.ndarray) -> np.ndarray:
        """z (n, ih, iw, groups, kh, kw, oc) added up, element by element."""
        y = np.zeros((self.n, *self.out, self.groups, self.oc))
        for (p, r), (q, s) in ((a, b) for a in np.ndindex(self.size[0], self.kernel[0]) for b in np.ndindex(self.size[1], self.kernel[1])):
            i, j = (at * stride + tap * dilation - pad for at, tap, stride, dilation, pad in
                    zip((p, q), (r, s), self.stride, self.dilation, self.pad))
            if 0 <= i < self.out[0] and 0 <= j < self.out[1]:
                y[:, i, j] += z[:, p, q, :, r, s]
        return y.reshape(self.n, *self.out, self.groups * self.oc)


CASES = [
    Case((1, 8), (1, 4), (1, 9), (1, 40)),                                      # whole strides
    Case((1, 64), (1, 32), (1, 7), (1, 224), pad=(0, 16), oc=2),                # runs begin within a stride
    Case((1, 10), (1, 4), (1, 6), (1, 30), oc=17),                              # a kernel of no whole strides
    Case((1, 300), (1, 70), (1, 5), (1, 580)),                                  # several vectors a run
    Case((1, 3), (1, 5), (1, 4), (1, 20), oc=3),                                # outputs that nothing reaches
    Case((4, 4), (2, 2), (5, 6), (10, 12), pad=(1, 1), oc=3, n=2),
    Case((9, 9), (3, 3), (4, 5), (12, 15), pad=(3, 3), oc=5),
    Case((3, 5), (2, 3), (4, 5), (8, 17), pad=(1, 2), dilation=(2, 2), oc=2),   # dilated: taps of a phase are apart
    Case((3, 3), (4, 6), (3, 3), (9, 13), dilation=(2, 3)),                     # phases that no tap reaches
    Case((4, 4), (2, 2), (3, 3), (8, 8), oc=4, groups=3),
    Case((2, 2), (2, 2), (3, 3), (9, 9), groups=5),                             # output_padding: a last row and column of bias
    Case((5, 5), (1, 1), (6, 6), (4, 5), pad=(3, 2), oc=2),                     # stride 1, cropped
    Case((7, 7), (2, 2), (1, 1), (2, 2), pad=(3, 3), oc=33),                    # one pixel, mostly cropped
]


def run(case: Case, joins: bool, gap: int = 0, bias: bool = True, residual: bool = False, slope: bool = False, fn: str = "None",
        threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(what the step gives, what it should)."""
    rng = np.random.default_rng(case.oc)
    width, m = case.groups * case.kernel[0] * case.kernel[1] * case.oc, case.groups * case.oc
    z, y = Image.random(rng, case.n, *case.size, width, gap=0 if width % 2 else 3), Image(case.n, *case.out, m, gap, output=True)
    b, a = (Guarded(rng.standard_normal(m).astype(np.float32)) if there else None for there in (bias, slope))
    r = Image.random(rng, case.n, *case.out, m, gap=gap) if residual else None
    rows, columns = case.axes()
    runs = column_runs(columns, joins)
    most = max(len(run.terms) for run in runs)
    table = np.zeros((len(runs), 4 + 2 * most), np.int64)
    for row, one in zip(table, runs):
        row[:4 + 2 * len(one.terms)] = [one.phase, one.phases, one.columns, len(one.terms), *np.ravel(one.terms)]
    got = run_image_step("overlap_add", y, z, table, b, r and r.buffer, a, threads=threads, n=case.n, groups=case.groups, oc=case.oc,
                         kh=rows.kernel, kw=columns.kernel, sh=rows.stride, sw=columns.stride, dh=rows.dilation, dw=columns.dilation,
                         pt=rows.pad, pl=columns.pad, ih=rows.size, iw=columns.size, oh=rows.out, ow=columns.out, runs=len(runs),
                         most=most, fn=unary_number(fn), **(r.place("r") if r else {}))
    wanted = case.sums(z.array.astype(np.float64).reshape(case.n, *case.size, case.groups, *case.kernel, case.oc))
    wanted += (b.array if b else 0) + (r.array if r else 0)
    if slope:
        wanted = np.where(wanted < 0, wanted * a.array, wanted)
    return got, {"None": wanted, "Relu": np.maximum(wanted, 0), "Tanh": np.tanh(wanted)}[fn]


@pytest.mark.parametrize("joins", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_overlap_add(isa, case, joins):
    got, wanted = run(case, joins and case.groups == 1, residual=case.n == 2, bias=case.oc != 5)
    assert_close(got, wanted, 1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_overlap_add_between_other_channels(isa, case):
    got, wanted = run(case, False, gap=5, residual=True)
    assert_close(got, wanted, 1e-6)


@pytest.mark.parametrize("joins", [True, False])
@pytest.mark.parametrize("case", CASES[1:7], ids=str)
@pytest.mark.parametrize("end", [{"fn": "Relu"}, {"fn": "Tanh"}, {"slope": True}], ids=str)
def test_overlap_add_activation(isa, case, end, joins):
    got, wanted = run(case, joins, residual=True, gap=0 if joins else 2, **end)
    assert_close(got, wanted, 1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_overlap_add_same_bits_for_any_number_of_threads(isa, case):
    alone = run(case, case.groups == 1, fn="Tanh")[0]
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(run(case, case.groups == 1, fn="Tanh", threads=threads)[0], alone)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_column_runs_have_every_column_once(case):
    for axis in case.axes():
        for joins in (True, False):
            columns = [q * axis.stride + run.phase + e for run in column_runs(axis, joins) for q in range(run.columns)
                       for e in range(run.phases)]
            assert sorted(columns) == list(range(axis.out))


def test_column_runs_are_few():
    """An inverse transform with half a window of padding has a head, one run of whole strides and a tail."""
    assert [run.phases for run in column_runs(Axis(1024, 256, 1, 512, 100, 25344), True)] == [256]
    assert [run.phases for run in column_runs(Axis(64, 32, 1, 16, 100, 3200), True)] == [16, 32, 16]
