"""Convolutions and pooling in numpy, any number of spatial axes.

onnx.reference's Conv gathers with index arrays (20 times slower), its AveragePool loops over elements (minutes); its
ConvTranspose fails with group > 1 and gets auto_pad=SAME_* wrong; its MaxPool fails on padded integers and gets Indices
with storage_order=1 wrong.
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node

Inputs = Sequence[Any]


def wide(x: np.ndarray) -> np.ndarray:
    """x in float32 if it is a 16-bit float, so that sums are not rounded to 16 bits."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


def spatial(
    node: Node, sizes: Sequence[int], kernel: Sequence[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """(strides, dilations, pads before, pads after), auto_pad resolved for these input sizes."""
    n = len(kernel)
    strides, dilations = node.attrs.get("strides") or [1] * n, node.attrs.get("dilations") or [1] * n
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = node.attrs.get("pads") or [0] * 2 * n
        return strides, dilations, pads[:n], pads[n:]
    if auto == "VALID":
        return strides, dilations, [0] * n, [0] * n
    before, after = [], []
    for size, k, s, d in zip(sizes, kernel, strides, dilations):
        total = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return strides, dilations, before, after


def pool_extent(size: int, k: int, s: int, d: int, before: int, after: int, ceil_mode: bool) -> int:
    """Windows along one axis; with ceil_mode none that starts in the padding after the end."""
    room = size + before + after - ((k - 1) * d + 1)
    if not ceil_mode:
        return room // s + 1
    count = -(-room // s) + 1
    return count - 1 if (count - 1) * s >= size + before else count


def pool_extents(sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
                 before: Sequence[int], after: Sequence[int], ceil_mode: bool = False) -> list[int]:
    """pool_extent of every axis."""
    return [pool_extent(size, k, s, d, b, a, ceil_mode)
            for size, k, s, d, b, a in zip(sizes, kernel, strides, dilations, before, after)]


def windows(
    x: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    before: Sequence[int],
    extents: Sequence[int],
    fill: Any,
) -> np.ndarray:
    """A view (N, C, out..., k...) of padded x (N, C, in...)."""
    n = len(kernel)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    needed = [(e - 1) * s + span for e, s, span in zip(extents, strides, spans)]
    after = [max(0, need - size - b) for need, size, b in zip(needed, x.shape[2:], before)]
    x = np.pad(x, [(0, 0), (0, 0), *zip(before, after)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axis=tuple(range(2, 2 + n)))
    index = [slice(None)] * 2 + [slice(0, (e - 1) * s + 1, s) for e, s in zip(extents, strides)]
    index += [slice(None, None, d) for d in dilations]
    return view[tuple(index)]


def conv(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """y[n,m,p] = b[m] + sum over c, k of x[n,c,p*stride + k*dilation - pad] * w[m,c,k], c over the group of m."""
    (x, w, bias), dtype = (*inputs, None)[:3], inputs[0].dtype
    x, w, group, kernel = wide(x), wide(w), node.attrs.get("group", 1), w.shape[2:]
    if x.ndim != w.ndim or x.shape[1] != w.shape[1] * group:
        raise ValueError(f"x {list(x.shape)} does not fit W {list(w.shape)} with group={group}")
    strides, dilations, before, after = spatial(node, x.shape[2:], kernel)
    extents = pool_extents(x.shape[2:], kernel, strides, dilations, before, after)
    view = windows(x, kernel, strides, dilations, before, extents, 0)
    n, rank, taps = x.shape[0], len(kernel), w.shape[1] * math.prod(kernel)
    view = view.reshape(n, group, w.shape[1], *extents, *kernel)
    columns = view.transpose(0, 1, 2, *range(3 + rank, 3 + 2 * rank), *range(3, 3 + rank))
    columns = columns.reshape(n, group, taps, math.prod(extents))
    y = (w.reshape(group, w.shape[0] // group, taps) @ columns).reshape(n, w.shape[0], *extents)
    if bias is not None:
        y = y + wide(bias).reshape(-1, *[1] * rank)
    return [y.astype(dtype, copy=False)]


def conv_transpose(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """y[n,m,p*stride + k*dilation - pad] += x[n,c,p] * w[c,m,k]; output_shape and auto_pad settle the padding."""
    (x, w, bias), dtype = (*inputs, None)[:3], inputs[0].dtype
    x, w, group, kernel = wide(x), wide(w), node.attrs.get("group", 1), w.shape[2:]
    n, rank, maps = x.shape[0], len(kernel), w.shape[1]
    strides, dilations = node.attrs.get("strides") or [1] * rank, node.attrs.get("dilations") or [1] * rank
    full = [(size - 1) * s + (k - 1) * d + 1 for size, s, k, d in zip(x.shape[2:], strides, kernel, dilations)]
    before, extents = _transpose_extents(node, x.shape[2:], full, strides)
    xs = x.reshape(n, group, -1, math.prod(x.shape[2:]))
    ws = w.reshape(group, -1, maps, *kernel)
    y = np.zeros((n, group, maps, *(max(f, b + e) for f, b, e in zip(full, before, extents))), x.dtype)
    for tap in itertools.product(*(range(k) for k in kernel)):
        of_tap = ws[(slice(None),) * 3 + tap].transpose(0, 2, 1)
        part = (of_tap @ xs).reshape(n, group, maps, *x.shape[2:])
        starts = [t * d for t, d in zip(tap, dilations)]
        at = [slice(start, start + (size - 1) * s + 1, s) for start, size, s in zip(starts, x.shape[2:], strides)]
        y[(slice(None),) * 3 + tuple(at)] += part
    y = y[(slice(None),) * 3 + tuple(slice(b, b + e) for b, e in zip(before, extents))]
    y = y.reshape(n, group * maps, *extents)
    if bias is not None:
        y = y + wide(bias).reshape(-1, *[1] * rank)
    return [y.astype(dtype, copy=False)]


def _transpose_extents(
    node: Node, sizes: Sequence[int], full: Sequence[int], strides: Sequence[int]
) -> tuple[list[int], list[int]]:
    """(cut before, output sizes) of a transposed convolution whose uncut sizes are `full`."""
    rank = len(full)
    extra = node.attrs.get("output_padding") or [0] * rank
    auto, wanted = node.attrs.get("auto_pad", "NOTSET"), node.attrs.get("output_shape")
    if not wanted and auto in ("NOTSET", "", "VALID"):
        pads = [0] * 2 * rank if auto == "VALID" else node.attrs.get("pads") or [0] * 2 * rank
        return pads[:rank], [f + e - b - a for f, e, b, a in zip(full, extra, pads[:rank], pads[rank:])]
    targets = wanted[-rank:] if wanted else [size * s for size, s in zip(sizes, strides)]
    cuts = [max(0, f + e - target) for f, e, target in zip(full, extra, targets)]
    before = [cut // 2 if auto == "SAME_UPPER" else cut - cut // 2 for cut in cuts]
    return before, list(wanted[-rank:]) if wanted else [f + e - cut for f, e, cut in zip(full, extra, cuts)]


def numbers(x: np.ndarray) -> np.ndarray:
    """x with -inf in place of NaN, as in max pooling."""
    return x if x.dtype.kind in "iu" else np.where(np.isnan(x), x.dtype.type(-np.inf), x)


def global_max_pool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Largest element over the spatial axes; NaN counts as -inf."""
    return [numbers(inputs[0]).max(tuple(range(2, inputs[0].ndim)), keepdims=True)]


def max_pool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Largest element of each window, never the padding; NaN counts as -inf.

    Indices count in x flattened, columns first with storage_order=1.
    """
    x, kernel = numbers(inputs[0]), node.attrs["kernel_shape"]
    strides, dilations, before, after = spatial(node, x.shape[2:], kernel)
    extents = pool_extents(x.shape[2:], kernel, strides, dilations, before, after, bool(node.attrs.get("ceil_mode", 0)))
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    flat = windows(x, kernel, strides, dilations, before, extents, lowest).reshape(*x.shape[:2], *extents, -1)
    if len(node.outputs) < 2 or not node.outputs[1]:
        return [flat.max(-1)]
    best = flat.argmax(-1)
    y = np.take_along_axis(flat, best[..., None], -1)[..., 0]
    return [y, _positions(x.shape, best, kernel, strides, dilations, before, bool(node.attrs.get("storage_order", 0)))]


def _positions(
    shape: Sequence[int],
    best: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    before: Sequence[int],
    columns_first: bool,
) -> np.ndarray:
    rank = len(kernel)
    taps = np.unravel_index(best, kernel)
    where = []
    for axis in range(rank):
        start = np.arange(best.shape[2 + axis]) * strides[axis] - before[axis]
        where.append(start.reshape(-1, *[1] * (rank - 1 - axis)) + taps[axis] * dilations[axis])
    sizes = list(shape[2:])
    if columns_first:
        where, sizes = where[::-1], sizes[::-1]
    inside = np.zeros_like(best)
    for position, size in zip(where, sizes):
        inside = inside * size + position
    planes = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], *[1] * rank)
    return (planes * math.prod(sizes) + inside).astype(np.int64)


def mean_windows(node: Node, x: np.ndarray) -> np.ndarray:
    """Mean over each window of the elements inside, or with count_include_pad=1 of the padding's zeros too."""
    kernel = node.attrs["kernel_shape"]
    strides, dilations, before, after = spatial(node, x.shape[2:], kernel)
    extents = pool_extents(x.shape[2:], kernel, strides, dilations, before, after, bool(node.attrs.get("ceil_mode", 0)))
    taps = tuple(range(-len(kernel), 0))
    total = windows(x, kernel, strides, dilations, before, extents, 0).sum(taps)
    counted = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if node.attrs.get("count_include_pad", 0):
        counted = np.pad(counted, [(0, 0), (0, 0), *zip(before, after)], constant_values=1)
        before = [0] * len(kernel)
    return total / windows(counted, kernel, strides, dilations, before, extents, 0).sum(taps)


def average_pool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """mean_windows of floats."""
    return [mean_windows(node, wide(inputs[0])).astype(inputs[0].dtype)]


def lp_pool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(sum |x|^p)^(1/p) over each window."""
    x, kernel, p = inputs[0], node.attrs["kernel_shape"], node.attrs.get("p", 2)
    strides, dilations, before, after = spatial(node, x.shape[2:], kernel)
    extents = pool_extents(x.shape[2:], kernel, strides, dilations, before, after, bool(node.attrs.get("ceil_mode", 0)))
    powers = windows(np.abs(x.astype(np.float64)) ** p, kernel, strides, dilations, before, extents, 0)
    return [(powers.sum(tuple(range(-len(kernel), 0))) ** (1 / p)).astype(x.dtype)]


def max_unpool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Zeros with x where its indices say, which count in output_shape where the MaxPool before read that, else in what attributes give."""
    x, index, given, extents = (*inputs, None, None)[:4]
    kernel = node.attrs["kernel_shape"]
    strides, pads = node.attrs.get("strides") or [1] * len(kernel), node.attrs.get("pads") or [0] * 2 * len(kernel)
    inner = [(n - 1) * s + k - b - a for n, s, k, b, a in zip(x.shape[2:], strides, kernel, pads, pads[len(kernel):])]
    shape = [*x.shape[:2], *inner] if given is None else given.tolist()
    planes = np.zeros(shape if extents is not None and shape == extents.tolist() else [*x.shape[:2], *inner], x.dtype)
    planes.reshape(-1)[index.ravel()] = x.ravel()
    y = np.zeros(shape, x.dtype)
    y[tuple(slice(0, n) for n in planes.shape)] = planes
    return [y]
