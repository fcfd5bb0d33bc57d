"""ScaledConv: a 1x1 Conv of x scaled by channel, squeeze-and-excitation's end: what fastcnn.plan.scaling makes of Mul and Conv."""
from __future__ import annotations

from fastcnn.ir.spec import Args, Spec
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv import Conv
from fastcnn.ops.convolution.conv_emit import emit_conv, weights_of
from fastcnn.ops.window import resolve, two_axes

SCALE = 5          # which input the scale is, after x, w, bias, residual and slope


class ScaledConv(Conv):
    """y[n] = act(sum_c x[n,c] * (scale[n,c] * w[m,c]) + b[m] + residual[n]): the scale goes into the weights, image by image.

    Inputs as Conv has them, then scale (N, C, 1, 1).
    """

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        x, y, scale = low.read(0, "channels_last"), low.write(0), low.read(SCALE, "dense")
        residual = low.read(3, "channels_last") if low.args.has(3) else None
        window = two_axes(resolve(low.args, x.shape[2:], (1, 1)))
        for i in range(x.shape[0]):
            emit_conv(low, y.slice(0, i, 1), x.slice(0, i, 1), residual and residual.slice(0, i, 1), weights_of(low), low.node.input(1),
                      window, 1, scale=scale.slice(0, i, 1))
