"""ConvPool: a dense Conv and the pooling that alone reads it: what fastcnn.plan.stem makes."""
from __future__ import annotations

from dataclasses import replace

from fastcnn.convolve import ladder
from fastcnn.convolve.blocking import strip_rows
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.implicit_gemm import implicit_gemm
from fastcnn.convolve.kept_width import keep_width
from fastcnn.convolve.shape import ConvShape
from fastcnn.ir.graph import Node
from fastcnn.ir.spec import Args, Spec
from fastcnn.ir.tensor import Tensor, channels_last_strides
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import epilogue, place, three_planes, vector_of
from fastcnn.ops.pooling.pool import pool_fields
from fastcnn.ops.window import Window, resolve


class ConvPool(Op):
    """y[n,m,i,j] = max, mean or Lp norm over the window of act(w * x + b)[n,m,:,:].

    Inputs x, w, b, "", slope as Conv has them; attributes conv and pool: the Nodes, kind: of the pooling; factor: of the rows at a time.
    """

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        w, (dense, window), pool = low.args.constant(1), windows(low.node, low.args), low.node.attrs["pool"]
        x = three_planes(low, dense, 1) or low.read(0, "channels_last")
        y = low.write(0, "channels_last")
        (n, ic, _, _), c, (ih, iw), (oh, _) = x.shape, w.shape[0], dense.out, window.out
        covered, stride = (window.kernel[0] - 1) * window.dilations[0] + 1, window.strides[0]
        block = strip_rows(4 * iw * c, covered, stride, oh, low.node.attrs.get("factor", 1))
        first = _strip_choice(low, x, c, dense, (block - 1) * stride + covered)
        packed = low.packed((low.node.input(1), *first.layout), lambda: ladder.pack(first, w))
        low.emit("conv_pool", [y, x, packed, vector_of(low, 2, c), vector_of(low, 4, c)], n * c * ih * iw * w[0].size,
                 n=n, ih=ih, iw=iw, **pool_fields(replace(low.args, node=pool), window, low.node.attrs["kind"]), **place("x", x),
                 **place("y", y), c=c, ic=ic, **epilogue(low.node.attrs["conv"].activation), block=block,
                 first_kh=dense.kernel[0], first_kw=dense.kernel[1], first_sh=dense.strides[0], first_sw=dense.strides[1],
                 first_pt=dense.before[0], first_pl=dense.before[1], first_ih=x.shape[2], first_iw=x.shape[3],
                 **{f"first_{name}": first.fields[name] for name in ("nv", "band", "block", "pair")})


def _strip_choice(low: Lowering, x: Tensor, c: int, dense: Window, rows: int) -> Choice:
    """How so many rows of the convolution are computed."""
    shape = replace(dense_shape(x.shape, c, dense), oh=rows)
    places = x.strides, channels_last_strides((1, c, rows, shape.ow))
    return keep_width(implicit_gemm(shape, places, 1), places, low.widths(low.node.input(1)), 1)


def windows(node: Node, args: Args) -> tuple[Window, Window]:
    """The windows of the convolution and of the pooling."""
    x, w, pool = args.spec(0), args.spec(1), node.attrs["pool"]
    dense = resolve(Args(node.attrs["conv"], (x, w), (None, None)), x.shape[2:], w.shape[2:])
    return dense, resolve(Args(pool, (), ()), dense.out, tuple(pool.attrs["kernel_shape"]))


def dense_shape(x: tuple[int, ...], c: int, dense: Window) -> ConvShape:
    """The convolution of one image of x (N, C, H, W) to c channels."""
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = dense.kernel, dense.strides, dense.dilations, dense.before
    return ConvShape(1, 1, x[1], c, kh, kw, sh, sw, dh, dw, pt, pl, x[2], x[3], *dense.out)
