"""ConvTranspose: convolutions of stride 1, one for each position of the output lattice, or one product whose windows are added up.

Over three axes one of these for every output depth.
"""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fastcnn.convolve.shape import ConvShape
from fastcnn.convolve.transposed import axes_of, phase, takes_product
from fastcnn.inference.site import Mismatch
from fastcnn.inference.sizes import numbers
from fastcnn.inference.windows import transposed_extents
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import Args, bad_shape
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv3d import MAX_TERM_WINDOW, depth_runs, kernel_slices, slices_as_channels
from fastcnn.ops.convolution.conv_emit import WHOLE, Term, emit_conv, emit_unseen, two_dimensional, weights_of
from fastcnn.ops.convolution.transposed_product import emit_product
from fastcnn.ops.window import Window, shared, two_axes


class ConvTranspose(Op):
    """y[n,m,i,j] = b[m] + sum over x[n,c,p,q] * w[c,m,r,s] with i = p*sh - pt + r*dh, j = q*sw - pl + s*dw.

    Computed as sh*sw convolutions of stride 1, one for each position of the output lattice, each with the kernel elements that
    reach it, or as one product of all pixels and taps whose results are added where they overlap: fastcnn/convolve/transposed.py decides.
    x: (N, C, L), (N, C, H, W) or (N, C, D, H, W); w: (C, M/group, kh, kw). ONNX ConvTranspose-1, 11, 22. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        x, w = args.spec(0), args.spec(1)
        volume = x.rank == 5 and math.prod(w.shape[3:]) <= MAX_TERM_WINDOW
        return super().native(args) and w.size > 0 and (x.rank in (3, 4) or volume)

    def lower(self, low: Lowering) -> None:
        window = transposed_window(low.args)
        if len(window.kernel) == 3:
            _lower_volume(low, window)
            return
        x = two_dimensional(low.read(0, "channels_last"))
        residual = two_dimensional(low.read(3, "channels_last")) if low.args.has(3) else None
        y = two_dimensional(low.write(0, "channels_last"))
        emit_transposed(low, y, x, residual, weights_of(low), low.node.input(1), two_axes(window))


def emit_transposed(low: Lowering, y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray | Tensor, name: str, window: Window,
                    term: Term = WHOLE) -> None:
    """The steps of one two-dimensional transposed convolution, w (C, M/group, kh, kw)."""
    group = low.node.attrs.get("group", 1)
    shape = _shape_of(x, w, window, group, low.strict)
    joins = group == 1 and y.strides[3] == y.shape[1]
    if takes_product(shape, joins):
        emit_product(low, y, x, residual, w, name, shape, joins, term)
        return
    filters = by_output(low, w, group)
    for part in phases_of(y, x, residual, w, window, group):
        taken = _taken(_taken(filters, 2, part.rows), 3, part.columns)
        emit_conv(low, part.y, x, part.residual, taken, f"{name}@{group}:{part.rows},{part.columns}", part.window, group, term)


@dataclass(frozen=True)
class PhaseStep:
    """One position of the output lattice: its places in y and a residual, the window over x, which taps of the kernel it takes."""

    y: Tensor
    residual: Tensor | None
    window: Window
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def phases_of(y: Tensor, x: Tensor, residual: Tensor | None, w: np.ndarray | Tensor, window: Window, group: int) -> Iterator[PhaseStep]:
    """The convolutions of stride 1 that make up a two-dimensional transposed one."""
    shape = _shape_of(x, w, window, group, False)
    for phase_h in range(min(shape.sh, shape.oh)):
        for phase_w in range(min(shape.sw, shape.ow)):
            down, across = (phase(axis, number) for axis, number in zip(axes_of(shape), (phase_h, phase_w), strict=True))
            kernel = len(down.taps), len(across.taps)
            sub = Window(kernel, (1, 1), (down.gap, across.gap), (down.before, across.before), (0, 0), (down.count, across.count))
            target, added = (t and t.slice(2, phase_h, down.count, shape.sh).slice(3, phase_w, across.count, shape.sw)
                             for t in (y, residual))
            assert target is not None
            yield PhaseStep(target, added, sub, down.taps, across.taps)


def _shape_of(x: Tensor, w: np.ndarray | Tensor, window: Window, group: int, strict: bool) -> ConvShape:
    """A transposed convolution whose strides are those of y, as fastcnn.convolve.transposed sees it."""
    (n, c, ih, iw), (oh, ow) = x.shape, window.out
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    return ConvShape(n, group, c // group, w.shape[1], kh, kw, sh, sw, dh, dw, pt, pl, ih, iw, oh, ow, strict=strict)


def by_output(low: Lowering, w: np.ndarray | Tensor, group: int) -> np.ndarray | Tensor:
    """w (C, M/group, kh, kw) as (M, C/group, kh, kw)."""
    c, m, kh, kw = w.shape
    split, merged = (group, c // group, m, kh, kw), (group * m, c // group, kh, kw)
    if isinstance(w, np.ndarray):
        low.contents(1)
        return w.reshape(split).swapaxes(1, 2).reshape(merged)
    source, dense = w.reshape(split), low.temp((group, m, c // group, kh, kw))
    target = dense.reshape(merged)
    assert source is not None and target is not None, "one axis split, dense axes merged"
    low.copy(dense, source.transpose((0, 2, 1, 3, 4)))
    return target


def _taken(w: np.ndarray | Tensor, axis: int, taps: tuple[int, ...]) -> np.ndarray | Tensor:
    """The evenly spaced taps of one axis."""
    if isinstance(w, np.ndarray):
        return w.take(taps, axis)
    return w.slice(axis, taps[0], len(taps), taps[1] - taps[0] if len(taps) > 1 else 1)


def _lower_volume(low: Lowering, window: Window) -> None:
    """For each output depth the input depths that reach it: neighbouring ones as channels of one image, others added one by one."""
    x, y = low.read(0, "depth_inner"), low.write(0, "depth_inner")
    residual = low.read(3, "depth_inner") if low.args.has(3) else None
    w, stride, pad, dilation = weights_of(low), window.strides[0], window.before[0], window.dilations[0]
    inner = Window(*(part[1:] for part in (window.kernel, window.strides, window.dilations, window.before, window.after, window.out)))
    for depth in range(window.out[0]):
        steps = [(depth + pad - k * dilation, k) for k in range(window.kernel[0])]
        pairs = sorted((step // stride, k) for step, k in steps if step % stride == 0 and 0 <= step // stride < x.shape[2])
        runs = depth_runs(pairs, merge=low.node.attrs.get("group", 1) == 1)
        target, before = y.select(2, depth), residual and residual.select(2, depth)
        if not runs:
            emit_unseen(low, target, slices_as_channels(x, 0, 1), before, low.node.input(1))
        for number, (first, taps) in enumerate(runs):
            shape = len(taps) * w.shape[0], w.shape[1], *w.shape[3:]
            kernel = kernel_slices(low, w, taps, (2, 0, 1, 3, 4), shape)
            emit_transposed(low, target, slices_as_channels(x, first, len(taps)), target if number else before, kernel,
                            f"{low.node.input(1)}@{taps}", inner, Term(number == 0, number == len(runs) - 1))


def transposed_window(args: Args) -> Window:
    """Window of a ConvTranspose: what its outputs would have beyond `out` is cropped before and after. Raises ShapeError."""
    x, w, attrs = args.spec(0), args.spec(1), args.node.attrs
    rank, auto_pad, kernel = x.rank - 2, attrs.get("auto_pad") or "NOTSET", w.shape[2:]
    strides, dilations = (tuple(attrs.get(k) or [1] * rank) for k in ("strides", "dilations"))
    try:
        out = numbers(transposed_extents(attrs, x.shape[2:], kernel))
    except Mismatch as error:
        raise bad_shape(args, str(error)) from None
    if auto_pad == "NOTSET" and not attrs.get("output_shape"):
        sides = tuple(attrs.get("pads") or [0] * 2 * rank)
    else:
        extra = attrs.get("output_padding") or [0] * rank
        full = [s * (n - 1) + e + d * (k - 1) + 1 for s, n, e, d, k in zip(strides, x.shape[2:], extra, dilations, kernel)]
        sides = shared([max(f - o, 0) for f, o in zip(full, out)], auto_pad)
    return Window(kernel, strides, dilations, sides[:rank], sides[rank:], out)


OPERATORS: dict[str, Op] = {"ConvTranspose": ConvTranspose()}
