"""Conv over three spatial axes as two-dimensional convolutions, one an output depth, without a copy.

Tensors lie with depth inside the pixel, (N, H, W, D, C): the kd slices that an output depth sees are then kd*C contiguous
channels of a two-dimensional image, and Winograd and implicit GEMM apply as they are. At the ends of the depth axis the slices
that would be padding are left out, with their weights.
"""
from __future__ import annotations

import numpy as np

from fastcnn.ops.base import Args, Lowering
from fastcnn.ops.conv_emit import emit_conv
from fastcnn.ops.window import Window
from fastcnn.tensor import Tensor


def is_native(args: Args) -> bool:
    """Dense convolutions; dilated depth and groups would break the contiguous run of slices."""
    return args.node.attrs.get("group", 1) == 1 and (args.node.attrs.get("dilations") or [1])[0] == 1


def lower(low: Lowering, window: Window) -> None:
    """One emit_conv an output depth and range of kernel slices."""
    x = low.read(0, "depth_inner")
    residual = low.read(3, "depth_inner") if low.args.has(3) else None
    y = low.write(0, "depth_inner")
    w = low.args.values[1]
    inner = Window(*(part[1:] for part in (window.kernel, window.strides, window.dilations, window.before, window.after, window.out)))
    for depth in range(window.out[0]):
        start = depth * window.strides[0] - window.before[0]
        first, last = max(0, -start), min(window.kernel[0], x.shape[2] - start)
        empty = last <= first                 # this depth sees padding only: one slice with weights of zero stands in
        if empty:
            first, last, start = 0, 1, 0
        part = np.zeros_like(w[:, :, :1]) if empty else w[:, :, first:last]
        kernel = part.transpose(0, 2, 1, 3, 4).reshape(w.shape[0], -1, *w.shape[3:])
        emit_conv(low, y.select(2, depth), _slices(x, start + first, last - first), residual and residual.select(2, depth), kernel,
                  f"{low.node.input(1)}@{'none' if empty else first}:{last}", inner, 1)


def _slices(x: Tensor, depth: int, count: int) -> Tensor:
    """(N, count*C, H, W): `count` depths from `depth` on as channels of one image."""
    n, c, _, h, w = x.shape
    return Tensor(x.buffer, (n, count * c, h, w), (x.strides[0], 1, x.strides[3], x.strides[4]), x.offset + depth * x.strides[2])
