"""Parts of a convolution that are steps of their own: columns that read the same taps, groups that different kernels compute best."""
from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from fastcnn import _native
from fastcnn.convolve import conv, cost, grouped
from fastcnn.convolve.conv import ConvShape
from fastcnn.convolve.winograd import choose_winograd

# Groups become steps of their own where each has so many multiply-adds: 14x14, 32 groups of 16 took 218 us by Winograd, 208 in one step.
LEAST_ALONE = 1_000_000


def column_regions(shape: ConvShape) -> list[tuple[int, int]]:
    """Output columns to compute one after the other so that each reads a kernel column wholly or not at all.

    Worth it where dilation is so wide that a band would be mostly padding (atrous pyramids); else all columns at once.
    """
    if shape.dw == 1 or (shape.kw - 1) * shape.dw < shape.ow // 2:
        return [(0, shape.ow)]
    edges = sorted({edge for s in range(shape.kw) for edge in shape.valid_columns(s)} | {0, shape.ow})
    return list(pairwise(edges))


def group_regions(shape: ConvShape) -> list[tuple[int, int]]:
    """(first, number) of the groups of each step, the same for any number of threads.

    Each group alone where Winograd's algorithm, which takes one, is quicker than all in one step; an odd one after those that are laced.
    28x28, 5 groups of 24: 247 us in one step, 184 laced but for the fifth, 140 alone (2026-11-21, Xeon, AVX-512).
    """
    vector, even = _native.vector_length(), shape.groups - shape.groups % 2
    if shape.groups == 1 or conv.is_depthwise(shape) or conv.fills_vectors(shape) or 2 * shape.oc <= vector:
        return [(0, shape.groups)]
    laces = grouped.laces(even, shape.ic, shape.oc, vector)
    if shape.macs >= LEAST_ALONE * shape.groups and winograd_alone(shape, laces):
        return [(g, 1) for g in range(shape.groups)]
    return [(0, even), (even, 1)] if laces and shape.groups > even else [(0, shape.groups)]


def winograd_alone(shape: ConvShape, laces: bool) -> bool:
    """Whether the groups one by one are quicker by Winograd's algorithm than by the implicit GEMM, laced or not."""
    one = replace(shape, groups=1)
    if not conv.is_winograd_window(one) or shape.dilations != (1, 1):
        return False
    picked = choose_winograd((one.kh, one.kw), one.ic, one.oc, one.oh, one.ow, one.n, 1)
    if picked is None or not laces:
        return picked is not None
    return 2 * cost.cycles(conv.winograd(one, *picked), 1) < cost.cycles(conv.laced(replace(shape, groups=2), 1), 1)
