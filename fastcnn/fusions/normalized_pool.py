"""NormalizedPool: a BatchNormalization and the pooling that alone reads it (DenseNet's transitions after the pass pool_first)."""
from __future__ import annotations

from fastcnn.fusions.fused import Fused, Neighbours
from fastcnn.fusions.nodes import POOLS, is_image_pool
from fastcnn.fusions.normalized_conv import affine_of, is_clamped_norm
from fastcnn.ir.record import dataclass
from fastcnn.machine.current import current
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.pooling.pool import Pool, pool_fields, pool_window

FEWEST_CHANNELS = 8     # fewer are better left in planes
CHANNELS = 32           # multiples of these at a time: two lines, or two vectors of the widest


@dataclass(frozen=True)
class NormalizedPool(Fused):
    """y[n,c,i,j] = max, mean or Lp norm over the window of clamp(scale[c] x + shift[c]): a part of its channels at a time, in L1."""

    norm: BoundNode
    pool: BoundNode

    readers = POOLS

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not is_image_pool(reader) or not is_clamped_norm(maker) or not near.is_private(maker.outputs[0]):
            return None
        x, window = reader.args.spec(0), pool_window(reader.args)
        reads_once = (window.kernel[0] - 1) * window.dilations[0] < window.strides[0]       # windows share no rows
        return cls(maker, reader) if reads_once and x.shape[1] >= FEWEST_CHANNELS and x.size > 0 else None

    def lower(self, low: Lowering) -> None:
        norm, pool, window = low.part(self.norm), low.part(self.pool), pool_window(self.pool.args)
        x, y = norm.read(0, "channels_last"), pool.write(0, "channels_last")
        n, c, ih, iw = x.shape
        covered = (window.kernel[0] - 1) * window.dilations[0] + 1
        assert isinstance(self.pool.op, Pool)
        low.emit("affine_pool", [y, x, affine_of(norm)], x.size, n=n, c=c, ih=ih, iw=iw, **place("x", x), **place("y", y),
                 **pool_fields(pool.args, window, self.pool.op.kind), block=_channels(covered * iw, c))


def _channels(pixels: int, c: int) -> int:
    """Channels whose strip of so many pixels fills half of L1."""
    fitting = current().l1d_bytes // 2 // (4 * pixels * CHANNELS)
    return min(c, max(1, fitting) * CHANNELS)
