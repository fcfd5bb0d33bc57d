"""Splits large batches: decides how many images run through which nodes at a time, so that activations stay in L2.

Layer by layer, a batch of 32 sends every map through memory: MobileNetV2 takes 1.4 times as long per image as with a batch of one. Image
by image, the weights of late layers come from memory 32 times. So the nodes of a graph are cut into segments, each with a part of the
batch of its own, by the bytes that have to come from beyond L2 (Viterbi's algorithm over the divisors of the batch size). The number of
threads has no say in it: an image's bits may depend on the part it is in. Parts too small for a second thread are not made.
"""
from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import fields, replace

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current
from fastcnn.operators.cards import card_of
from fastcnn.ops.base import BoundNode
from fastcnn.plan.bind import Bound, bind
from fastcnn.plan.lowering import SINGLE_THREAD_PROGRAM, Stage
from fastcnn.plan.planning import Planning
from fastcnn.plan.stage import lower_stage

# What a node costs, in bytes of weights from memory of the same time. Maps cost nothing while they take this share of L2,
# and with each doubling this much of their bytes more, until they come from memory and are written back to it. By the steps of ResNet-50
# at 1, 8 and 32 images (2026-11-21, Xeon family 6 model 167, one thread).
FITS, DOUBLING, MEMORY = 0.5, 0.28, 2.0
# A call of the program, a step, and for a value that goes from one segment to the next its change of layout, twice, in fresh memory.
CALL_CYCLES, STEP_CYCLES, CROSSING = 25_000, 2_000, 3


@dataclass(frozen=True)
class Repeated(Stage):
    """A stage that runs `times` times, each on the next part of the first axis of all inputs and outputs."""

    times: int = 1


@dataclass(frozen=True)
class Segment:
    """Nodes begin to end - 1 run on `images` of the batch at a time."""

    begin: int
    end: int
    images: int


def run_stage(stage: Stage, workspace: _native.Workspace, arrays: list[np.ndarray], until: _native.Deadline | None = None) -> int:
    """Runs a stage's native program as often as the stage says; returns its status."""
    if not isinstance(stage, Repeated):
        return stage.program.run(workspace, arrays, None, until)
    images = len(arrays[0]) // stage.times
    for first in range(0, len(arrays[0]), images):
        status = stage.program.run(workspace, [array[first:first + images] for array in arrays], None, until)
        if status:
            return status
    return 0


def lower_in_parts(planning: Planning, bound: Bound, nodes: Sequence[Node], inputs: Mapping[str, Spec | None],
                   outputs: Sequence[str]) -> list[Stage] | None:
    """The stages of a graph that is fully bound and native, cut by batches; None where one stage for the whole batch is as good.

    nodes  the graph's, from which parts are bound; inputs: their specs for the whole batch
    """
    batch = _batch_of(inputs)
    if batch < 2:
        return None
    segments = _segments(bound, set(inputs), batch)
    if len(segments) == 1 and segments[0].images == batch:
        return None
    parts = {batch: bound}
    for segment in segments:
        if segment.images not in parts:
            end = max(s.end for s in segments if s.images == segment.images)
            part = _bind_part(bound, nodes, inputs, segment.images, batch, planning.opsets, end)
            if part is None:
                return None
            parts[segment.images] = part
    stages, inner = [], _crossing_names(bound, segments, outputs)
    for segment in segments:
        later = set(outputs).union(*(b.node.reads for b in bound.nodes[segment.end:]))
        for images in dict.fromkeys((segment.images, batch)):
            stage = _lowered(planning, parts[images], segment, tuple(inputs), outputs, later, inner)
            if sum(info.work for info in stage.steps) >= SINGLE_THREAD_PROGRAM:
                break
        stages.append(_repeated(stage, batch, batch // images))
    return stages


def _batch_of(inputs: Mapping[str, Spec | None]) -> int:
    sizes = {spec.shape[0] if spec is not None and spec.rank else 0 for spec in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def _segments(bound: Bound, inputs: set[str], batch: int) -> list[Segment]:
    """The cheapest cut into segments. One segment where all maps of the batch fit L2, as parts would only read weights more often."""
    if all(_maps(bound, b) <= FITS * current().l2_bytes for b in bound.nodes):
        return [Segment(0, len(bound.nodes), batch)]
    sizes = [n for n in range(1, batch + 1) if batch % n == 0]
    call = CALL_CYCLES * current().memory / np.array(sizes)
    costs = _costs(bound, inputs, batch, sizes)
    crossing = _crossing(bound, batch)
    best, came_from = np.zeros(len(sizes)), []
    for i in range(len(bound.nodes)):
        enter = best.min() + CROSSING * crossing[i] + call
        came_from.append(np.where(best <= enter, np.arange(len(sizes)), best.argmin()) if i else np.arange(len(sizes)))
        best = np.minimum(best, enter) + costs[i] if i else call + costs[0]
    path = [int(best.argmin())]
    for i in range(len(bound.nodes) - 1, 0, -1):
        path.append(int(came_from[i][path[-1]]))
    path.reverse()
    starts = [i for i in range(len(path)) if i == 0 or path[i] != path[i - 1]]
    return [Segment(a, b, sizes[path[a]]) for a, b in zip(starts, [*starts[1:], len(path)])]


def _costs(bound: Bound, inputs: set[str], batch: int, sizes: Sequence[int]) -> np.ndarray:
    """Bytes per image from beyond L2: a row per node, a column per part size; infinite where a node cannot be cut."""
    counts, batched = np.array(sizes), set(inputs)
    maps, weights = np.zeros((len(bound.nodes), 1)), np.zeros((len(bound.nodes), 1))
    whole = np.ones(len(bound.nodes), bool)
    for i, b in enumerate(bound.nodes):
        maps[i] = _maps(bound, b)
        weights[i] = sum(_nbytes(bound, name) for name in set(b.node.inputs) if name in bound.values)
        if is_separable(b, bound, batched, batch):
            batched.update(b.node.outputs)
            whole[i] = False
    missing = np.clip(DOUBLING * np.log2(np.maximum(counts * maps / batch, 1) / (FITS * current().l2_bytes)), 0, MEMORY)
    costs = missing * (maps / batch) + (weights + STEP_CYCLES * current().memory) / counts
    costs[np.ix_(whole, counts < batch)] = np.inf
    return costs


def _crossing_names(bound: Bound, segments: Sequence[Segment], outputs: Sequence[str]) -> dict[str, str]:
    """The maps that one segment makes and others read, without the graph's outputs, each with "" for a layout to be decided."""
    names = set()
    for segment in segments:
        later = {name for b in bound.nodes[segment.end:] for name in b.node.reads}
        names |= {name for b in bound.nodes[segment.begin:segment.end] for name in b.node.outputs if name in later}
    maps = {name: bound.spec(name).shape for name in names if name not in outputs and bound.spec(name).rank == 4}
    return {name: "" for name, shape in maps.items() if shape[2] * shape[3] > 1}


def is_separable(b: BoundNode, bound: Bound, batched: set[str], batch: int) -> bool:
    """Whether image k of a node's outputs depends, of the inputs in `batched`, on image k alone."""
    own = frozenset(i for i, name in enumerate(b.node.inputs) if name in batched)
    constant = all(name in batched or name in bound.values for name in b.node.reads)
    whole = all(spec.rank and spec.shape[0] == batch for spec in (bound.spec(name) for name in b.node.outputs if name))
    card = card_of(b.node)
    cut = card.batch if card is not None and not b.node.captures else None
    return constant and whole and bool(own) and cut is not None and cut(b.args, own)


def _crossing(bound: Bound, batch: int) -> list[float]:
    """For each node i: bytes per image of the values that nodes before it make and it or later nodes read."""
    last = {name: i for i, b in enumerate(bound.nodes) for name in b.node.reads}
    live = np.zeros(len(bound.nodes) + 1)
    for i, b in enumerate(bound.nodes):
        for name in b.node.outputs:
            if name in last:
                live[i + 1:last[name] + 1] += _nbytes(bound, name) / batch
    return list(live)


def _maps(bound: Bound, b: BoundNode) -> int:
    """Bytes of the values that a node reads and writes, constants left out."""
    return sum(_nbytes(bound, name) for name in {*b.node.inputs, *b.node.outputs} if name and name not in bound.values)


def _nbytes(bound: Bound, name: str) -> int:
    spec = bound.known(name)
    return spec.nbytes if spec is not None else 0


def _bind_part(bound: Bound, nodes: Sequence[Node], inputs: Mapping[str, Spec | None], images: int, batch: int,
               opsets: Mapping[str, int], end: int) -> Bound | None:
    """The graph bound for so many images as far as node `end`; None where its shapes are not those of the batch but for the first axis."""
    last = next(k for k, node in enumerate(nodes) if node is bound.nodes[end - 1].node)
    specs = {name: replace(spec, shape=(images, *spec.shape[1:])) for name, spec in inputs.items() if spec is not None}
    try:
        part = bind(nodes[:last + 1], specs, bound.constants, {}, opsets, budget=bound.budget)
    except FastCNNError:
        return None
    same = len(part.nodes) == end and not part.rest and all(
        p.node is b.node and p.op is not None and all(_is_part(part.specs.get(name), bound.spec(name), images)
                                                      for name in b.node.outputs if name and bound.spec(name).shape[0] == batch)
        for p, b in zip(part.nodes, bound.nodes))
    return part if same else None


def _is_part(part: Spec | None, whole: Spec, images: int) -> bool:
    return part is not None and part.dtype == whole.dtype and part.shape == (images, *whole.shape[1:])


def _lowered(planning: Planning, part: Bound, segment: Segment, inputs: tuple[str, ...], outputs: Sequence[str], later: set[str],
             inner: MutableMapping[str, str]) -> Stage:
    """A segment; the graph's own inputs and outputs come first and in their order."""
    run = part.nodes[segment.begin:segment.end]
    made = [name for b in run for name in b.node.outputs if name]
    read = dict.fromkeys(name for b in run for name in b.node.reads if name not in made and name not in part.values)
    ordered = [*(name for name in inputs if name in read), *(name for name in read if name not in inputs)]
    wanted = [*(name for name in outputs if name in made), *(name for name in made if name in later and name not in outputs)]
    return lower_stage(planning, part, run, ordered, wanted, inner)


def _repeated(stage: Stage, batch: int, times: int) -> Stage:
    if times == 1:
        return stage
    values = {field.name: getattr(stage, field.name) for field in fields(Stage)}
    values["allocations"] = tuple(((batch, *shape[1:]), dtype) for shape, dtype in stage.allocations)
    return Repeated(**values, times=times)
