"""Conv over three spatial axes as two-dimensional convolutions, one an output depth, without a copy.

Dense convolutions: tensors lie with depth inside the pixel, (N, H, W, D, C): the kd slices that an output depth sees are then
kd*C contiguous channels of a two-dimensional image, and Winograd and implicit GEMM apply as they are. At the ends of the depth axis
the slices that would be padding are left out, with their weights; where all are, no data is read. Where slices do not make one run
(groups, dilated depth) their convolutions are added up, each reading the sum before it as its residual. A kernel one deep is one
convolution of all depths.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import Tensor, is_channels_last, is_depth_inner
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import Term, emit_conv, emit_unseen, weights_of
from fastcnn.ops.window import Window

# Largest kh*kw of the forms that add up terms: im2col cuts a longer k into parts and may not read its own output as a residual.
MAX_TERM_WINDOW = 256


def is_native(args: Args) -> bool:
    """A window that any algorithm can add to what is there."""
    return math.prod(args.spec(1).shape[3:]) <= MAX_TERM_WINDOW


def lower(low: Lowering, window: Window) -> None:
    """One emit_conv where the kernel is one deep, else one an output depth and run of kernel slices."""
    group = low.node.attrs.get("group", 1)
    x = low.read(0)
    inner = is_depth_inner(x.shape, x.strides) and not is_channels_last(x.shape, x.strides)
    if window.kernel[0] == 1 and not window.before[0] and not window.after[0] and (group > 1 or not inner):
        _lower_images(low, window, group)
        return
    layout = "depth_inner" if group == 1 else "channels_last"
    x, y = low.read(0, layout), low.write(0, layout)
    residual = low.read(3, layout) if low.args.has(3) else None
    emit_volume(low, y, x, residual, weights_of(low), low.node.input(1), window, group)


def emit_volume(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray | Tensor, name: str, window: Window,
                group: int) -> None:
    """One convolution an output depth and run of kernel slices, w (M, C/group, kd, kh, kw)."""
    plane = plane_of(window)
    for depth in range(window.out[0]):
        target, before = y.select(2, depth), residual and residual.select(2, depth)
        runs = runs_of(window, depth, x.shape[2], group)
        if not runs:
            emit_unseen(low, target, slices_as_channels(x, 0, 1), before, name)
        for number, (first, taps) in enumerate(runs):
            shape = w.shape[0], len(taps) * w.shape[1], *w.shape[3:]
            kernel = kernel_slices(low, w, taps, (0, 2, 1, 3, 4), shape)
            image, term = slices_as_channels(x, first, len(taps)), Term(number == 0, number == len(runs) - 1)
            emit_conv(low, target, image, target if number else before, kernel, f"{name}@{taps}", plane, group, term)


def runs_of(window: Window, depth: int, extent: int, group: int) -> list[tuple[int, tuple[int, ...]]]:
    """The runs of input depths, of `extent`, that an output depth sees, and the kernel slices that meet them: depth_runs."""
    start = depth * window.strides[0] - window.before[0]
    reached = [(start + k * window.dilations[0], k) for k in range(window.kernel[0])]
    return depth_runs([(i, k) for i, k in reached if 0 <= i < extent], merge=group == 1)


def depth_runs(pairs: Sequence[tuple[int, int]], merge: bool) -> list[tuple[int, tuple[int, ...]]]:
    """(first depth, kernel slices) of runs of neighbouring depths from (depth, kernel slice) in ascending order.

    merge False: each depth for itself.
    """
    runs: list[tuple[int, tuple[int, ...]]] = []
    for depth, tap in pairs:
        if merge and runs and runs[-1][0] + len(runs[-1][1]) == depth:
            runs[-1] = (runs[-1][0], (*runs[-1][1], tap))
        else:
            runs.append((depth, (tap,)))
    return runs


def kernel_slices(low: Lowering, w: np.ndarray | Tensor, taps: tuple[int, ...], perm: tuple[int, ...],
                  shape: tuple[int, ...]) -> np.ndarray | Tensor:
    """The evenly spaced depths `taps` of a kernel with axes permuted, then merged to `shape`."""
    if isinstance(w, np.ndarray):
        low.contents(1)
        return w[:, :, list(taps)].transpose(perm).reshape(shape)
    part = w.slice(2, taps[0], len(taps), taps[1] - taps[0] if len(taps) > 1 else 1).transpose(perm)
    dense = low.temp(part.shape)
    low.copy(dense, part)
    merged = dense.reshape(shape)
    assert merged is not None, "dense"
    return merged


def slices_as_channels(x: Tensor, depth: int, count: int) -> Tensor:
    """(N, count*C, H, W): `count` depths from `depth` on as channels of one image; several only where depth lies in the pixel."""
    n, c, _, h, w = x.shape
    return Tensor(x.buffer, (n, count * c, h, w), (x.strides[0], 1, x.strides[3], x.strides[4]), x.offset + depth * x.strides[2])


def plane_of(window: Window) -> Window:
    """The window without depth."""
    return Window(*(part[1:] for part in (window.kernel, window.strides, window.dilations, window.before, window.after, window.out)))


def _lower_images(low: Lowering, window: Window, group: int) -> None:
    """A kernel one deep: every depth that the stride leaves is an image of its own."""
    x = low.read(0, "channels_last").slice(2, 0, window.out[0], window.strides[0])
    y = low.write(0, "channels_last")
    residual = low.read(3, "channels_last") if low.args.has(3) else None
    w = weights_of(low)
    plane = w[:, :, 0] if isinstance(w, np.ndarray) else w.select(2, 0)
    places = [t for t in (y, x, residual) if t is not None]
    whole = [_as_images(t) for t in places]
    one_by_one = [[_as_images(t.slice(0, n, 1)) for t in places] for n in range(x.shape[0])]
    parts = one_by_one if None in whole else [whole]
    for target, source, *added in parts:
        assert target is not None and source is not None
        emit_conv(low, target, source, added[0] if added else None, plane, f"{low.node.input(1)}@plane", plane_of(window), group)


def _as_images(t: Tensor) -> Tensor | None:
    """(N*D, C, H, W), None where images and depths do not step evenly."""
    n, c, d, h, w = t.shape
    view = t.transpose((0, 2, 1, 3, 4)).reshape((n * d, c, h, w))
    return view and Tensor(view.buffer, view.shape, (view.strides[0], 1, t.strides[3], t.strides[4]), view.offset)
