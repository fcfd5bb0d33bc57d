"""A native stage: what runs as one step is found (chains on planes, fused neighbours), by rule or by measurement, then all is lowered."""
from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from functools import partial

from fastcnn.convolve.decision import Selection
from fastcnn.convolve.quantized_gemm import has_dots
from fastcnn.fusions import FUSIONS, LAST
from fastcnn.fusions.fused import Neighbours, fuse
from fastcnn.fusions.planes_chain import with_chains
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.ops.base import BoundNode, Unit
from fastcnn.plan.bind import Bound
from fastcnn.plan.fusion_trials import Trial, groups, replaced
from fastcnn.plan.lowering import Stage, StageLowering
from fastcnn.plan.placement import rescaled_early
from fastcnn.plan.planning import Planning


def lower_stage(planning: Planning, bound: Bound, nodes: Sequence[BoundNode], inputs: Sequence[str], outputs: Sequence[str],
                inner: MutableMapping[str, str] | None = None) -> Stage:
    """The nodes of one native stage as a program. inner: see StageLowering."""
    bound, nodes = _in_their_forms(bound, nodes, outputs)
    near, chooser = Neighbours(nodes, outputs, planning.sharing), planning.chooser
    planes = {*inputs, *outputs}.difference(inner or ())
    chained = with_chains(nodes, near, planes, bound.constants, chooser)
    units = fuse(FUSIONS, chained, near)
    selected: dict[str, tuple[Unit, Selection]] = {}
    if chooser.measures:
        for group in groups(units, fuse(FUSIONS, chained, replace(near, proposes=True))):
            variants, trial = group.variants(), partial(Trial, planning, bound, group, group.fused.reads[0] in inputs)
            strict = " strict" if any(chooser.accuracy.is_strict(part.name) for part in group.fused.parts) else ""
            selection = chooser.variant(group.key() + strict, list(variants), planning.sharing, trial)
            units = replaced(units, group, variants[selection.name])
            selected[group.fused.outputs[0]] = group.fused, selection
    return StageLowering(planning, bound, rescaled_early(fuse(LAST, units, near)), inputs, outputs, selected, inner).lower()


def _in_their_forms(bound: Bound, nodes: Sequence[BoundNode], outputs: Sequence[str]) -> tuple[Bound, Sequence[BoundNode]]:
    """Operators on bytes as such, or on floats where nothing multiplies bytes in one instruction."""
    if has_dots() or not any(b.node.domain == OWN_DOMAIN for b in nodes):
        return bound, nodes
    from fastcnn.plan.float_storage import stored_as_floats  # only then: other loads need not import it
    return stored_as_floats(bound, nodes, outputs)
