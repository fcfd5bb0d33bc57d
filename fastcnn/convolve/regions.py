"""Cuts a convolution into several steps: output columns that read different taps, groups for which different kernels are best."""
from __future__ import annotations

from itertools import pairwise

import fastcnn._native as _native
from fastcnn.convolve.joined_groups import JOINED_GROUPS, joins
from fastcnn.convolve.rotated_groups import fills_vectors
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.convolve.winograd import WINOGRAD, best_form, is_winograd_window
from fastcnn.ir.record import replace

# Groups become steps of their own where each has so many multiply-adds: 14x14, 32 groups of 16 took 218 us by Winograd, 208 in one step.
LEAST_ALONE = 1_000_000


def column_regions(shape: ConvShape) -> list[tuple[int, int]]:
    """Ranges of output columns, such that within a range a kernel column meets either only the input or only padding.

    Used where dilation is so wide that a band would be mostly padding (atrous pyramids); else one range has all columns.
    """
    if shape.dw == 1 or (shape.kw - 1) * shape.dw < shape.ow // 2:
        return [(0, shape.ow)]
    edges = sorted({edge for s in range(shape.kw) for edge in shape.valid_columns(s)} | {0, shape.ow})
    return list(pairwise(edges))


def without_unseen(shape: ConvShape) -> tuple[ConvShape, tuple[int, int]]:
    """(the convolution without outer kernel rows and columns that meet only padding, first row kept, first column kept).

    At least one row and one column stay.
    """
    r, kh = _seen(shape.kh, shape.sh, shape.dh, shape.pt, shape.ih, shape.oh)
    s, kw = _seen(shape.kw, shape.sw, shape.dw, shape.pl, shape.iw, shape.ow)
    if (kh, kw) == shape.kernel:
        return shape, (0, 0)
    return replace(shape, kh=kh, kw=kw, pt=shape.pt - r * shape.dh, pl=shape.pl - s * shape.dw), (r, s)


def _seen(kernel: int, stride: int, dilation: int, before: int, size: int, out: int) -> tuple[int, int]:
    """(first, number) of the taps of an axis, from the first to the last one that meets the input for some output."""
    def meets(k: int) -> bool:
        first = before - k * dilation
        o = max(0, -(-first // stride))
        return o < out and o * stride - first < size
    seen = [k for k in range(kernel) if meets(k)]
    return (seen[0], seen[-1] - seen[0] + 1) if seen else (0, 1)


def group_regions(shape: ConvShape) -> list[tuple[int, int]]:
    """(first, number) of the groups of each step, the same for any number of threads.

    Each group alone where Winograd's algorithm, which takes one, is quicker than all in one step; an odd one after those that are joined.
    28x28, 5 groups of 24: 247 us in one step, 184 joined but for the fifth, 140 alone (2026-11-21, Xeon, AVX-512).
    """
    vector, even = _native.vector_length(), shape.groups - shape.groups % 2
    whole = shape.is_depthwise or fills_vectors(shape.groups, shape.ic, shape.oc, vector) or 2 * shape.oc <= vector
    if shape.groups == 1 or whole:
        return [(0, shape.groups)]
    joined = joins(even, shape.ic, shape.oc, vector)
    if shape.macs >= LEAST_ALONE * shape.groups and winograd_alone(shape, joined):
        return [(g, 1) for g in range(shape.groups)]
    return [(0, even), (even, 1)] if joined and shape.groups > even else [(0, shape.groups)]


def winograd_alone(shape: ConvShape, joined: bool) -> bool:
    """Whether Winograd's algorithm, group by group, is predicted to be faster than the implicit GEMM over all groups, joined or not."""
    one = replace(shape, groups=1)
    best = best_form(one, 1) if is_winograd_window(one) and shape.dilations == (1, 1) else None
    if best is None or not joined:
        return best is not None
    two = JOINED_GROUPS.choose(Problem(replace(shape, groups=2), ()))
    return 2 * WINOGRAD.cycles(WINOGRAD.with_form(one, *best), 1) < JOINED_GROUPS.cycles(two, 1)
