"""NormalizedPool: a pooling and the BatchNormalization that it alone reads, in one step: what fastcnn.plan.prologue makes."""
from __future__ import annotations

from dataclasses import replace

from fastcnn.fusions.normalized_conv import pack_affine
from fastcnn.ir.spec import Args, Spec
from fastcnn.machine.current import current
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.pooling.pool import pool_fields
from fastcnn.ops.reduction.normalization import batch_factors
from fastcnn.ops.window import resolve

CHANNELS = 32       # multiples of these at a time: two lines, or two vectors of the widest


class NormalizedPool(Op):
    """y[n,c,i,j] = max, mean or Lp norm over the window of clamp(scale[c] x + shift[c]): a part of its channels at a time, in L1.

    Inputs x, then scale, bias, mean and variance of the BatchNormalization; attributes epsilon and clamp, its activation, pool: the Node,
    and kind: of the pooling.
    """

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        attrs, pool = low.node.attrs, low.node.attrs["pool"]
        x, y = low.read(0, "channels_last"), low.write(0, "channels_last")
        (n, c, ih, iw), kernel = x.shape, tuple(pool.attrs["kernel_shape"])
        window = resolve(Args(pool, (), ()), (ih, iw), kernel)
        key = ("affine", *low.node.inputs[1:], attrs["epsilon"], attrs["clamp"])
        affine = low.packed(key, lambda: pack_affine(*batch_factors(low.args.values[1:], attrs["epsilon"]), attrs["clamp"]))
        covered = (kernel[0] - 1) * window.dilations[0] + 1
        low.emit("affine_pool", [y, x, affine], x.size, n=n, c=c, ih=ih, iw=iw, **place("x", x), **place("y", y),
                 **pool_fields(replace(low.args, node=pool), window, attrs["kind"]), block=_channels(covered * iw, c))


def _channels(pixels: int, c: int) -> int:
    """Channels whose strip of so many pixels fills half of L1."""
    fitting = current().l1d_bytes // 2 // (4 * pixels * CHANNELS)
    return min(c, max(1, fitting) * CHANNELS)
