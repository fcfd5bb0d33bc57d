"""Variants of what runs as one step, for tuning: other block sizes, the last convolution apart, every node by itself; same bits all."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastcnn import _native
from fastcnn.convolve.tile import MAX_NV, best_nv, tile_cycles
from fastcnn.fusions.conv_depthwise import ConvDepthwise
from fastcnn.fusions.conv_pool import ConvPool
from fastcnn.fusions.matmul_chain import MatMulChain
from fastcnn.fusions.normalized_conv import NormalizedConv
from fastcnn.ir.graph import Node
from fastcnn.ir.spec import Args
from fastcnn.plan.bind import BoundNode
from fastcnn.plan.fusion import pair_of

FACTORS = (0.5, 2)          # of the rows at a time that the caches suggest
TOGETHER, APART, LAST_APART = "together", "apart", "last apart"
MUCH_SLOWER = 1.15         # times the cycles that the cost model gives its own pick
FUSED_OPS = (ConvDepthwise, ConvPool, MatMulChain, NormalizedConv)
SMALLEST = 2_000_000        # multiply-adds: what is smaller takes a few microseconds, and a second thread may stay out of it


@dataclass(frozen=True)
class Group:
    """Nodes that can run as one: `parts` in their order, `fused` what stands for all; picked: the planner's variant."""

    parts: tuple[BoundNode, ...]
    fused: BoundNode
    picked: str

    def variants(self) -> dict[str, list[BoundNode]]:
        """Name -> nodes, the planner's pick first."""
        listed = {TOGETHER: [self.fused]}
        for factor in FACTORS:
            listed[f"{TOGETHER}, {factor} of the rows"] = [_with(self.fused, factor=factor)]
        if type(self.fused.op) is NormalizedConv:
            listed |= {f"{TOGETHER}, {nv} vectors": [_with(self.fused, nv=nv)] for nv in _other_widths(self.fused)}
        if type(self.fused.op) is ConvDepthwise and len(self.parts) > 2 and self.parts[2].node.input(3) != self.parts[0].node.outputs[0]:
            pair = pair_of(*self.parts[:2])
            if pair is not None:
                listed[LAST_APART] = [pair, self.parts[2]]
        listed[APART] = list(self.parts)
        return {self.picked: listed[self.picked], **listed}

    def key(self) -> str:
        """What is computed, in one line: operators, attributes, shapes."""
        return " | ".join(f"{b.node.op_type} {_attributes(b)} {b.node.activation} {_shapes(b)}" for b in self.parts)

    def macs(self) -> int:
        """Multiply-adds of its convolutions and products, about."""
        return sum(b.args.spec(0).size * b.args.spec(1).shape[0] for b in self.parts if len(b.args.specs) > 1 and b.args.spec(1).rank > 1)


def groups(picked: Sequence[BoundNode], tried: Sequence[BoundNode], before: Sequence[BoundNode]) -> list[Group]:
    """What the planner has fused, and what it has not and could have.

    picked  a stage's nodes as the planner fuses them       tried  with more of them fused       before  with none
    """
    makers, present = {b.node.outputs[0]: b for b in before}, {id(b) for b in picked}
    found = [Group(_parts(b, makers), b, TOGETHER) for b in picked if type(b.op) in FUSED_OPS]
    for b in tried:
        parts = _parts(b, makers) if type(b.op) in FUSED_OPS else ()
        if parts and all(id(part) in present for part in parts):
            found.append(Group(parts, b, APART))
    return [group for group in found if group.macs() >= SMALLEST]


def replaced(nodes: Sequence[BoundNode], group: Group, chosen: Sequence[BoundNode]) -> list[BoundNode]:
    """The stage's nodes with these for the group."""
    gone = {name for b in group.parts for name in b.node.outputs}
    return [new for b in nodes for new in (chosen if b.node.outputs[0] == group.fused.node.outputs[0]
                                           else [] if b.node.outputs[0] in gone else [b])]


def _parts(fused: BoundNode, makers: Mapping[str, BoundNode]) -> tuple[BoundNode, ...]:
    """The nodes it stands for: each reads the one before as its first input."""
    parts = [makers[fused.node.outputs[0]]]
    while parts[0].node.input(0) != fused.node.input(0):
        parts.insert(0, makers[parts[0].node.input(0)])
    return tuple(parts)


def _with(b: BoundNode, **attrs: Any) -> BoundNode:
    node: Node = replace(b.node, attrs={**b.node.attrs, **attrs})
    return BoundNode(node, b.op, Args(node, b.args.specs, b.args.values))


def _other_widths(b: BoundNode) -> list[int]:
    """Tile widths, in vectors, of a 1x1 convolution beside the cost model's pick and not far behind it."""
    (oc, k), ow = b.args.spec(1).shape[:2], b.args.spec(0).shape[3]
    picked = best_nv(oc, ow, k)
    most = MUCH_SLOWER * tile_cycles(oc, ow, k, picked)
    widths = [nv for nv in range(1, 1 + min(MAX_NV, -(-oc // _native.vector_length()))) if _native.gemm_max_mr(nv)]
    return [nv for nv in widths if nv != picked and tile_cycles(oc, ow, k, nv) <= most]


def _attributes(b: BoundNode) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(b.node.attrs.items()) if isinstance(value, (int, float, str, list, tuple)))


def _shapes(b: BoundNode) -> str:
    return " ".join("x".join(map(str, spec.shape)) if spec is not None else "-" for spec in b.args.specs)
