"""Concat without copies: which values are written straight into the output of a later Concat along channels."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.ops.base import BoundNode, Unit

# value -> (output of the Concat, first channel there)
Placement = dict[str, tuple[str, int]]


def place_concats(units: Sequence[Unit]) -> Placement:
    """Last Concat first, so that a value in several (DenseNet) lies in the widest and the earlier ones are slices of it."""
    placement: Placement = {}
    for bound in reversed(units):
        if not isinstance(bound, BoundNode) or bound.op_type != "Concat" or bound.node.domain or bound.args.spec(0).rank < 3:
            continue
        node = bound.node
        if node.attrs.get("axis", 1) % bound.args.spec(0).rank != 1:
            continue
        channel = 0
        for k, name in enumerate(node.inputs):
            placement.setdefault(name, (node.outputs[0], channel))
            channel += bound.args.spec(k).shape[1]
    return placement
