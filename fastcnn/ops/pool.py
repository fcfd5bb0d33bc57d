"""MaxPool, AveragePool, LpPool and their global forms."""
from __future__ import annotations

import math

from fastcnn.ops.base import Args, Lowering, Op, Spec, bad_shape
from fastcnn.ops.conv_emit import place, two_axes
from fastcnn.ops.image import is_image, read_image, write_image
from fastcnn.ops.window import Window, resolve
from fastcnn.tensor import Tensor

MAX, AVERAGE, LP = 0, 1, 2          # fc_pool_kind


class Pool(Op):
    """y[n,c,i,j] = max, mean or Lp norm over the window of x[n,c,:,:].

    Padding never wins and adds nothing; an average counts it only with count_include_pad. x: (N, C, H, W) or (N, C, L)
    float32. ONNX MaxPool-1 to 22, AveragePool-1 to 22, LpPool-2 to 22: strides, dilations, auto_pad, ceil_mode. The
    Indices output and three spatial axes go to the fallback.
    """

    def __init__(self, kind: int):
        self.kind = kind

    def native(self, args: Args) -> bool:
        outputs = [name for name in args.node.outputs if name]
        return super().native(args) and len(outputs) == 1 and is_image(args.spec(0)) and _exponent(args) >= 1

    def infer(self, args: Args) -> list[Spec]:
        x = args.spec(0)
        return [Spec(x.dtype, (*x.shape[:2], *_window(args).out))]

    def lower(self, low: Lowering) -> None:
        emit_pool(low, write_image(low), read_image(low, 0), two_axes(_window(low.args)), self.kind)


class GlobalPool(Op):
    """y[n,c,0,0] = max, mean or Lp norm of x[n,c,:,:].

    x: (N, C, spatial...) float32. ONNX GlobalMaxPool-1, GlobalAveragePool-1, GlobalLpPool-2 to 22.
    """

    def __init__(self, kind: int):
        self.kind = kind

    def native(self, args: Args) -> bool:
        return super().native(args) and is_image(args.spec(0), (3, 4, 5, 6)) and _exponent(args) >= 1

    def infer(self, args: Args) -> list[Spec]:
        x = args.spec(0)
        if x.rank < 3:
            raise bad_shape(args, "x must have spatial axes")
        return [Spec(x.dtype, (*x.shape[:2], *[1] * (x.rank - 2)))]

    def lower(self, low: Lowering) -> None:
        x, y = read_image(low, 0), write_image(low, flat=True)
        window = Window(x.shape[2:], (1, 1), (1, 1), (0, 0), (0, 0), (1, 1))
        emit_pool(low, y, x, window, self.kind)


def _exponent(args: Args) -> int:
    """p of LpPool: a whole number from opset 2 on; 0 says that it is none."""
    p = args.node.attrs.get("p", 2)
    return int(p) if p == int(p) else 0


def _window(args: Args) -> Window:
    kernel = args.node.attrs.get("kernel_shape")
    if not kernel or min(kernel) < 1:
        raise bad_shape(args, f"kernel_shape={kernel}")
    return resolve(args, args.spec(0).shape[2:], tuple(kernel))


def emit_pool(low: Lowering, y: Tensor, x: Tensor, window: Window, kind: int) -> None:
    """The pooling step over two spatial axes."""
    n, c, oh, ow = y.shape
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.strides, window.dilations
    low.emit("pool", [y, x], n * c * oh * ow * math.prod(window.kernel), kind=kind, p=_exponent(low.args), c=c,
             include_pad=int(low.node.attrs.get("count_include_pad", 0)), n=n, kh=kh, kw=kw, sh=sh, sw=sw, dh=dh, dw=dw,
             pt=window.before[0], pl=window.before[1], pb=window.after[0], pr=window.after[1], ih=x.shape[2],
             iw=x.shape[3], oh=oh, ow=ow, **place("x", x), **place("y", y))
