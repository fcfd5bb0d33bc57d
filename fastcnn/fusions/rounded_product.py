"""RoundedProduct: a rounded product of a map and one number a channel, and the 1x1 Conv that alone reads it, as one step."""
from __future__ import annotations

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.implicit_gemm import banded
from fastcnn.fusions.fused import Fused, Neighbours
from fastcnn.fusions.nodes import conv_shape, is_pointwise
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import Tensor
from fastcnn.machine.current import current
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import conv_fields, epilogue, slope_of, vector_of

# Rows of fewer pixels leave most of a register tile empty; a smaller share of L2 costs nothing on its way to its reader.
NARROWEST, SHARE_OF_L2 = 14, 0.1


@dataclass(frozen=True)
class RoundedProduct(Fused):
    """y[n] = act(w round(x[n,c] * (b[n,c] * factor)) + bias + residual[n]): x is scaled and rounded while it is copied to the band."""

    product: BoundNode
    conv: BoundNode

    readers = frozenset({"Conv"})

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not isinstance(maker, BoundNode) or (maker.node.op_type, maker.node.domain) != ("RoundProduct", OWN_DOMAIN):
            return None
        x = reader.args.spec(0)
        if not is_pointwise(reader) or not near.is_private(maker.outputs[0]) or x.shape[3] < NARROWEST:
            return None
        return cls(maker, reader) if x.nbytes > SHARE_OF_L2 * current().l2_bytes else None

    def lower(self, low: Lowering) -> None:
        product, conv = low.part(self.product), low.part(self.conv)
        x, b, y = product.read(0, "channels_last"), product.read(1, "dense"), conv.write(0, "channels_last")
        residual = conv.read(3, "channels_last") if conv.args.has(3) else None
        shape = replace(conv_shape(self.conv), n=1, strict=conv.strict)
        picked = banded(shape, low.threads)
        packed = conv.packed_weights(conv.node.input(1), picked, conv.args.constant(1))
        more = vector_of(conv, 2, shape.oc), slope_of(conv, shape.oc)
        for i in range(x.shape[0]):
            target, source, added = y.slice(0, i, 1), x.slice(0, i, 1), residual and residual.slice(0, i, 1)
            low.emit(picked.kind, [target, source, packed, more[0], added, more[1], _affine(product, b.slice(0, i, 1))], shape.macs,
                     **conv_fields(picked, source, target, added, epilogue(conv.node.activation)))


def _affine(product: Lowering, b: Tensor) -> Tensor:
    """Scales, shifts, bounds and the word to round of the conv step: factors of one image, which a step makes, and numbers."""
    c, attrs = b.shape[1], product.node.attrs
    rest = product.constant(np.array([*[0.0] * c, attrs["lo"], attrs["hi"], 1.0], F32))
    affine = product.temp((2 * c + 3,))
    scales = affine.slice(0, 0, c)
    product.emit("unary", [scales, b], c, ndim=1, shape=(c,), y_strides=(1,), x_strides=(1,), fn=_native.UNARY["Affine"],
                 alpha=attrs["factor"], beta=0.0)
    product.copy(affine.slice(0, c, c + 3), rest)
    return affine
