"""Conv and ConvTranspose: which steps compute them, and with which weights. Three spatial axes go through conv3d.py."""
from __future__ import annotations

import numpy as np

from fastcnn.ops.base import Args, Lowering, Op, Spec, bad_shape
from fastcnn.ops.conv3d import is_native as conv3d_native
from fastcnn.ops.conv3d import lower as lower_conv3d
from fastcnn.ops.conv_emit import emit_conv, two_axes, two_dimensional
from fastcnn.ops.window import Window, resolve
from fastcnn.tensor import Tensor


class Conv(Op):
    """y[n,m,i,j] = b[m] + sum_{c,r,s} x[n, c, i*sh - pt + r*dh, j*sw - pl + s*dw] * w[m,c,r,s], then + residual, then activation.

    x: (N, C, H, W), (N, C, L) or (N, C, D, H, W) float32; w: (M, C/group, kh, kw), constant. ONNX Conv-1, 11, 22. Input 3 is a residual, input 4 a PRelu
    slope per channel (fused by passes). Raises ShapeError when channels, group or window do not fit.
    """

    def native(self, args: Args) -> bool:
        rank = args.spec(0).rank
        return super().native(args) and args.values[1] is not None and (rank in (3, 4) or (rank == 5 and conv3d_native(args)))

    def infer(self, args: Args) -> list[Spec]:
        x, w = args.spec(0), args.spec(1)
        group = args.node.attrs.get("group", 1)
        if x.rank < 3 or w.rank != x.rank:
            raise bad_shape(args, "x and w must have the same rank, at least 3")
        if x.shape[1] != w.shape[1] * group or w.shape[0] % group:
            raise bad_shape(args, f"x has {x.shape[1]} channels, w {list(w.shape)} wants {w.shape[1] * group} with group={group}")
        if args.has(2) and args.spec(2).shape != (w.shape[0],):
            raise bad_shape(args, f"bias {list(args.spec(2).shape)} for {w.shape[0]} output channels")
        window = _window(args)
        y = Spec(x.dtype, (x.shape[0], w.shape[0], *window.out))
        if args.has(3) and args.spec(3).shape != y.shape:
            raise bad_shape(args, f"residual {list(args.spec(3).shape)} for output {list(y.shape)}")
        return [y]

    def lower(self, low: Lowering) -> None:
        window = _window(low.args)
        if len(window.kernel) == 3:
            lower_conv3d(low, window)
            return
        x = two_dimensional(low.read(0, "channels_last"))
        residual = two_dimensional(low.read(3, "channels_last")) if low.args.has(3) else None
        y = two_dimensional(low.write(0, "channels_last"))
        weights = low.args.values[1]
        if len(window.kernel) == 1:
            weights = weights[:, :, None, :]
        emit_conv(low, y, x, residual, weights, low.node.input(1), two_axes(window), low.node.attrs.get("group", 1))


class ConvTranspose(Op):
    """y[n,m,i,j] = b[m] + sum over x[n,c,p,q] * w[c,m,r,s] with i = p*sh - pt + r*dh, j = q*sw - pl + s*dw.

    Computed as sh*sw convolutions of stride 1, one for each position of the output lattice, each with the kernel elements that
    reach it. w: (C, M/group, kh, kw). ONNX ConvTranspose-1, 11, 22. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        return super().native(args) and args.spec(0).rank in (3, 4) and args.values[1] is not None

    def infer(self, args: Args) -> list[Spec]:
        x, w = args.spec(0), args.spec(1)
        group = args.node.attrs.get("group", 1)
        if x.rank < 3 or w.rank != x.rank:
            raise bad_shape(args, "x and w must have the same rank, at least 3")
        if x.shape[1] != w.shape[0] or w.shape[0] % group:
            raise bad_shape(args, f"x has {x.shape[1]} channels, w {list(w.shape)} wants {w.shape[0]} with group={group}")
        return [Spec(x.dtype, (x.shape[0], w.shape[1] * group, *transposed_window(args).out))]

    def lower(self, low: Lowering) -> None:
        window = two_axes(transposed_window(low.args))
        group = low.node.attrs.get("group", 1)
        x = two_dimensional(low.read(0, "channels_last"))
        residual = two_dimensional(low.read(3, "channels_last")) if low.args.has(3) else None
        y = two_dimensional(low.write(0, "channels_last"))
        w = low.args.values[1]
        if w.ndim == 3:
            w = w[:, :, None, :]
        c, m, kh, kw = w.shape
        by_output = w.reshape(group, c // group, m, kh, kw).swapaxes(1, 2).reshape(group * m, c // group, kh, kw)
        for phase_h in range(min(window.strides[0], window.out[0])):
            for phase_w in range(min(window.strides[1], window.out[1])):
                axes = [_phase(window, axis, phase) for axis, phase in enumerate((phase_h, phase_w))]
                kernel = by_output[:, :, axes[0].taps][:, :, :, axes[1].taps]
                for axis, part in enumerate(axes):
                    if part.gap > 1:
                        kernel = np.insert(kernel, [k for k in range(1, kernel.shape[2 + axis]) for _ in range(part.gap - 1)], 0, 2 + axis)
                sub = Window(kernel.shape[2:], (1, 1), (1, 1), (axes[0].before, axes[1].before), (0, 0), (axes[0].count, axes[1].count))
                lattice = [_every(t, phase_h, phase_w, window, axes) if t is not None else None for t in (y, residual)]
                emit_conv(low, lattice[0], x, lattice[1], kernel, f"{low.node.input(1)}@{phase_h},{phase_w}/{window}", sub, group)


class _Phase:
    """Output positions q*stride + phase of one axis as a stride-1 convolution: its kernel elements in order, leading pad, count."""

    def __init__(self, taps: list[int], gap: int, before: int, count: int):
        self.taps, self.gap, self.before, self.count = taps, gap, before, count


def _phase(window: Window, axis: int, phase: int) -> _Phase:
    """Which kernel elements k reach position o = q*stride + phase from inputs i = (o + pad - k*dilation) / stride.

    The inputs that successive elements read differ by -gap, so the elements go in reverse order. When no element reaches the
    phase, one element that always reads padding stands in: the result is the bias.
    """
    kernel, stride, dilation, pad = (window.kernel[axis], window.strides[axis], window.dilations[axis], window.before[axis])
    count = -(-(window.out[axis] - phase) // stride)
    taps = [k for k in range(kernel) if (phase + pad - k * dilation) % stride == 0]
    if not taps:
        return _Phase([0], 1, 1 << 30, count)
    starts = [(phase + pad - k * dilation) // stride for k in taps]
    gap = starts[0] - starts[1] if len(taps) > 1 else 1
    return _Phase(taps[::-1], gap, -starts[-1], count)


def _every(t: Tensor, phase_h: int, phase_w: int, window: Window, axes: list[_Phase]) -> Tensor:
    """The lattice of t at one phase."""
    return t.slice(2, phase_h, axes[0].count, window.strides[0]).slice(3, phase_w, axes[1].count, window.strides[1])


def transposed_window(args: Args) -> Window:
    """Window of a ConvTranspose; out = stride*(in-1) + output_padding + dilation*(kernel-1) + 1 - before - after."""
    x, w, attrs = args.spec(0), args.spec(1), args.node.attrs
    rank = x.rank - 2
    strides, dilations = (tuple(attrs.get(k) or [1] * rank) for k in ("strides", "dilations"))
    extra = tuple(attrs.get("output_padding") or [0] * rank)
    full = [s * (n - 1) + e + d * (k - 1) + 1 for s, n, e, d, k in zip(strides, x.shape[2:], extra, dilations, w.shape[2:])]
    auto_pad = attrs.get("auto_pad", "NOTSET") or "NOTSET"
    out = attrs.get("output_shape")
    if out is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        out = list(out)[-rank:] if out is not None else [n * s for n, s in zip(x.shape[2:], strides)]
        total = [max(f - o, 0) for f, o in zip(full, out)]
        before = [t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in total]
        after = [t - b for t, b in zip(total, before)]
    else:
        pads = list(attrs.get("pads") or [0] * 2 * rank) if auto_pad == "NOTSET" else [0] * 2 * rank
        before, after = pads[:rank], pads[rank:]
        out = [f - b - a for f, b, a in zip(full, before, after)]
    if min(out) < 1 and min(x.shape[2:]) > 0:
        raise bad_shape(args, f"output extents {list(out)}: pads={[*before, *after]} are too large")
    return Window(tuple(w.shape[2:]), strides, dilations, tuple(before), tuple(after), tuple(out))


def _window(args: Args) -> Window:
    return resolve(args, args.spec(0).shape[2:], args.spec(1).shape[2:])
