"""LocallyConnected: convolution whose weights differ from one output position to the next (unshared)."""
from __future__ import annotations

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import epilogue, place
from fastcnn.ops.image import is_image

# Vectors of a register tile. One image is a matrix-vector product: as many sums as there are, to hide the latency of additions.
TILE_VECTORS = 4


class LocallyConnected(Op):
    """y[n,m,i,j] = b[i,j,m] + sum_{r,s,c} w[i,j,r,s,c,m] * x[n, c, i*sh - pt + r*dh, j*sw - pl + s*dw], x being 0 outside.

    x: (N, C, H, W), w: (H', W', kh, kw, C, M), b: (H', W', M), constants. pads = (pt, pl). Not of ONNX: what
    passes/recognise/unshared_convolution.py makes of an unfold and a batched product. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        constant = all(value is not None for value in args.values[1:])
        return super().native(args) and constant and is_image(args.spec(0), (4,)) and args.spec(1).size > 0

    def lower(self, low: Lowering) -> None:
        x, y, w = low.read(0, "channels_last"), low.write(0, "channels_last"), low.args.constant(1)
        oh, ow, kh, kw, ic, oc = w.shape
        nv = min(TILE_VECTORS, -(-oc // _native.vector_length()))
        packed = low.packed((low.node.input(1), "local_conv", nv), lambda: pack(w, nv))
        bias = low.constant(np.ascontiguousarray(low.args.constant(2), F32)) if low.args.has(2) else None
        (sh, sw), (dh, dw), (pt, pl) = (low.node.attrs[name] for name in ("strides", "dilations", "pads"))
        low.emit("local_conv", [y, x, packed, bias], y.shape[0] * w.size, n=x.shape[0], kh=kh, kw=kw, sh=sh, sw=sw, dh=dh, dw=dw, pt=pt,
                 pl=pl, ih=x.shape[2], iw=x.shape[3], oh=oh, ow=ow, ic=ic, oc=oc, nv=nv, **place("x", x), **place("y", y),
                 **epilogue(low.node.activation))


def pack(w: np.ndarray, nv: int) -> np.ndarray:
    """The weights of each position as panels of nv vectors, one position after the other."""
    oh, ow = w.shape[:2]
    matrices = np.ascontiguousarray(w, F32).reshape(oh * ow, -1, w.shape[5])
    first = _native.pack_gemm_b(matrices[0], True, nv)
    packed = _native.aligned_empty(oh * ow * first.size)
    for k, matrix in enumerate(matrices):
        packed[k * first.size:(k + 1) * first.size] = _native.pack_gemm_b(matrix, True, nv)
    return packed


OPERATORS: dict[str, Op] = {"LocallyConnected": LocallyConnected()}
