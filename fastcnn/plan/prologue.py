"""BatchNormalization in front of a 1x1 Conv as part of its step: DenseNet normalises all that came before in every layer."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastcnn.graph import Node
from fastcnn.ops.base import Args
from fastcnn.ops.normalized_conv import NormalizedConv, limits
from fastcnn.plan.bind import BoundNode
from fastcnn.plan.pointwise import is_pointwise

NORMALIZED_CONV = NormalizedConv()
# Rows of fewer pixels than half a register tile leave most of it empty, where a map at a time fills it.
# DenseNet-121 by rows from 28, 14 and 7 pixels on: 25.7, 25.4, 24.6 ms, without 27.4 (Xeon, one thread, 2026-11-21).
NARROWEST = 7


def fuse_prologues(nodes: Sequence[BoundNode], outputs: Sequence[str]) -> list[BoundNode]:
    """The nodes of a stage with every BatchNormalization that only a 1x1 Conv reads taken into its reader."""
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    new: dict[int, BoundNode | None] = {}
    for b in nodes:
        norm = makers.get(b.node.input(0))
        if norm is None or readers[b.node.input(0)] != 1 or b.node.input(0) in outputs:
            continue
        if _takes_norm(b) and _is_normalization(norm):
            new |= {id(norm): None, id(b): _fused(norm, b)}
    return [kept for b in nodes if (kept := new.get(id(b), b)) is not None]


def _takes_norm(b: BoundNode) -> bool:
    if not is_pointwise(b):             # nor one with a scale of its own (scaling.py)
        return False
    x = b.args.spec(0)
    return x.shape[3] >= NARROWEST and x.size > 0


def _is_normalization(b: BoundNode) -> bool:
    plain = b.op is not None and b.node.op_type == "BatchNormalization" and not b.node.domain
    return plain and limits(b.node.activation) is not None


def _fused(norm: BoundNode, conv: BoundNode) -> BoundNode:
    def pick(b: BoundNode, i: int) -> tuple:
        return (b.node.input(i), b.args.specs[i], b.args.values[i]) if b.args.has(i) else ("", None, None)

    inputs = [pick(norm, 0), *(pick(conv, i) for i in range(1, 5)), *(pick(norm, i) for i in range(1, 5))]
    names, specs, values = zip(*inputs)
    attrs = {"epsilon": norm.node.attrs.get("epsilon", 1e-5), "clamp": limits(norm.node.activation)}
    node = Node("NormalizedConv", names, conv.node.outputs, attrs, f"{norm.node.name} + {conv.node.name}", "fastcnn",
                activation=conv.node.activation)
    return BoundNode(node, NORMALIZED_CONV, Args(node, specs, values))
