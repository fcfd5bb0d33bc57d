"""How a transposed convolution is computed: as one convolution a phase of the output lattice, or as one product and overlapping sums.

A phase is the outputs q*stride + phase of an axis: they read the same kernel elements, so they are a convolution of stride 1 of their own.
With few output channels the vectors of a phase are nearly empty, and long strides make many phases. The product instead multiplies each
input pixel by all taps of all output channels, which fill vectors, and then adds up the overlaps (fastcnn_c/ops/convolution/overlap_add.c).
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import gcd

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.shape import NOWHERE, ConvShape, Problem
from fastcnn.ir.record import dataclass, replace
from fastcnn.machine.current import cached, current

# Cycles: of a phase beside its arithmetic, a step of its own; of an output row of the sums, a column of a run, a vector that is added.
STEP_CYCLES, ROW_CYCLES, COLUMN_CYCLES, SUM_CYCLES = 400, 200, 3, 1.5
# The product must take at most so much of the phases' time. Of 138 layers of 16 to 512 channels to 1 to 256, kernels of 2x2 to 16x16 and
# 4 to 1024, the rule then picks what takes 0.2 % more time than the quicker of the two on average (AVX2 0.8 %), at most 9 %, where phases
# alone take up to 18 times as long: 256 to 1, k1024 s256 1.99 -> 0.10 ms, 64 to 1, k4 s2 0.083 -> 0.022; 56x56, 4x4 stride 2, 64 to 4
# 0.349 -> 0.127, but 64 to 64 0.908 -> 2.09 (2026-11-29, Zen 5, one thread, warm).
WORTH_IT = 0.9
# Narrower maps are decided as if they had so many columns: a model that sees all widths keeps one form, and one copy of its weights.
LEAST_COLUMNS = 16


@dataclass(frozen=True)
class Axis:
    """Kernel, stride, dilation, leading pad, extents in and out of a transposed convolution along one axis."""

    kernel: int
    stride: int
    dilation: int
    pad: int
    size: int
    out: int


@dataclass(frozen=True)
class Phase:
    """Output positions q*stride + phase of one axis as a stride-1 convolution.

    taps    its kernel elements, evenly spaced and descending; `gap` input positions apart
    before  leading pad                count   how many positions
    """

    taps: tuple[int, ...]
    gap: int
    before: int
    count: int


def taps_of(axis: Axis, position: int) -> range:
    """The kernel elements k that reach an output: stride divides position + pad - k*dilation."""
    common = gcd(axis.dilation, axis.stride)
    if (position + axis.pad) % common:
        return range(0)
    step = axis.stride // common
    first = (position + axis.pad) // common * pow(axis.dilation // common, -1, step) % step
    return range(first, axis.kernel, step)


def phase(axis: Axis, number: int) -> Phase:
    """Which kernel elements k reach position o = q*stride + number from inputs i = (o + pad - k*dilation) / stride.

    The inputs that successive elements read differ by -gap, so the elements go in reverse order. When no element reaches the
    phase, one element that always reads padding stands in: the result is the bias.
    """
    count, taps = -(-(axis.out - number) // axis.stride), taps_of(axis, number)
    if not taps:
        return Phase((0,), 1, NOWHERE, count)
    starts = [(number + axis.pad - k * axis.dilation) // axis.stride for k in taps]
    gap = starts[0] - starts[1] if len(taps) > 1 else 1
    return Phase(tuple(taps[::-1]), gap, -starts[-1], count)


def phases(axis: Axis) -> list[Phase]:
    """All phases of an axis that have outputs."""
    return [phase(axis, number) for number in range(min(axis.stride, axis.out))]


@dataclass(frozen=True)
class Run:
    """Columns q*stride + phase + e, e < phases and q < columns, get tap + e of input q + shift, for each (tap, shift) of terms."""

    phase: int
    phases: int
    columns: int
    terms: tuple[tuple[int, int], ...]


@lru_cache(maxsize=256)
def column_runs(axis: Axis, joins: bool) -> list[Run]:
    """Runs that cover every output column once. joins: neighbouring columns that add neighbouring taps of the same inputs share a run.

    A run begins where the taps jump, which for most leading pads is inside a stride; columns before and after whole strides have own runs.
    """
    stride, out = axis.stride, axis.out
    if not joins:
        return [Run(j, 1, -(-(out - j) // stride), _terms(axis, j)) for j in range(min(stride, out))]
    jumps = [j for j in range(1, stride + 1) if _terms(axis, j) != _next(_terms(axis, j - 1))]
    first = 0 if not jumps or jumps[-1] == stride else min(jumps[0], out)
    whole = (out - first) // stride
    parts = [(0, first, 1), (first, first + stride if whole else first, whole), (first + whole * stride, out, 1)]
    return [run for begin, end, columns in parts for run in _joined(axis, begin, end, columns)]


def _terms(axis: Axis, column: int) -> tuple[tuple[int, int], ...]:
    """(tap, input) of an output column; inputs may lie outside."""
    return tuple((k, (column + axis.pad - k * axis.dilation) // axis.stride) for k in taps_of(axis, column))


def _next(terms: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The terms that the next column must have to belong to the same run."""
    return tuple((k + 1, i) for k, i in terms)


def _joined(axis: Axis, begin: int, end: int, columns: int) -> Iterator[Run]:
    """Runs of columns [begin, end)."""
    start, expected = begin, _terms(axis, begin)
    for j in range(begin, end + 1):
        terms = _terms(axis, j) if j < end else ()
        if j > start and (j == end or terms != expected):
            yield Run(start, j - start, columns, _terms(axis, start))
            start = j
        expected = _next(terms)


def axes_of(shape: ConvShape) -> tuple[Axis, Axis]:
    """Both axes of a transposed convolution, given as a ConvShape whose strides are those of the output."""
    return (Axis(shape.kh, shape.sh, shape.dh, shape.pt, shape.ih, shape.oh),
            Axis(shape.kw, shape.sw, shape.dw, shape.pl, shape.iw, shape.ow))


def product_shape(shape: ConvShape) -> ConvShape:
    """The 1x1 convolution that multiplies every input pixel by all taps."""
    return replace(shape, oc=shape.oc * shape.kh * shape.kw, kh=1, kw=1, sh=1, sw=1, dh=1, dw=1, pt=0, pl=0, oh=shape.ih, ow=shape.iw)


@cached
def takes_product(shape: ConvShape, joins: bool) -> bool:
    """Whether one product with sums is predicted to be faster than a convolution per phase. It assumes one thread, so that the bits are
    the same for any number.

    joins  the pixels of y are neighbours
    """
    if shape.sh == shape.sw == 1 or min(shape.n, shape.ih, shape.iw, shape.oh, shape.ow) < 1:
        return False
    if shape.sh > shape.oh or shape.sw > shape.ow:      # the crop of a longer row: most phases have no output, most sums are dropped
        return False
    missing = max(0, LEAST_COLUMNS - shape.iw)
    shape = replace(shape, iw=shape.iw + missing, ow=shape.ow + missing * shape.sw)
    return product_cycles(shape, joins) < WORTH_IT * phase_cycles(shape)


def product_cycles(shape: ConvShape, joins: bool) -> float:
    """Cycles of the product, of adding overlaps, and of moving the result between the two through L3 or memory if it exceeds L2."""
    one, machine = product_shape(shape), current()
    width = shape.groups * one.oc
    places = tuple((shape.ih * shape.iw * c, 1, shape.iw * c, c) for c in (shape.groups * shape.ic, width))
    multiplied = ladder.cycles(ladder.choose(Problem(one, places)), 1)
    rows, columns = axes_of(shape)
    runs = [(run.columns, -(-run.phases * shape.oc // _native.vector_length()), len(run.terms)) for run in column_runs(columns, joins)]
    alone = ROW_CYCLES + shape.groups * sum(count * (COLUMN_CYCLES + vectors * SUM_CYCLES) for count, vectors, _ in runs)
    windows = sum(len(part.taps) * part.count for part in phases(rows))
    added = shape.oh * alone + windows * shape.groups * sum(count * vectors * terms * SUM_CYCLES for count, vectors, terms in runs)
    between = shape.arithmetic.y.itemsize * shape.n * shape.ih * shape.iw * width
    far = 2 * between / machine.l3_weights if between > machine.l2_bytes // 2 else 0
    return multiplied + shape.n * added + far + (between / machine.memory if between > machine.l3_bytes // 4 else 0)


def phase_cycles(shape: ConvShape) -> float:
    """Cycles of all phases; phases with equal numbers of taps and outputs take the same time."""
    down, across = (Counter((len(part.taps), part.gap, part.count) for part in phases(axis)) for axis in axes_of(shape))
    x, y = shape.groups * shape.ic, shape.groups * shape.oc
    places = ((shape.ih * shape.iw * x, 1, shape.iw * x, x), (shape.oh * shape.ow * y, 1, shape.sh * shape.ow * y, shape.sw * y))
    total = 0.0
    for ((kh, dh, oh), some), ((kw, dw, ow), others) in product(down.items(), across.items()):
        part = replace(shape, kh=kh, kw=kw, sh=1, sw=1, dh=dh, dw=dw, pt=(kh - 1) * dh, pl=(kw - 1) * dw, oh=oh, ow=ow)
        total += some * others * (ladder.cycles(ladder.choose(Problem(part, places)), 1) + STEP_CYCLES)
    return total
