"""Concat without copies: which values are written straight into the output of a later Concat along channels."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastcnn.ops.base import Spec
from fastcnn.plan.bind import BoundNode

# value -> (output of the Concat, first channel there)
Placement = dict[str, tuple[str, int]]


def place_concats(nodes: Sequence[BoundNode], specs: Mapping[str, Spec | None]) -> Placement:
    """Last Concat first, so that a value in several (DenseNet) lies in the widest and the earlier ones are slices of it."""
    placement: Placement = {}
    for bound in reversed(nodes):
        node = bound.node
        if bound.op is None or node.op_type != "Concat" or node.domain or len(specs[node.outputs[0]].shape) < 3:
            continue
        rank = len(specs[node.outputs[0]].shape)
        if node.attrs.get("axis", 1) % rank != 1:
            continue
        channel = 0
        for name, spec in zip(node.inputs, bound.args.specs):
            placement.setdefault(name, (node.outputs[0], channel))
            channel += spec.shape[1]
    return placement
