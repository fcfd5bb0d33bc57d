"""Neighbours that run as one step on this machine: the wide tensor between them never leaves the cache."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastcnn.choice import machine
from fastcnn.graph import Node
from fastcnn.ops.base import Args
from fastcnn.ops.expand_depthwise import ExpandDepthwise
from fastcnn.plan.bind import Bound, BoundNode

EXPAND_DEPTHWISE = ExpandDepthwise()
# A tensor whose part for each thread is smaller than this share of its L2 is still there when its reader comes.
SHARE_OF_L2 = 0.25


def fuse(nodes: Sequence[BoundNode], bound: Bound, outputs: Sequence[str], threads: int) -> list[BoundNode]:
    """The nodes of a stage with every 1x1 Conv that only a depthwise Conv reads taken into its reader."""
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    fused: dict[int, BoundNode] = {}
    gone: set[int] = set()
    for b in nodes:
        expand = makers.get(b.node.input(0))
        if expand is None or readers[b.node.input(0)] != 1 or b.node.input(0) in outputs:
            continue
        if _is_depthwise(b) and _is_pointwise(expand) and _is_large(expand, bound, threads):
            fused[id(b)] = _pair(expand, b)
            gone.add(id(expand))
    return [fused.get(id(b), b) for b in nodes if id(b) not in gone]


def _is_conv(b: BoundNode) -> bool:
    plain = b.op is not None and b.node.op_type == "Conv" and not b.node.domain and len(b.node.inputs) <= 3
    return plain and b.args.spec(0).rank == 4 and b.args.values[1] is not None


def _is_depthwise(b: BoundNode) -> bool:
    return _is_conv(b) and b.args.spec(1).shape[:2] == (b.args.spec(0).shape[1], 1) and b.node.attrs.get("group", 1) > 1


def _is_pointwise(b: BoundNode) -> bool:
    attrs = b.node.attrs
    plain = set(attrs.get("strides", ())) <= {1} and set(attrs.get("pads", ())) <= {0} and attrs.get("group", 1) == 1
    return _is_conv(b) and b.args.spec(1).shape[2:] == (1, 1) and plain


def _is_large(b: BoundNode, bound: Bound, threads: int) -> bool:
    return 4 * bound.spec(b.node.outputs[0]).size > SHARE_OF_L2 * machine.l2_bytes() * threads


def _pair(expand: BoundNode, depthwise: BoundNode) -> BoundNode:
    def pick(b: BoundNode, i: int) -> tuple:
        return (b.node.input(i), b.args.specs[i], b.args.values[i]) if b.args.has(i) else ("", None, None)

    inputs = [pick(expand, 0), pick(expand, 1), pick(expand, 2), pick(depthwise, 1), pick(depthwise, 2)]
    names, specs, values = zip(*inputs)
    node = Node("ExpandDepthwise", names, depthwise.node.outputs, {"expand": expand.node, "depthwise": depthwise.node},
                f"{expand.node.name} + {depthwise.node.name}", "fastcnn")
    return BoundNode(node, EXPAND_DEPTHWISE, Args(node, specs, values))
