"""QConvTranspose: QConv transposed. Apart from it, since few networks of bytes have one and what it needs takes a millisecond to import."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.spec import Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import two_dimensional
from fastcnn.ops.convolution.conv_transpose import by_output, emit_transposed, phases_of, transposed_window
from fastcnn.ops.quantized import in_floats
from fastcnn.ops.quantized.bytes import are_bytes, past_the_end
from fastcnn.ops.quantized.product_step import RESIDUAL, emit_product
from fastcnn.ops.window import two_axes


class QConvTranspose(Op):
    """As QConv, transposed: y[.., p*stride + k*dilation - pad] gets (x[.., p] - x_zero) * w[.., k]. ONNX ConvTranspose.

    x: (N, C, L) or (N, C, H, W); w: (C, M/group, k...).
    """

    def native(self, args: Args) -> bool:
        return are_bytes(args, 0) and args.spec(0).rank in (3, 4) and args.values[1] is not None and args.spec(0).size > 0

    def lower(self, low: Lowering) -> None:
        window, group, w = two_axes(transposed_window(low.args)), low.node.attrs.get("group", 1), low.args.constant(1)
        w = w[:, :, None, :] if w.ndim == 3 else w
        x = two_dimensional(past_the_end(low, low.read(0, "channels_last"), w.shape[0] // group))
        y = two_dimensional(low.write(0, "channels_last"))
        residual = two_dimensional(low.read(RESIDUAL, "channels_last")) if low.args.has(RESIDUAL) else None
        if not in_floats.has_dots():
            in_floats.lower_in_floats(low, y, x, residual, w, "channels_last",
                                      lambda v: v.reshape(group, -1, 1, 1).repeat(w.shape[0] // group, 0),
                                      lambda part, t, floats, scaled, name: emit_transposed(part, t, floats, None, scaled, name, window))
            return
        filters, name = by_output(low, w, group), low.node.input(1)
        assert isinstance(filters, np.ndarray)
        for phase in phases_of(y, x, residual, w, window, group):
            taken = filters[:, :, list(phase.rows)][:, :, :, list(phase.columns)]
            emit_product(low, phase.y, x, phase.residual, taken, f"{name}@{group}:{phase.rows},{phase.columns}", phase.window, group)


OPERATORS: dict[str, Op] = {"QConvTranspose": QConvTranspose()}
