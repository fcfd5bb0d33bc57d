"""MatMulChain: two MatMuls in blocks of rows, so that the wide rows between them stay in cache: the MLPs of ConvNeXt and transformers."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from fastcnn.convolve.blocking import chained_rows
from fastcnn.fusions.fused import Fused, Neighbours, by_rows
from fastcnn.ir.record import dataclass
from fastcnn.machine.current import current
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import vector_of
from fastcnn.ops.products.linear import MatMul, as_rows, emit_rows

# What is between the two and smaller than this many times the L2 of the threads is still there when it is read.
LARGEST_OF_L2 = 0.75


@dataclass(frozen=True)
class MatMulChain(Fused):
    """y = act2(act1(x w1 + b1) w2 + b2 + residual), w1 and w2 constant matrices.

    rows_factor  of the rows at a time that the caches suggest
    """

    first: BoundNode
    second: BoundNode
    rows_factor: float = 1

    readers = frozenset({"MatMul", "Gemm"})

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not _is_product(reader) or not _is_product(maker) or maker.args.has(3) or not near.is_private(maker.outputs[0]):
            return None
        large = 4 * reader.args.spec(0).size > LARGEST_OF_L2 * current().l2_bytes * near.threads
        return cls(maker, reader) if large else None

    def alternatives(self) -> Mapping[str, Sequence[Unit]]:
        return by_rows(self)

    def lower(self, low: Lowering) -> None:
        first, second = low.part(self.first), low.part(self.second)
        w1, w2 = first.args.constant(1), second.args.constant(1)
        x, y = first.read(0), second.write(0, "dense")
        rows = math.prod(x.shape[:-1])
        x, y = as_rows(first, x, rows), y.view((rows, w2.shape[1]))
        residual = as_rows(second, second.read(3), rows) if second.args.has(3) else None
        bias1, bias2 = vector_of(first, 2, w1.shape[1]), vector_of(second, 2, w2.shape[1])
        block = chained_rows(rows, w1.shape[1], low.threads, self.rows_factor)
        between = low.temp((block, w1.shape[1]))
        for begin in range(0, rows, block):
            count = min(block, rows - begin)
            part = between.slice(0, 0, count)
            emit_rows(first, part, x.slice(0, begin, count), w1.T, (first.node.input(1), "matmul"), bias1,
                      activation=first.node.activation)
            emit_rows(second, y.slice(0, begin, count), part, w2.T, (second.node.input(1), "matmul"), bias2,
                      residual and residual.slice(0, begin, count), activation=second.node.activation)


def _is_product(unit: Unit) -> TypeGuard[BoundNode]:
    """A product of rows by a constant matrix."""
    if not isinstance(unit, BoundNode) or not isinstance(unit.op, MatMul) or unit.args.values[1] is None:
        return False
    return unit.args.spec(1).rank == 2 and unit.args.spec(0).rank > 1
