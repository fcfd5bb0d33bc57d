"""Depthwise convolutions on row-major planes: vectors along rows, without the two changes of layout that pixels would need."""
from __future__ import annotations

from fastcnn.ir.tensor import is_dense
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import epilogue, two_dimensional, vector_of
from fastcnn.ops.window import Window

SHORTEST_ROW = 24           # of the input that the windows see: in shorter ones the last vectors are too empty
CLAMPS = ("Relu", "Clip")   # what the kernel does as it stores


def keeps_planes(low: Lowering, window: Window, group: int) -> bool:
    """Whether a Conv over one or two axes is depthwise, its weights constant, and both its input and its output row-major anyway."""
    x, w, activation = low.read(0), low.args.values[1], low.node.activation
    if w is None or low.args.has(3) or low.args.has(4) or not (activation is None or activation.name in CLAMPS):
        return False
    depthwise = group == x.shape[1] == w.shape[0] and len(window.kernel) < 3
    along = window.strides[-1] <= 2 and min(window.before) >= 0 and window.out[-1] * window.strides[-1] >= SHORTEST_ROW
    return depthwise and along and is_dense(x.shape, x.strides) and low.dense_output()


def lower_planes(low: Lowering, window: Window) -> None:
    """One step, its window over two axes."""
    y, x, w = low.write(0, "dense"), two_dimensional(low.read(0)), low.args.constant(1)
    y = two_dimensional(y)
    n, c, oh, ow = y.shape
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    weights = low.packed((low.node.input(1), "planes"), lambda: w.ravel())
    low.emit("depthwise_planes", [y, x, weights, vector_of(low, 2, c)], y.size * kh * kw, n=n, c=c, kh=kh, kw=kw, sh=sh, sw=sw, dh=dh,
             dw=dw, pt=pt, pl=pl, ih=x.shape[2], iw=x.shape[3], oh=oh, ow=ow, **epilogue(low.node.activation))
