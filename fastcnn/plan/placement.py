"""Concat without copies: which values are written straight into the output of a later Concat along channels."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.ops.base import BoundNode, Unit

# value -> (output of the Concat, first channel there)
Placement = dict[str, tuple[str, int]]
# Operators that bring a value to a Concat's scale.
RESCALING = ("ByteTable", "RoundSum")


def rescaled_early(units: Sequence[Unit]) -> list[Unit]:
    """The units with those that only bring a value to another scale behind the one that makes it, where it still is in caches.

    They come last, before the Concat, in files: of U-Net's largest map, half an image pyramid later.
    """
    made, moved = {name for unit in units for name in unit.outputs}, dict[str, list[Unit]]()
    for unit in units:
        if isinstance(unit, BoundNode) and unit.op_type in RESCALING:
            values = {name for name, array in zip(unit.node.inputs, unit.args.values) if array is None}
            if len(values) == 1 and values <= made:
                moved.setdefault(values.pop(), []).append(unit)
    late = {id(unit) for behind in moved.values() for unit in behind}
    ordered: list[Unit] = []
    for unit in units:
        if id(unit) not in late:
            _append_with(unit, moved, ordered)
    return ordered


def _append_with(unit: Unit, moved: dict[str, list[Unit]], ordered: list[Unit]) -> None:
    ordered.append(unit)
    for name in unit.outputs:
        for behind in moved.pop(name, ()):
            _append_with(behind, moved, ordered)


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
