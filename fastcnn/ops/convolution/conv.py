"""Conv: which steps compute it, and with which weights. Three spatial axes go through conv3d.py."""
from __future__ import annotations

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv3d import is_native as conv3d_native
from fastcnn.ops.convolution.conv3d import lower as lower_conv3d
from fastcnn.ops.convolution.conv_emit import banded_planes, emit_conv, planes_or_pixels, two_dimensional, weights_of
from fastcnn.ops.convolution.planes import lower_on_planes, problem_on_planes
from fastcnn.ops.layout import own_output
from fastcnn.ops.products.typed_products import emit_fused_sums, emit_typed_conv, is_plain_product
from fastcnn.ops.window import Window, resolve, two_axes


class Conv(Op):
    """y[n,m,i,j] = b[m] + sum_{c,r,s} x[n, c, i*sh - pt + r*dh, j*sw - pl + s*dw] * w[m,c,r,s], then + residual, then activation.

    x: (N, C, H, W), (N, C, L) or (N, C, D, H, W) float32, or doubles by plain loops; w: (M, C/group, kh, kw). ONNX Conv-1, 11, 22.
    Input 3 is a residual, input 4 a PRelu slope per channel (fused by passes). Raises ShapeError when channels, group or window do not fit.
    """

    def native(self, args: Args) -> bool:
        x = args.spec(0)
        rank = len(x.shape)
        if x.dtype != F32 and is_plain_product(args):
            return 2 * rank - 2 <= _native.MAX_DIMS and min([*_window(args).before, *_window(args).after], default=0) >= 0
        return super().native(args) and 0 not in args.spec(1).shape and (rank in (3, 4) or (rank == 5 and conv3d_native(args)))

    def lower(self, low: Lowering) -> None:
        window, group = _window(low.args), low.node.attrs.get("group", 1)
        if low.args.spec(0).dtype != F32:
            _lower_typed(low, window, group)
            return
        problem = problem_on_planes(low, window, group)
        if problem is not None and lower_on_planes(low, problem, low.node.input(1)):
            return
        if len(window.kernel) == 3:
            lower_conv3d(low, window)
            return
        planes = banded_planes(low, window, group)
        x, affine = (planes, None) if planes is not None else planes_or_pixels(low, window, group)
        residual = two_dimensional(low.read(3, "channels_last")) if low.args.has(3) else None
        y = two_dimensional(low.write(0, "dense" if planes is not None and low.dense_output() else "channels_last"))
        emit_conv(low, y, two_dimensional(x), residual, weights_of(low), low.node.input(1), two_axes(window), group, affine=affine)


def _lower_typed(low: Lowering, window: Window, group: int) -> None:
    """Doubles, and the integers that quantised forms are spelled in."""
    y = own_output(low, 0)
    emit_typed_conv(low, y, low.read(0), low.read(1, "dense"), window, group)
    emit_fused_sums(low, y, 1)


def _window(args: Args) -> Window:
    return resolve(args, args.spec(0).shape[2:], args.spec(1).shape[2:])


OPERATORS: dict[str, Op] = {"Conv": Conv()}
