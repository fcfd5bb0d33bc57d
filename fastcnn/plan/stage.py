"""A native stage: neighbours that run as one step are found, by rule or by measurement, then all is lowered."""
from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace

from fastcnn.convolve.decision import Selection
from fastcnn.fusions import fuse, fuse_last
from fastcnn.fusions.fused import neighbours
from fastcnn.ops.base import BoundNode, Unit
from fastcnn.plan.bind import Bound
from fastcnn.plan.fusion_trials import Trials, groups, replaced
from fastcnn.plan.lowering import Stage, StageLowering
from fastcnn.plan.planning import Planning


def lower_stage(planning: Planning, bound: Bound, nodes: Sequence[BoundNode], inputs: Sequence[str], outputs: Sequence[str],
                inner: MutableMapping[str, str] | None = None) -> Stage:
    """The nodes of one native stage as a program. inner: see StageLowering."""
    near = neighbours(nodes, outputs, planning.threads)
    units, chooser = fuse(nodes, near), planning.chooser
    selected: dict[str, tuple[Unit, Selection]] = {}
    if chooser.measures:
        for group in groups(units, fuse(nodes, replace(near, proposes=True))):
            trials = Trials(planning, bound, group, group.fused.reads[0] in inputs)
            strict = " strict" if any(chooser.accuracy.is_strict(part.name) for part in group.fused.parts) else ""
            selection = chooser.variant(group.key() + strict, list(trials.variants), planning.threads, trials.make)
            units = replaced(units, group, trials.variants[selection.name])
            selected[group.fused.outputs[0]] = group.fused, selection
    return StageLowering(planning, bound, fuse_last(units, near), inputs, outputs, selected, inner).lower()
