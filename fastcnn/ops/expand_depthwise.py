"""ExpandDepthwise: a 1x1 Conv and the depthwise Conv that alone reads it, as one step. Made by fastcnn.plan.fusion, not by ONNX."""
from __future__ import annotations

import numpy as np

from fastcnn import _native
from fastcnn.choice import conv as choice
from fastcnn.ops.base import F32, Args, Lowering, Op, Spec
from fastcnn.ops.conv_emit import epilogue, place
from fastcnn.ops.window import resolve


class ExpandDepthwise(Op):
    """y = depthwise(act(w1 x + b1), w2) + b2, then activation. Inputs x, w1, b1, w2, b2; attributes expand and depthwise: the Nodes."""

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        args, expand, depthwise = low.args, low.node.attrs["expand"], low.node.attrs["depthwise"]
        w1, w2 = args.constant(1), args.constant(3)
        x, y = low.read(0, "pixels"), low.write(0, "channels_last")
        (n, ic, ih, iw), c = x.shape, w1.shape[0]
        spatial = Args(depthwise, (Spec(F32, (n, c, ih, iw)), args.specs[3]), (None, w2))
        window = resolve(spatial, (ih, iw), w2.shape[2:])
        nv = choice.best_nv(c, iw, ic)
        width = nv * _native.vector_length()
        packed = low.packed((low.node.input(1), "expand", nv),
                            lambda: _native.pack_gemm_b(np.ascontiguousarray(w1.reshape(c, ic)), False, nv))
        taps = low.packed((low.node.input(3), "panels", nv), lambda: pack_panels(w2, width))
        first, act = epilogue(expand.activation), epilogue(depthwise.activation)
        row_bytes = 4 * iw * width
        low.emit("expand_depthwise", [y, x, packed, self._bias(low, 2), taps, self._bias(low, 4)],
                 n * c * (ih * iw * ic + window.out[0] * window.out[1] * w2.shape[2] * w2.shape[3]),
                 n=n, kh=window.kernel[0], kw=window.kernel[1], sh=window.strides[0], sw=window.strides[1], dh=window.dilations[0],
                 dw=window.dilations[1], pt=window.before[0], pl=window.before[1], ih=ih, iw=iw, oh=window.out[0], ow=window.out[1],
                 ic=ic, c=c, **place("x", x), **place("y", y), **act, expand_fn=first["fn"], expand_alpha=first["alpha"],
                 expand_beta=first["beta"], nv=nv, block=choice.fused_rows(row_bytes, window.strides[0], window.out[0]))

    def _bias(self, low: Lowering, i: int):
        value = low.args.values[i] if low.args.has(i) else None
        return None if value is None else low.packed(("vector", low.node.input(i), value.size),
                                                     lambda: np.ascontiguousarray(value.ravel(), F32))


def pack_panels(w: np.ndarray, width: int) -> np.ndarray:
    """(C, 1, kh, kw) as [panel][kh][kw][channels of the panel], the last panel narrower."""
    out = _native.aligned_empty(w.size)
    parts = [w[k:k + width, 0].transpose(1, 2, 0).ravel() for k in range(0, w.shape[0], width)]
    out[:] = np.concatenate(parts)
    return out
