"""MatMulChain: two MatMuls in blocks of rows, so that the wide rows between them stay in the cache: what fastcnn.plan.chains makes."""
from __future__ import annotations

import math

from fastcnn.convolve.blocking import chained_rows
from fastcnn.ir.spec import Args, Spec
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import vector_of
from fastcnn.ops.products.linear import as_rows, emit_rows


class MatMulChain(Op):
    """y = act2(act1(x w1 + b1) w2 + b2 + residual), w1 and w2 constant matrices.

    Inputs x, w2, b2, residual as MatMul has them, then w1 and b1; attributes first: the Node of the first; factor: of the rows at a time.
    """

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        w1, w2 = low.args.constant(4), low.args.constant(1)
        x, y = low.read(0), low.write(0, "dense")
        rows = math.prod(x.shape[:-1])
        x, y = as_rows(low, x, rows), y.view((rows, w2.shape[1]))
        residual = as_rows(low, low.read(3), rows) if low.args.has(3) else None
        bias1, bias2 = vector_of(low, 5, w1.shape[1]), vector_of(low, 2, w2.shape[1])
        block = chained_rows(rows, w1.shape[1], low.threads, low.node.attrs.get("factor", 1))
        between = low.temp((block, w1.shape[1]))
        for begin in range(0, rows, block):
            count = min(block, rows - begin)
            part = between.slice(0, 0, count)
            emit_rows(low, part, x.slice(0, begin, count), w1.T, (low.node.input(4), "matmul"), bias1,
                      activation=low.node.attrs["first"].activation)
            emit_rows(low, y.slice(0, begin, count), part, w2.T, (low.node.input(1), "matmul"), bias2,
                      residual and residual.slice(0, begin, count), activation=low.node.activation)
