"""RowMeans: fuses the global average pooling of a squeeze-and-excitation block into the depthwise Conv before it."""
from __future__ import annotations

from fastcnn.convolve.accuracy import Accuracy
from fastcnn.fusions.conv_depthwise import ConvDepthwise
from fastcnn.fusions.fused import Fused, Neighbours
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass, replace
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.image import write_image
from fastcnn.ops.pooling.pool import AVERAGE, GlobalPool, emit_pool
from fastcnn.ops.window import Window


@dataclass(frozen=True)
class RowMeans(Fused):
    """mean[n,c] = sum over rows of the means of the rows / H, which the step of the convolutions gives beside the map itself."""

    convolutions: ConvDepthwise
    pools: tuple[BoundNode, ...]

    readers = frozenset({"GlobalAveragePool"})

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not isinstance(reader.op, GlobalPool) or reader.op.kind != AVERAGE:
            return None
        if isinstance(maker, cls):
            return replace(maker, pools=(*maker.pools, reader)) if reader.node.input(0) == maker.outputs[0] else None
        return cls(maker, (reader,)) if isinstance(maker, ConvDepthwise) and maker.last is None else None

    @lazy
    def parts(self) -> tuple[Unit, ...]:
        return self.convolutions, *self.pools

    @lazy
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.outputs)

    def halves(self, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
        return self.convolutions.halves(accuracy, threads)

    def lower(self, low: Lowering) -> None:
        n, c, h, _ = self.pools[0].args.spec(0).shape
        means = low.temp((n, c, h, 1), layout=(h * c, 1, c, c))
        self.convolutions.lower(low.part(self.convolutions), means)
        for pool in map(low.part, self.pools):
            emit_pool(pool, write_image(pool), means, Window((h, 1), (1, 1), (1, 1), (0, 0), (0, 0), (1, 1)), AVERAGE)
