"""Squeeze-and-excitation's pooling where the map is made: rows give their means while they are in cache, the pooling averages these."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastcnn.fusions.conv_depthwise import ConvDepthwise
from fastcnn.ir.spec import F32, Spec
from fastcnn.ops.pooling.pool import AVERAGE, GlobalPool
from fastcnn.plan.bind import Bound, BoundNode


def pool_row_means(nodes: Sequence[BoundNode], bound: Bound) -> list[BoundNode]:
    """The nodes of a stage with every global average of a fused depthwise result reading the means of its rows, a further output."""
    makers = {b.node.outputs[0]: b for b in nodes if type(b.op) is ConvDepthwise and "last" not in b.node.attrs}
    new: dict[int, BoundNode] = {}
    for b in nodes:
        maker = makers.get(b.node.input(0))
        if maker is None or not (isinstance(b.op, GlobalPool) and b.op.kind == AVERAGE):
            continue
        name = f"{b.node.input(0)} by row"
        n, c, height, _ = bound.spec(b.node.input(0)).shape
        bound.specs[name] = spec = Spec(F32, (n, c, height, 1))
        pool = replace(b.node, inputs=(name,))
        new[id(b)] = replace(b, node=pool, args=replace(b.args, node=pool, specs=(spec,)))
        made = replace(maker.node, outputs=(maker.node.outputs[0], name))
        new[id(maker)] = replace(maker, node=made, args=replace(maker.args, node=made))
    return [new.get(id(b), b) for b in nodes]
