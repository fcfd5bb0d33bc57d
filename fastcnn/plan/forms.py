"""Forms: which neighbours of a stage run as one step, by rule or by measurement, before its nodes are lowered."""
from __future__ import annotations

from collections.abc import Hashable, MutableMapping, Sequence

import numpy as np

from fastcnn import _native
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.decision import Chooser, CostModel, Selection
from fastcnn.ir.graph import Node
from fastcnn.plan.bind import Bound, BoundNode
from fastcnn.plan.chains import chain_products
from fastcnn.plan.fusion import SHARE_OF_L2, fuse
from fastcnn.plan.lowering import Stage, StageLowering
from fastcnn.plan.prologue import fuse_prologues
from fastcnn.plan.scaling import fold_scales
from fastcnn.plan.squeeze import pool_row_means
from fastcnn.plan.stem import fuse_pools
from fastcnn.plan.variants import Group, groups, replaced

# Where measurement decides: dense and depthwise convolutions with a map between them that takes this share of L2.
SHARE_TRIED = 0.03


def lower_stage(bound: Bound, nodes: Sequence[BoundNode], inputs: Sequence[str], outputs: Sequence[str], threads: int,
                packs: MutableMapping[Hashable, np.ndarray], chooser: Chooser, inner: MutableMapping[str, str] | None = None) -> Stage:
    """The nodes of one native stage as a program, neighbours as one step where that pays. inner: see StageLowering."""
    formed = fused(bound, nodes, outputs, threads, SHARE_OF_L2)
    selected: dict[str, tuple[Node, Selection]] = {}
    if chooser.measures:
        wider = fused(bound, nodes, outputs, threads, SHARE_TRIED)
        for group in groups(formed, wider, nodes):
            trial = _Trials(bound, group, group.fused.node.input(0) in inputs, threads, chooser.accuracy)
            strict = " strict" if any(chooser.accuracy.is_strict(b.node.name) for b in group.parts) else ""
            selection = chooser.variant(group.key() + strict, list(trial.variants), threads, trial.make)
            formed = replaced(formed, group, trial.variants[selection.name])
            selected[group.fused.node.outputs[0]] = group.fused.node, selection
    formed = pool_row_means(formed, bound)
    return StageLowering(bound, formed, inputs, outputs, threads, packs, chooser, selected, inner).lower()


def fused(bound: Bound, nodes: Sequence[BoundNode], outputs: Sequence[str], threads: int, share: float) -> list[BoundNode]:
    """The nodes with neighbours as one; share: see fastcnn.plan.fusion."""
    nodes = fold_scales(chain_products(nodes, bound, outputs, threads), outputs)
    nodes = fuse_prologues(fuse(nodes, bound, outputs, share), outputs)
    return fuse_pools(nodes, bound, outputs, threads)


class _Trials:
    """Makes the variants of one group run by themselves, as a stage whose inputs are what the group reads of the run.

    counts_copies  where x is the caller's: some variants read it as it is
    """

    def __init__(self, bound: Bound, group: Group, counts_copies: bool, threads: int, accuracy: Accuracy):
        self.chooser = CostModel(accuracy)
        self.bound, self.group, self.counts_copies, self.threads = bound, group, counts_copies, threads
        self.variants = group.variants()

    def make(self, name: str) -> _StageTrial:
        """One of them, with weights of its own."""
        nodes = self.variants[name]
        made = {output for b in nodes for output in b.node.outputs}
        inputs = list(dict.fromkeys(i for b in nodes for i in b.node.reads if i not in made and i not in self.bound.values))
        output = self.group.fused.node.outputs[0]
        stage = StageLowering(self.bound, nodes, inputs, [output], self.threads, {}, self.chooser).lower()
        return _StageTrial(stage, [self.bound.spec(name).shape for name in (*inputs, output)], self.counts_copies)


class _StageTrial:
    """A stage on random inputs; its time is that of its steps without the changes of layout at either end, unless those count."""

    def __init__(self, stage: Stage, shapes: Sequence[tuple[int, ...]], counts_copies: bool):
        rng = np.random.default_rng(0)
        self.program, self.arrays = stage.program, [rng.random(shape, np.float32) for shape in shapes]
        self.seconds = np.zeros(len(stage.steps))
        self.counted = np.array([counts_copies or info.kind != "copy" for info in stage.steps])

    def run(self, workspace: _native.Workspace) -> float:
        """Seconds of one run."""
        self.program.run(workspace, self.arrays, self.seconds)
        return float(self.seconds[self.counted].sum())
