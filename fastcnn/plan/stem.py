"""A dense Conv and the pooling that alone reads it as one step: stems write maps that outgrow L2, of which pooling keeps a quarter."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastcnn.convolve import ladder, split_sums
from fastcnn.convolve.shape import Problem
from fastcnn.fusions.conv_pool import ConvPool, dense_shape, windows
from fastcnn.ir.graph import Node
from fastcnn.ir.spec import Args, Spec
from fastcnn.ir.tensor import channels_last_strides
from fastcnn.machine.current import current
from fastcnn.ops.pooling.pool import Pool
from fastcnn.plan.bind import Bound, BoundNode

CONV_POOL = ConvPool()
# A map whose part for each thread is smaller than this share of its L2 costs little on its way to the pooling.
SHARE_OF_L2 = 0.25
# The least strip, a window's rows, must fit into this share of L2, and so must the weights, which every strip reads.
# AlexNet's 5x5 with 1.2 MB of weights: 1.85 -> 1.88 ms; its 11x11 with 93 KB: 0.75 -> 0.72 ms (Xeon, 2 MB L2, one thread, 2026-11-21).
STRIP_OF_L2, WEIGHTS_OF_L2 = 0.5, 0.125


def fuse_pools(nodes: Sequence[BoundNode], bound: Bound, outputs: Sequence[str], threads: int) -> list[BoundNode]:
    """The nodes of a stage with every pooling and the Conv that it alone reads as one where that pays."""
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    new: dict[int, BoundNode | None] = {}
    for b in nodes:
        name = b.node.input(0)
        conv = makers.get(name) if readers[name] == 1 and name not in outputs else None
        if conv is None or not is_image_pool(b) or not _is_dense(conv) or not _is_large(bound.spec(name), threads):
            continue
        fused = _fused(conv, b)
        if _fits(fused):
            new |= {id(conv): None, id(b): fused}
    return [kept for b in nodes if (kept := new.get(id(b), b)) is not None]


def _is_large(between: Spec, threads: int) -> bool:
    return 4 * between.size > SHARE_OF_L2 * current().l2_bytes * threads


def is_image_pool(b: BoundNode) -> bool:
    """A native pooling over height and width, with no activation of its own and no Indices."""
    plain = isinstance(b.op, Pool) and b.node.activation is None and len([name for name in b.node.outputs if name]) == 1
    return plain and b.args.spec(0).rank == 4


def _is_dense(b: BoundNode) -> bool:
    attrs = b.node.attrs
    plain = b.op is not None and b.node.op_type == "Conv" and not b.node.domain and not b.args.has(3)
    if not plain or b.args.spec(0).rank != 4 or b.args.values[1] is None or attrs.get("group", 1) != 1:
        return False
    return not set(attrs.get("dilations", ())) - {1} and min(attrs.get("pads") or (0,)) >= 0


def _fits(fused: BoundNode) -> bool:
    """Whether the convolution runs as one implicit GEMM of all its channels and a window's rows fit into the strip."""
    x, w = fused.args.spec(0).shape, fused.args.spec(1).shape
    dense, window = windows(fused.node, fused.args)
    whole = len(split_sums.of_channels(w[1], (w[2], w[3]), (dense.strides[0], dense.strides[1]), x[0] * dense.out[0] * dense.out[1])) == 1
    rows = (window.kernel[0] - 1) * window.dilations[0] + 1
    small = 4 * rows * dense.out[1] * w[0] <= STRIP_OF_L2 * current().l2_bytes
    small = small and 4 * fused.args.spec(1).size <= WEIGHTS_OF_L2 * current().l2_bytes
    places = channels_last_strides(x), channels_last_strides((x[0], w[0], *dense.out))
    return whole and small and ladder.choose(Problem(dense_shape(x, w[0], dense), places)).kind == "conv"


def _fused(conv: BoundNode, pool: BoundNode) -> BoundNode:
    assert isinstance(pool.op, Pool)
    inputs = [(conv.node.input(i), conv.args.specs[i], conv.args.values[i]) if conv.args.has(i) else ("", None, None) for i in range(5)]
    names, specs, values = zip(*inputs)
    attrs = {"conv": conv.node, "pool": pool.node, "kind": pool.op.kind}
    node = Node("ConvPool", names, pool.node.outputs, attrs, f"{conv.node.name} + {pool.node.name}", "fastcnn")
    return BoundNode(node, CONV_POOL, Args(node, specs, values))
