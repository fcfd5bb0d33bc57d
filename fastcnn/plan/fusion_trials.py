"""Tuning of fusions: times neighbours as one step, with other numbers of rows, partly fused, and separately. All give the same bits."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.decision import CostModel
from fastcnn.fusions.fused import APART, TOGETHER, Fused
from fastcnn.ir.record import dataclass
from fastcnn.ops.base import BoundNode, Unit
from fastcnn.plan.bind import Bound
from fastcnn.plan.lowering import StageLowering
from fastcnn.plan.packs import Packs
from fastcnn.plan.planning import Planning

SMALLEST = 2_000_000        # multiply-adds: what is smaller takes a few microseconds, and a second thread may stay out of it


@dataclass(frozen=True)
class Group:
    """Neighbours that can run as one step. picked: the planner's variant."""

    fused: Fused
    picked: str

    def variants(self) -> dict[str, Sequence[Unit]]:
        """Name -> units, the planner's pick first."""
        listed = {TOGETHER: [self.fused], **(self.fused.alternatives() or {}), APART: self.fused.parts}
        return {self.picked: listed[self.picked], **listed}

    @property
    def nodes(self) -> list[BoundNode]:
        return [part for part in self.fused.parts if isinstance(part, BoundNode)]

    def key(self) -> str:
        """What is computed, in one line: operators, attributes, shapes."""
        return " | ".join(f"{b.op_type} {_attributes(b)} {b.node.activation} {_shapes(b)}" for b in self.nodes)

    def macs(self) -> int:
        """Multiply-adds of its convolutions and products, about."""
        return sum(b.args.spec(0).size * b.args.spec(1).shape[0] for b in self.nodes if len(b.args.specs) > 1 and b.args.spec(1).rank > 1)


def groups(picked: Sequence[Unit], proposed: Sequence[Unit]) -> list[Group]:
    """The groups that the planner has fused, and those that it could have fused.

    picked  a stage's units as the planner fuses its nodes       proposed  with more of them fused
    """
    present = {id(unit) for unit in picked}
    found = [Group(unit, TOGETHER) for unit in picked if isinstance(unit, Fused)]
    found += [Group(unit, APART) for unit in proposed if isinstance(unit, Fused) and all(id(part) in present for part in unit.parts)]
    return [group for group in found if group.fused.alternatives() is not None and group.macs() >= SMALLEST]


def replaced(units: Sequence[Unit], group: Group, chosen: Sequence[Unit]) -> list[Unit]:
    """The stage's units with the group's units replaced by these."""
    gone = {name for part in group.fused.parts for name in part.outputs}
    return [new for unit in units for new in (chosen if unit.outputs[0] == group.fused.outputs[0]
                                              else [] if unit.outputs[0] in gone else [unit])]


class Trial:
    """A variant of a group by itself, with weights of its own, on random inputs: a stage whose inputs are what the group reads of the run.

    Its time is that of its steps without the changes of layout at either end, unless counts_copies: where x is the caller's, some
    variants read it as it is.
    """

    def __init__(self, planning: Planning, bound: Bound, group: Group, counts_copies: bool, variant: str):
        inputs = list(dict.fromkeys(name for name in group.fused.reads if name not in bound.values))
        output, alone = group.fused.outputs[0], replace(planning, packs=Packs(), chooser=CostModel(planning.chooser.accuracy))
        stage = StageLowering(alone, bound, group.variants()[variant], inputs, [output]).lower()
        rng = np.random.default_rng(0)
        self.arrays = [rng.random(bound.spec(name).shape, np.float32) for name in (*inputs, output)]
        self.program, self.seconds = stage.program, np.zeros(len(stage.steps))
        self.counted = np.array([counts_copies or info.kind != "copy" for info in stage.steps])

    def run(self, workspace: _native.Workspace) -> float:
        """Seconds of one run."""
        self.program.run(workspace, self.arrays, self.seconds)
        return float(self.seconds[self.counted].sum())


def _attributes(b: BoundNode) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(b.node.attrs.items()) if isinstance(value, (int, float, str, list, tuple)))


def _shapes(b: BoundNode) -> str:
    return " ".join("x".join(map(str, spec.shape)) if spec is not None else "-" for spec in b.args.specs)
