"""MaxPool, AveragePool, LpPool and their global forms, over one to three spatial axes."""
from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import Args, bad_shape
from fastcnn.ir.tensor import Tensor, depth_inner_strides, is_channels_last, is_dense, is_depth_inner
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.image import depth_images, depth_rows, four_strides, is_image, planes, read_image, volume, write_image
from fastcnn.ops.reduction.reduce import MAX_POOLING, emit_reduce
from fastcnn.ops.window import Window, resolve, two_axes

MAX, AVERAGE, LP = (_native.POOLS[kind] for kind in ("max", "average", "lp"))
U8 = np.dtype(np.uint8)
MAX_TAPS = 2 ** 24                  # of a window: floats count no further
SHORTEST_ROW = 24                   # of row-major planes: shorter rows leave vectors empty


class Pool(Op):
    """y[n,c,i,j] = max, mean or Lp norm over the window of x[n,c,:,:].

    Padding never wins and adds nothing; an average counts it only with count_include_pad. In a maximum NaN counts as -inf: the standard
    does not say, onnxruntime and OpenVINO do so in most of their kernels. x: (N, C, L), (N, C, H, W) or (N, C, D, H, W) float32.
    ONNX MaxPool-1 to 22, AveragePool-1 to 22, LpPool-2 to 22: strides, dilations, auto_pad, ceil_mode, the Indices output with
    storage_order. All three kinds separate: a third axis is a second step. MaxPool of unsigned bytes over one or two axes as well.
    """

    def __init__(self, kind: int):
        self.kind = kind

    def native(self, args: Args) -> bool:
        taps = math.prod(args.node.attrs.get("kernel_shape") or [1])
        if args.spec(0).dtype == U8:
            return self.kind == MAX and is_image(args.spec(0)) and taps <= MAX_TAPS and not any(args.node.outputs[1:])
        return super().native(args) and is_image(args.spec(0), (3, 4, 5)) and _exponent(args) >= 1 and taps <= MAX_TAPS

    def lower(self, low: Lowering) -> None:
        window = pool_window(low.args)
        if low.args.spec(0).dtype == U8:
            emit_byte_pool(low, write_image(low), read_image(low, 0), two_axes(window), MAX)
        elif len([name for name in low.node.outputs if name]) > 1:
            _emit_index(low, window)
        elif _keeps_planes(low, window, self.kind):
            _emit_planes(low, window, self.kind)
        elif len(window.kernel) == 3:
            _lower_volume(low, window, self.kind)
        else:
            emit_pool(low, write_image(low), read_image(low, 0), two_axes(window), self.kind)


class GlobalPool(Op):
    """y[n,c,0,0] = max, mean or Lp norm of x[n,c,:,:], NaN as in Pool.

    x: (N, C, spatial...) float32. ONNX GlobalMaxPool-1, GlobalAveragePool-1, GlobalLpPool-2 to 22.
    """

    def __init__(self, kind: int):
        self.kind = kind

    def native(self, args: Args) -> bool:
        return super().native(args) and is_image(args.spec(0), (3, 4, 5, 6, 7, 8)) and _exponent(args) >= 1

    def lower(self, low: Lowering) -> None:
        whole = low.read(0)
        if self.kind != LP and is_dense(whole.shape, whole.strides):
            y = low.write(0, "channels_last")
            emit_reduce(low, MAX_POOLING if self.kind == MAX else "Mean", y, y.strides[:2], whole, range(2, len(whole.shape)))
            return
        x, y = read_image(low, 0), write_image(low, flat=True)
        window = Window(x.shape[2:], (1, 1), (1, 1), (0, 0), (0, 0), (1, 1))
        emit_pool(low, y, x, window, self.kind)


def _exponent(args: Args) -> int:
    """p of LpPool: a whole number from opset 2 on; 0 says that it is none."""
    p = args.node.attrs.get("p", 2)
    return int(p) if p == int(p) else 0


def pool_window(args: Args) -> Window:
    kernel = args.node.attrs.get("kernel_shape")
    if not kernel or min(kernel) < 1:
        raise bad_shape(args, f"kernel_shape={kernel}")
    return resolve(args, args.spec(0).shape[2:], tuple(kernel))


def emit_pool(low: Lowering, y: Tensor, x: Tensor, window: Window, kind: int) -> None:
    """The pooling step over two spatial axes."""
    low.emit("pool", [y, x], y.size * math.prod(window.kernel), n=y.shape[0], c=y.shape[1], ih=x.shape[2], iw=x.shape[3],
             **pool_fields(low.args, window, kind), **place("x", x), **place("y", y))


def emit_byte_pool(low: Lowering, y: Tensor, x: Tensor, window: Window, kind: int, x_zero: int = 0, zero: int = 0,
                   factor: float = 1.0) -> None:
    """The pooling step of unsigned bytes: the largest, or the mean of x - x_zero times a factor, rounded, plus zero."""
    fields = {name: value for name, value in pool_fields(low.args, window, kind).items() if name != "p"}
    low.emit("qpool", [y, x], y.size * math.prod(window.kernel), n=y.shape[0], c=y.shape[1], ih=x.shape[2], iw=x.shape[3],
             x_zero=x_zero, zero=zero, factor=factor, **fields, **place("x", x), **place("y", y))


def pool_fields(args: Args, window: Window, kind: int) -> dict[str, int]:
    """Step fields of a pooling node over two spatial axes: everything but its input and where its output lies."""
    (kh, kw), (sh, sw), (dh, dw), (oh, ow) = window.kernel, window.strides, window.dilations, window.out
    return {"kind": kind, "p": _exponent(args), "include_pad": int(args.node.attrs.get("count_include_pad", 0)), "kh": kh, "kw": kw,
            "sh": sh, "sw": sw, "dh": dh, "dw": dw, "pt": window.before[0], "pl": window.before[1], "pb": window.after[0],
            "pr": window.after[1], "oh": oh, "ow": ow}


def _keeps_planes(low: Lowering, window: Window, kind: int) -> bool:
    """Whether input and output are row-major anyway, or channels too few to fill a vector, and rows long enough for vectors along them."""
    x = low.read(0)
    along = kind != LP and window.strides[-1] <= 2 and min(window.before) >= 0 and x.shape[-1] >= SHORTEST_ROW
    return along and is_dense(x.shape, x.strides) and (low.dense_output() or 2 * x.shape[1] <= _native.vector_length())


def _emit_planes(low: Lowering, window: Window, kind: int) -> None:
    """Row-major planes as they are."""
    x, y = planes(low.read(0)), planes(low.write(0, "dense"))
    lead = 3 - len(window.kernel)
    kernel, strides, dilations = ((*(1,) * lead, *part) for part in (window.kernel, window.strides, window.dilations))
    before, after = ((*(0,) * lead, *part) for part in (window.before, window.after))
    low.emit("pool_planes", [y, x], y.size * math.prod(kernel), planes=x.shape[0], kernel=kernel, strides=strides, dilations=dilations,
             before=before, after=after, **{"in": x.shape[2:]}, out=y.shape[2:], kind=kind,
             include_pad=int(low.node.attrs.get("count_include_pad", 0)))


def _lower_volume(low: Lowering, window: Window, kind: int) -> None:
    """Over height and width of every depth, then over depths: in the layout x lies in, so that neighbours keep theirs."""
    x = low.read(0)
    inner = is_depth_inner(x.shape, x.strides) and not is_channels_last(x.shape, x.strides)
    layout = "depth_inner" if inner else "channels_last"
    x, y = low.read(0, layout), low.write(0, layout)
    between = (*x.shape[:3], *y.shape[3:])
    flat = Window(*(part[1:] for part in (window.kernel, window.strides, window.dilations, window.before, window.after, window.out)))
    deep = Window(*((part[0], one) for part, one in ((window.kernel, 1), (window.strides, 1), (window.dilations, 1), (window.before, 0),
                                                      (window.after, 0), (window.out, y.shape[3] * y.shape[4]))))
    if (window.kernel[0], window.strides[0], window.before[0], window.after[0]) == (1, 1, 0, 0):
        emit_pool(low, _slices(low, y, inner), _slices(low, x, inner), flat, kind)
        return
    middle = low.temp(between, layout=depth_inner_strides(between) if inner else "channels_last")
    emit_pool(low, _slices(low, middle, inner), _slices(low, x, inner), flat, kind)
    emit_pool(low, depth_rows(y), depth_rows(middle), deep, kind)


def _slices(low: Lowering, t: Tensor, inner: bool) -> Tensor:
    """All depths as separate images, or as channels of one image where the layout has them inside the pixel."""
    n, c, d, h, w = t.shape
    if inner:
        return Tensor(t.buffer, (n, d * c, h, w), (t.strides[0], 1, *t.strides[3:]), t.offset)
    return depth_images(low, t)


def _emit_index(low: Lowering, window: Window) -> None:
    """MaxPool with its Indices."""
    x, y, index = (volume(t) for t in (low.read(0, "channels_last"), low.write(0, "channels_last"), low.write(1, "channels_last")))
    lead = 3 - len(window.kernel)
    kernel, strides, dilations = ((*(1,) * lead, *part) for part in (window.kernel, window.strides, window.dilations))
    steps, spatial = [1, 1, 1], x.shape[2:]
    order = (0, 1, 2) if low.node.attrs.get("storage_order", 0) else (2, 1, 0)
    for inner, outer in pairwise(order):
        steps[outer] = steps[inner] * spatial[inner]
    low.emit("max_pool_index", [y, index, x], y.size * math.prod(kernel), n=x.shape[0], c=x.shape[1], kernel=kernel, strides=strides,
             dilations=dilations, before=(*(0,) * lead, *window.before), **{"in": spatial}, out=y.shape[2:], steps=steps,
             y_strides=four_strides(y), i_strides=four_strides(index), x_strides=four_strides(x))


OPERATORS: dict[str, Op] = {
    "MaxPool": Pool(MAX),
    "AveragePool": Pool(AVERAGE),
    "LpPool": Pool(LP),
    "GlobalMaxPool": GlobalPool(MAX),
    "GlobalAveragePool": GlobalPool(AVERAGE),
    "GlobalLpPool": GlobalPool(LP),
}
