"""ConvDepthwise: a dense Conv, the depthwise Conv that alone reads it and maybe the 1x1 Conv after: what fastcnn.plan.fusion makes."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastcnn import _native
from fastcnn.convolve import ladder
from fastcnn.convolve.blocking import fused_rows, whole_tiles
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.depthwise import tile_rows
from fastcnn.convolve.implicit_gemm import implicit_gemm, panels
from fastcnn.convolve.kept_width import keep_width, kept_nv
from fastcnn.convolve.shape import ConvShape
from fastcnn.convolve.tile import best_nv
from fastcnn.ir.graph import Node
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import epilogue, place, three_planes, vector_of
from fastcnn.ops.window import Window, resolve


class ConvDepthwise(Op):
    """y = act3(w3 act2(depthwise(act1(w1 * x + b1), w2) + b2) + b3 + residual); the last convolution only with the attribute `last`.

    Inputs x, w1, b1, w2, b2, w3, b3, residual; attributes first, depthwise and last: the Nodes; skip: the residual is act1(w1 * x + b1);
    factor: of the rows at a time. A second output, without `last`: (N, C, H, 1), the mean of each row.
    """

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        w1, w2 = low.args.constant(1), low.args.constant(3)
        dense, window = windows(low.node, low.args)
        (n, ic, _, _), c, (ih, iw), (oh, ow) = low.args.spec(0).shape, w1.shape[0], dense.out, window.out
        first = first_choice(low.args.spec(0).shape, c, dense, low.widths(low.node.input(1)))
        nv = first.fields["nv"]
        x = (three_planes(low, dense, 1) if first.fields["band"] else None) or low.read(0, "channels_last")
        y, residual = low.write(0, "channels_last"), low.read(7, "channels_last") if low.args.has(7) else None
        means = low.write(1, (oh * c, 1, c, c)) if len(low.node.outputs) > 1 else None
        packed = low.packed((low.node.input(1), *first.layout), lambda: ladder.pack(first, w1))
        taps = low.packed((low.node.input(3), "vectors"), lambda: pack_vectors(w2))
        last, last_fields, last_macs = self._last(low, c, ow)
        row_bytes = 4 * iw * nv * _native.vector_length()
        act1 = epilogue(low.node.attrs["first"].activation)
        tile = tile_rows(depthwise_shape(n, c, window, ih, iw))
        block = whole_tiles(fused_rows(row_bytes, window.strides[0], oh, low.node.attrs.get("factor", 1)), tile)
        low.emit("conv_depthwise", [y, x, packed, vector_of(low, 2, c), taps, vector_of(low, 4, c), *last, residual, means],
                 n * (c * (ih * iw * w1[0].size + oh * ow * w2[0].size) + last_macs * oh * ow),
                 n=n, kh=window.kernel[0], kw=window.kernel[1], sh=window.strides[0], sw=window.strides[1], dh=window.dilations[0],
                 dw=window.dilations[1], pt=window.before[0], pl=window.before[1], ih=ih, iw=iw, oh=oh, ow=ow, ic=ic, c=c,
                 **place("x", x), **place("y", y), **place("r", residual), **epilogue(low.node.attrs["depthwise"].activation),
                 block=block, first_kh=dense.kernel[0], first_kw=dense.kernel[1],
                 first_sh=dense.strides[0], first_sw=dense.strides[1], first_pt=dense.before[0], first_pl=dense.before[1],
                 first_ih=x.shape[2], first_iw=x.shape[3], first_nv=nv, first_band=first.fields["band"],
                 first_pair=first.fields["pair"], tile_rows=tile,
                 **{f"first_{key}": value for key, value in act1.items()}, **last_fields)

    def _last(self, low: Lowering, c: int, ow: int):
        """Operands, fields and MACs per pixel of the 1x1 convolution at the end."""
        node = low.node.attrs.get("last")
        act3 = {f"last_{key}": value for key, value in epilogue(node and node.activation).items()}
        if node is None:
            return [None, None], {"oc": 0, "last_nv": 0, "last_pair": 0, "skip": 0, **act3}, 0
        w3 = low.args.constant(5)
        oc = w3.shape[0]
        nv = kept_nv(oc, ow, c, best_nv(oc, ow, c), low.widths(low.node.input(5)))
        packed = low.packed((low.node.input(5), *panels(nv)),
                            lambda: _native.pack_gemm_b(np.ascontiguousarray(w3.reshape(oc, c)), False, nv))
        skip = int(node.input(3) == low.node.attrs["first"].outputs[0])
        fields = {"oc": oc, "last_nv": nv, "last_pair": int(_native.gemm_pair(ow) > 0), "skip": skip, **act3}
        return [packed, vector_of(low, 6, oc)], fields, c * oc


def windows(node: Node, args: Args) -> tuple[Window, Window]:
    """The windows of the dense and of the depthwise convolution."""
    x, w1, w2 = args.spec(0), args.spec(1), args.spec(3)
    dense = resolve(Args(node.attrs["first"], (x, w1), (None, None)), x.shape[2:], w1.shape[2:])
    between = Spec(F32, (x.shape[0], w1.shape[0], *dense.out))
    return dense, resolve(Args(node.attrs["depthwise"], (between, w2), (None, None)), dense.out, w2.shape[2:])


def first_choice(x: tuple[int, ...], c: int, dense: Window, widths: Sequence[int] = ()) -> Choice:
    """How the dense convolution is computed row by row; what it writes has no place: rows that stay in cache."""
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = dense.kernel, dense.strides, dense.dilations, dense.before
    shape = ConvShape(1, 1, x[1], c, kh, kw, sh, sw, dh, dw, pt, pl, x[2], x[3], *dense.out)
    places = ((0, 1, x[3] * x[1], x[1]),)
    return keep_width(implicit_gemm(shape, places, 1), places, widths, 1)


def depthwise_shape(n: int, c: int, window: Window, ih: int, iw: int) -> ConvShape:
    """The depthwise convolution by itself."""
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    return ConvShape(n, c, 1, 1, kh, kw, sh, sw, dh, dw, pt, pl, ih, iw, *window.out)


def pack_vectors(w: np.ndarray) -> np.ndarray:
    """(C, 1, kh, kw) as [vector of channels][kh][kw][V], zeros past C."""
    c, _, kh, kw = w.shape
    v = _native.vector_length()
    vectors = -(-c // v)
    out = _native.aligned_empty(vectors * v * kh * kw)
    padded = np.zeros((vectors * v, kh * kw), F32)
    padded[:c] = w.reshape(c, kh * kw)
    out[:] = padded.reshape(vectors, v, kh * kw).transpose(0, 2, 1).ravel()
    return out
