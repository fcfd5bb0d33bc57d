"""DeformConv: convolution whose taps lie where a tensor of offsets says."""
from __future__ import annotations

from fastcnn.convolve.choice import Choice
from fastcnn.convolve.implicit_gemm import IN_PLACE, panels
from fastcnn.convolve.shape import ConvShape
from fastcnn.convolve.tile import best_nv
from fastcnn.ir.spec import Args, bad_shape
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import pack_at_run_time, place, vector_of, weights_of
from fastcnn.ops.image import is_image
from fastcnn.ops.resampling.grid_sample import MAX_OFFSET
from fastcnn.ops.window import Window, resolve


class DeformConv(Op):
    """y[n,m,i,j] = b[m] + sum_{c,t} mask[n,t,i,j] * w[m,c,t] * x[n, c, i*sh - pt + r*dh + oy[n,t,i,j], j*sw - pl + s*dw + ox[n,t,i,j]].

    t = (r, s); x between pixels is bilinear, 0 outside. x: (N, C, H, W), w: (M, C/group, kh, kw), offset: (N,
    offset_group*kh*kw*2, H', W'), mask: (N, offset_group*kh*kw, H', W'). ONNX DeformConv-19, 22. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        return super().native(args) and is_image(args.spec(0), (4,)) and args.spec(0).size < MAX_OFFSET and args.spec(1).size > 0

    def lower(self, low: Lowering) -> None:
        window, (group, offset_group) = _window(low.args), _groups(low.args)
        x, offset, y = low.read(0, "channels_last"), low.read(2, "channels_last"), low.write(0, "channels_last")
        mask = low.read(4, "channels_last") if low.args.has(4) else None
        w = weights_of(low)
        n, m, oh, ow = y.shape
        (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
        shape = ConvShape(n, group, w.shape[1], m // group, kh, kw, sh, sw, dh, dw, pt, pl, x.shape[2], x.shape[3], oh, ow)
        nv = best_nv(shape.oc, ow, shape.k)
        picked = Choice(IN_PLACE.name, "deform_conv", shape, {"nv": nv}, (group, nv))
        if isinstance(w, Tensor):
            packed = pack_at_run_time(low, picked, w)
        else:
            packed = low.packed((low.node.input(1), *panels(nv, group)), lambda: IN_PLACE.pack(picked, w))
        low.emit("deform_conv", [y, x, packed, vector_of(low, 3, m), offset, mask], shape.macs, n=n, kh=kh, kw=kw, sh=sh, sw=sw, dh=dh,
                 dw=dw, pt=pt, pl=pl, ih=x.shape[2], iw=x.shape[3], oh=oh, ow=ow, groups=group, ic=shape.ic, oc=shape.oc,
                 offset_groups=offset_group, nv=nv, **place("x", x), **place("y", y), **place("o", offset), **place("m", mask))


def _groups(args: Args) -> tuple[int, int]:
    """group and offset_group. Raises ShapeError."""
    groups = args.node.attrs.get("group", 1), args.node.attrs.get("offset_group", 1)
    if min(groups) < 1:
        raise bad_shape(args, f"group={groups[0]}, offset_group={groups[1]}")
    return groups


def _window(args: Args) -> Window:
    return resolve(args, args.spec(0).shape[2:], args.spec(1).shape[2:])


OPERATORS: dict[str, Op] = {"DeformConv": DeformConv()}
