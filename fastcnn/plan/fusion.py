"""Neighbours that run as one step on this machine: the wide tensors between them never leave the cache."""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from fastcnn import _native
from fastcnn.fusions.conv_depthwise import ConvDepthwise, first_choice, windows
from fastcnn.ir.graph import Node
from fastcnn.ir.spec import Args
from fastcnn.machine.current import current
from fastcnn.plan.bind import Bound, BoundNode
from fastcnn.plan.pointwise import is_pointwise

CONV_DEPTHWISE = ConvDepthwise()
# A tensor smaller than this share of L2 costs nothing on its way to its reader. On two threads too: what one of them wrote lies in its L2,
# and a step less is a barrier less. Twice as much there: mnasnet1_0 0.95, mobilenet_v3_large 0.97, mobilenet_v2 0.98 times as fast
# (2026-11-21, Xeon).
SHARE_OF_L2 = 0.1
# Kernels wider than 1x1 are computed row by row up to this k: the first layers of light networks, which have 3 channels.
LONGEST_STEM = 64


def fuse(nodes: Sequence[BoundNode], bound: Bound, outputs: Sequence[str], share: float = SHARE_OF_L2) -> list[BoundNode]:
    """The nodes of a stage with dense Conv, depthwise Conv and 1x1 Conv as one where only each next one reads what is between them.

    share  of L2 that the first's result passes
    """
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    private = {name for name, count in readers.items() if count == 1 and name not in outputs}
    skipped = _skipped(nodes, makers, private, outputs)
    pairs: dict[str, BoundNode] = {}
    gone: dict[int, BoundNode | None] = {}
    for b in nodes:
        first = makers.get(b.node.input(0)) if b.node.input(0) in private or skipped.get(b.node.outputs[0]) == b.node.input(0) else None
        if first is None:
            continue
        if _is_depthwise(b) and id(first) not in gone and _is_first(first) and _is_large(first, bound, share):
            pair = pair_of(first, b)
            if pair is not None and (b.node.input(0) in private or _keeps_skipped(pair)):
                gone |= {id(first): None, id(b): pair}
                pairs[b.node.outputs[0]] = b
        elif b.node.input(0) in pairs and is_pointwise(b, inputs=4):
            depthwise = pairs[b.node.input(0)]
            pair = gone[id(depthwise)]
            assert pair is not None, "a pair stands where its depthwise Conv stood"
            if b.node.input(3) == depthwise.node.input(0) or _is_one_panel(pair):
                gone |= {id(depthwise): None, id(b): _with_last(pair, b)}
    return [kept for b in nodes if (kept := gone.get(id(b), b)) is not None]


def _skipped(nodes: Sequence[BoundNode], makers: Mapping[str, BoundNode], private: Collection[str],
             outputs: Sequence[str]) -> dict[str, str]:
    """Depthwise results that only a 1x1 Conv reads whose residual is what the depthwise Conv read, and nobody else did; with its name."""
    readers: dict[str, list[BoundNode]] = {}
    for b in nodes:
        for name in b.node.reads:
            readers.setdefault(name, []).append(b)
    found = {}
    for b in nodes:
        depthwise, name = makers.get(b.node.input(0)), b.node.input(3)
        if not name or depthwise is None or depthwise.node.input(0) != name or b.node.input(0) not in private or name in outputs:
            continue
        if is_pointwise(b, inputs=4) and [id(reader) for reader in readers[name]] == [id(depthwise), id(b)]:
            found[b.node.input(0)] = name
    return found


def _keeps_skipped(pair: BoundNode) -> bool:
    """Whether the first's result lies in the ring as a residual does: one vector of channels, pixel for pixel."""
    dense, window = windows(pair.node, pair.args)
    return pair.args.spec(1).shape[0] <= _native.vector_length() and dense.out == window.out


def _is_conv(b: BoundNode) -> bool:
    plain = b.op is not None and b.node.op_type == "Conv" and not b.node.domain and len(b.node.inputs) <= 3
    return plain and b.args.spec(0).rank == 4 and b.args.values[1] is not None and min(b.node.attrs.get("pads", (0,))) >= 0


def _is_depthwise(b: BoundNode) -> bool:
    return _is_conv(b) and b.args.spec(1).shape[:2] == (b.args.spec(0).shape[1], 1) and b.node.attrs.get("group", 1) > 1


def _is_first(b: BoundNode) -> bool:
    attrs = b.node.attrs
    if not _is_conv(b) or attrs.get("group", 1) != 1 or set(attrs.get("dilations", ())) - {1}:
        return False
    k = b.args.spec(1).shape[1:]
    return k[0] * k[1] * k[2] <= LONGEST_STEM if k[1:] != (1, 1) else set(attrs.get("pads", ())) <= {0}


def _is_large(b: BoundNode, bound: Bound, share: float) -> bool:
    return 4 * bound.spec(b.node.outputs[0]).size > share * current().l2_bytes


def _is_one_panel(pair: BoundNode) -> bool:
    c = pair.args.spec(1).shape[0]
    dense, _ = windows(pair.node, pair.args)
    return first_choice(pair.args.spec(0).shape, c, dense).fields["nv"] * _native.vector_length() >= c


def _inputs(b: BoundNode, *indices: int) -> list[tuple]:
    return [(b.node.input(i), b.args.specs[i], b.args.values[i]) if b.args.has(i) else ("", None, None) for i in indices]


def pair_of(first: BoundNode, depthwise: BoundNode) -> BoundNode | None:
    """The two as one; None where the first would not run as plain implicit GEMM."""
    inputs = _inputs(first, 0, 1, 2) + _inputs(depthwise, 1, 2)
    fused = _fused(inputs, depthwise, {"first": first.node, "depthwise": depthwise.node}, f"{first.node.name} + {depthwise.node.name}")
    dense, _ = windows(fused.node, fused.args)
    x, c = first.args.spec(0).shape, first.args.spec(1).shape[0]
    return fused if first_choice(x, c, dense).kind == "conv" else None


def _with_last(pair: BoundNode, last: BoundNode) -> BoundNode:
    skips = last.node.input(3) == pair.node.attrs["first"].outputs[0]
    inputs = _inputs(pair, 0, 1, 2, 3, 4) + _inputs(last, 1, 2, *([] if skips else [3]))
    return _fused(inputs, last, {**pair.node.attrs, "last": last.node}, f"{pair.node.name} + {last.node.name}")


def _fused(inputs: list[tuple], end: BoundNode, attrs: dict[str, Node], name: str) -> BoundNode:
    names, specs, values = zip(*inputs)
    node = Node("ConvDepthwise", names, end.node.outputs, attrs, name, "fastcnn")
    return BoundNode(node, CONV_DEPTHWISE, Args(node, specs, values))
