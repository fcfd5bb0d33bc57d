"""BatchNormalization in front of a 1x1 Conv or a pooling as part of its step: DenseNet normalises all that came before in every layer."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastcnn.fusions.normalized_conv import NormalizedConv, limits
from fastcnn.fusions.normalized_pool import NormalizedPool
from fastcnn.ir.graph import Activation, Node
from fastcnn.ir.spec import Args
from fastcnn.ops.base import Op
from fastcnn.ops.pooling.pool import Pool
from fastcnn.plan.bind import BoundNode
from fastcnn.plan.pointwise import is_pointwise
from fastcnn.plan.stem import is_image_pool

NORMALIZED_CONV, NORMALIZED_POOL = NormalizedConv(), NormalizedPool()
NORMALIZED_CHANNELS = 8     # fewer are better left in planes
# Rows of fewer pixels than half a register tile leave most of it empty, where a map at a time fills it.
# DenseNet-121 by rows from 28, 14 and 7 pixels on: 25.7, 25.4, 24.6 ms, without 27.4 (Xeon, one thread, 2026-11-21).
NARROWEST = 7


def fuse_prologues(nodes: Sequence[BoundNode], outputs: Sequence[str]) -> list[BoundNode]:
    """The nodes of a stage with every BatchNormalization that only a 1x1 Conv or a pooling reads taken into its reader."""
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    new: dict[int, BoundNode | None] = {}
    for b in nodes:
        norm = makers.get(b.node.input(0))
        if norm is None or readers[b.node.input(0)] != 1 or b.node.input(0) in outputs:
            continue
        if _is_normalization(norm) and (_takes_norm(b) or _reads_once(b)):
            new |= {id(norm): None, id(b): _fused_pool(norm, b) if isinstance(b.op, Pool) else _fused(norm, b)}
    return [kept for b in nodes if (kept := new.get(id(b), b)) is not None]


def _takes_norm(b: BoundNode) -> bool:
    if not is_pointwise(b):             # nor one with a scale of its own (scaling.py)
        return False
    x = b.args.spec(0)
    return x.shape[3] >= NARROWEST and x.size > 0


def _reads_once(b: BoundNode) -> bool:
    """A pooling of images, of vectors of channels, whose windows share no rows."""
    if not is_image_pool(b) or b.args.spec(0).shape[1] < NORMALIZED_CHANNELS or b.args.spec(0).size == 0:
        return False
    attrs = b.node.attrs
    (kernel, *_), strides, dilations = attrs["kernel_shape"], attrs.get("strides") or (1,), attrs.get("dilations") or (1,)
    return (kernel - 1) * dilations[0] < strides[0]


def _is_normalization(b: BoundNode) -> bool:
    plain = b.op is not None and b.node.op_type == "BatchNormalization" and not b.node.domain and not b.node.attrs.get("training_mode", 0)
    return plain and limits(b.node.activation) is not None


def _fused(norm: BoundNode, conv: BoundNode) -> BoundNode:
    inputs = [_input(norm, 0), *(_input(conv, i) for i in range(1, 5)), *(_input(norm, i) for i in range(1, 5))]
    return _joined("NormalizedConv", NORMALIZED_CONV, inputs, norm, conv, {}, conv.node.activation)


def _fused_pool(norm: BoundNode, pool: BoundNode) -> BoundNode:
    assert isinstance(pool.op, Pool)
    attrs = {"pool": pool.node, "kind": pool.op.kind}
    return _joined("NormalizedPool", NORMALIZED_POOL, [_input(norm, i) for i in range(5)], norm, pool, attrs, None)


def _input(b: BoundNode, i: int) -> tuple:
    return (b.node.input(i), b.args.specs[i], b.args.values[i]) if b.args.has(i) else ("", None, None)


def _joined(name: str, op: Op, inputs: list[tuple], norm: BoundNode, reader: BoundNode, attrs: dict[str, Any],
            activation: Activation | None) -> BoundNode:
    names, specs, values = zip(*inputs)
    attrs = {"epsilon": norm.node.attrs.get("epsilon", 1e-5), "clamp": limits(norm.node.activation), **attrs}
    node = Node(name, names, reader.node.outputs, attrs, f"{norm.node.name} + {reader.node.name}", "fastcnn", activation=activation)
    return BoundNode(node, op, Args(node, specs, values))
