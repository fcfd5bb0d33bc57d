"""Matrix products and convolutions of doubles and integers: plain loops on views, nothing packed."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import Tensor, walk
from fastcnn.ops.base import Lowering
from fastcnn.ops.elementwise.elementwise import emit_binary
from fastcnn.ops.layout import DTYPE_CODES, scalar
from fastcnn.ops.window import Window

PRODUCT_TYPES: frozenset[np.dtype] = frozenset(np.dtype(t) for t in (np.float64, np.int32, np.int64, np.uint32, np.uint64))


def is_plain_product(args: Args) -> bool:
    """One of these types throughout, something to sum, and nothing fused but a bias (input 2) and a residual."""
    first, fused = args.spec(0).dtype, args.node.activation is not None or args.has(4)
    return first in PRODUCT_TYPES and all(s is None or (s.dtype == first and s.size > 0) for s in args.specs) and not fused


def emit_fused_sums(low: Lowering, y: Tensor, axis: int) -> None:
    """y += input 2, which runs along an axis, and input 3, as far as there are any."""
    if low.args.has(2):
        bias = low.read(2, "dense")
        emit_binary(low, y, y, bias.view((bias.size, *[1] * (len(y.shape) - 1 - axis))).broadcast(y.shape), "Add")
    if low.args.has(3):
        emit_binary(low, y, y, low.read(3), "Add")


def emit_typed_matmul(low: Lowering, y: Tensor, a: Tensor, b: Tensor) -> None:
    """y[..., m, n] = a[..., m, k] * b[..., k, n]; rows of y are contiguous."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    batch = y.shape[:-2]
    if n != 1 and b.strides[-1] != 1:
        source, b = b, low.temp(b.shape, b.dtype)
        low.copy(b, source)
    a, b = a.broadcast((*batch, m, k)), b.broadcast((*batch, k, n))
    shape, (ys, as_, bs) = walk(batch, y.strides[:-2], a.strides[:-2], b.strides[:-2])
    low.emit("typed_matmul", [y, a, b], math.prod(batch) * m * n * k, ndim=len(shape), shape=shape, y_strides=ys, a_strides=as_,
             b_strides=bs, m=m, n=n, k=k, a_m=a.strides[-2], a_k=a.strides[-1], b_k=b.strides[-2], y_m=y.strides[-2],
             dtype=DTYPE_CODES[y.dtype])


def emit_typed_conv(low: Lowering, y: Tensor, x: Tensor, w: Tensor, window: Window, group: int) -> None:
    """y (N, M, ...) dense = x (N, C, ...) convolved with w (M, C/group, ...) dense: the padded input's windows as columns (im2col)."""
    n, c, *spatial = x.shape
    before, after = window.before, window.after
    if any(before) or any(after):
        padded = low.temp((n, c, *(s + b + e for s, b, e in zip(spatial, before, after))), x.dtype)
        low.copy(padded, scalar(low, 0, x.dtype).broadcast(padded.shape))
        inside = padded
        for axis, (first, extent) in enumerate(zip(before, spatial), start=2):
            inside = inside.slice(axis, first, extent)
        low.copy(inside, x)
        x = padded
    steps = x.strides[2:]
    strides = (*x.strides[:2], *(d * s for d, s in zip(window.dilations, steps)), *(d * s for d, s in zip(window.strides, steps)))
    view = Tensor(x.buffer, (n, c, *window.kernel, *window.out), strides, x.offset)
    columns = low.temp(view.shape, x.dtype)
    low.copy(columns, view)
    k, pixels = c // group * math.prod(window.kernel), math.prod(window.out)
    emit_typed_matmul(low, y.view((n, group, y.shape[1] // group, pixels)), w.view((group, w.shape[0] // group, k)),
                      columns.view((n, group, k, pixels)))
