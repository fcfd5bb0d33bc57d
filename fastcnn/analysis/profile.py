"""Profile: the time of each step of a run, beside the best time that this machine's arithmetic and bandwidth allow."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.analysis.origins import origins
from fastcnn.analysis.roofline import Roof, roof
from fastcnn.analysis.steps import Unit, units_of
from fastcnn.analysis.text import plain_table
from fastcnn.analysis.timing import Timed, TimedEngine
from fastcnn.analysis.trace import trace_events
from fastcnn.analysis.work import macs
from fastcnn.convolve import ladder
from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.spec import Spec
from fastcnn.machine.clock import cycles_per_second
from fastcnn.ops.base import BoundNode
from fastcnn.plan.bind import bind, spec_of
from fastcnn.plan.executor import Engine
from fastcnn.plan.plan import Plan

COLUMNS = ("layer", "operator", "ms", "share", "GFLOP/s", "of peak", "GB/s", "bound by", "perfect ms", "algorithm", "why")
SHOWN = 3                       # candidates that are named beside the pick
QUICKEST = 4                    # one of so many runs counts


@dataclass(frozen=True)
class Candidate:
    """An algorithm that can compute a layer. predicted_ms: by the cost model; measured_ms: where tuning has timed it."""

    name: str
    predicted_ms: float | None
    measured_ms: float | None
    picked: bool


@dataclass(frozen=True)
class Timing:
    """The time of nodes that run as one step.

    ms             mean of the quickest quarter of the runs
    flops          two for each multiply-accumulate of the direct computation: Winograd's algorithm can exceed the peak
    near, far      bytes read and written: in L2, maps that fit, and weights where all of the network's fit; the others through memory
    bound          "arithmetic" or "traffic": which of them takes longer at best; "" where nothing is counted
    perfect_ms     that time
    of_peak, of_bandwidth   shares: of the arithmetic peak, and of the bandwidth its traffic could have
    reads          the timings, by index, whose results it reads
    candidates     the pick and the best others, by the cost model or by tuning
    """

    name: str
    op_type: str
    nodes: tuple[str, ...]
    ms: float
    flops: int
    near: int
    far: int
    gflops: float
    gbs: float
    of_peak: float
    of_bandwidth: float
    bound: str
    perfect_ms: float
    algorithm: str
    tile: tuple[int, int] | None
    reads: tuple[int, ...]
    candidates: tuple[Candidate, ...]

    def why(self) -> str:
        """The pick and the next best candidate, in words."""
        others = [c for c in self.candidates if not c.picked][:SHOWN]
        times = [f"{c.name} {c.measured_ms:.3g} ms measured" if c.measured_ms is not None else f"{c.name} {c.predicted_ms:.3g} ms"
                 for c in others if c.measured_ms is not None or c.predicted_ms is not None]
        picked = next((c for c in self.candidates if c.picked), None)
        if picked is None:
            return ""
        own = picked.measured_ms if picked.measured_ms is not None else picked.predicted_ms
        return f"{own:.3g} ms{' measured' if picked.measured_ms is not None else ' predicted'}" + (f"; {', '.join(times)}" if times else "")


@dataclass(frozen=True)
class Profile:
    """One network for one set of inputs.

    total_ms, plain_ms   mean of the quickest quarter of the profiled runs, and of the runs between them without profiling
    outside_ms           of total_ms what no step takes: checks of the inputs, memory for outputs, the way into C
    """

    model: str
    inputs: Mapping[str, tuple[int, ...]]
    instruction_set: str
    roof: Roof
    runs: int
    total_ms: float
    plain_ms: float
    outside_ms: float
    timings: tuple[Timing, ...]
    events: tuple[dict[str, Any], ...] = field(repr=False, default=())

    def rows(self) -> list[list[str]]:
        """A row of COLUMNS for each timing."""
        whole = sum(t.ms for t in self.timings) or 1.0
        return [[t.name, t.op_type, f"{t.ms:.4f}", f"{100 * t.ms / whole:.1f} %", f"{t.gflops:.1f}" if t.flops else "",
                 f"{100 * t.of_peak:.0f} %" if t.flops else "", f"{t.gbs:.1f}", t.bound, f"{t.perfect_ms:.4f}",
                 t.algorithm + (f" {t.tile[0]}x{t.tile[1]}" if t.tile else ""), t.why()] for t in self.timings]

    def lines(self) -> list[str]:
        """The lines below the table."""
        whole, perfect = sum(t.ms for t in self.timings), sum(t.perfect_ms for t in self.timings)
        flops = sum(t.flops for t in self.timings)
        return [f"{whole:.4g} ms in {len(self.timings)} steps, {self.outside_ms:.3g} ms around them; {self.plain_ms:.4g} ms a run without "
                f"profiling (means of the quickest quarter of {self.runs} runs)",
                f"{flops / whole / 1e6 if whole else 0:.1f} GFLOP/s of {self.roof.gflops:.1f} at best; copies: {self.roof.near_gbs:.1f} "
                f"GB/s in L2, {self.roof.far_gbs:.1f} through memory; {self.instruction_set}, {self.roof.threads} "
                f"thread{'s' * (self.roof.threads != 1)}",
                f"perfect kernels would take {perfect:.4g} ms" + (f", {100 * perfect / whole:.0f} % of it" if whole else "")]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the events of the trace."""
        return {name: value for name, value in asdict(self).items() if name != "events"}

    def trace(self) -> dict[str, Any]:
        """The quickest run as a Chrome trace, which Perfetto and chrome://tracing open."""
        return {"traceEvents": list(self.events), "displayTimeUnit": "ms", "otherData": {"model": self.model}}

    def __str__(self) -> str:
        return "\n".join([plain_table(COLUMNS, self.rows()), "", *self.lines()])


def profile(graph: Graph, engine: Engine, feeds: Mapping[str, Any], runs: int = 20, seconds: float = 1.0) -> Profile:
    """Times `runs` profiled runs with plain runs between them; fewer where they take longer than `seconds`.

    feeds  what the engine takes: checked inputs, in order
    """
    timed = TimedEngine(engine)
    engine.run(feeds)
    records, totals, plain = list[list[Timed]](), list[float](), list[float]()
    end = time.perf_counter() + seconds
    while len(records) < runs and (len(records) < 3 or time.perf_counter() < end):
        timed.timed = []
        plain.append(_seconds(engine, feeds))
        totals.append(_seconds(timed, feeds))
        records.append(timed.timed)
    specs = {name: spec_of(value) for name, value in feeds.items()}
    plan = engine.plan(specs)
    units = units_of(plan)
    quick, totals = _quickest(totals)
    records = [records[k] for k in quick]
    measured = _means(units, plan, records)
    roofs = roof(engine.planning.threads)
    nodes = _bound_nodes(graph, engine, specs)
    makers = _makers(units, nodes)
    resident = _resident(nodes, roofs)
    timings = [_timing(k, unit, nodes, ms, roofs, resident, engine, makers) for k, (unit, ms) in enumerate(zip(units, measured))]
    timings += _later(records, plan)
    outside = np.mean([total - sum(map(_taken, record)) for total, record in zip(totals, records)])
    return Profile(graph.name, {name: spec.shape for name, spec in specs.items() if spec is not None}, _native.current_isa(), roofs,
                   len(plain), 1e3 * float(np.mean(totals)), 1e3 * float(np.mean(_quickest(plain)[1])), max(1e3 * float(outside), 0.0),
                   tuple(timings), tuple(trace_events(records[0])))


def _quickest(seconds: Sequence[float]) -> tuple[list[int], list[float]]:
    """Indices and times of the quickest quarter of the runs, which are the least disturbed; their steps add up to their mean."""
    order = sorted(range(len(seconds)), key=seconds.__getitem__)[:-(-len(seconds) // QUICKEST)]
    return order, [seconds[k] for k in order]


def _seconds(engine: Engine, feeds: Mapping[str, Any]) -> float:
    start = time.perf_counter()
    engine.run(feeds)
    return time.perf_counter() - start


def _taken(timed: Timed) -> float:
    """Seconds of the steps of a stage."""
    return timed.end - timed.begin if isinstance(timed.stage, Node) else float(timed.seconds().sum())


def _means(units: Sequence[Unit], plan: Plan, records: Sequence[Sequence[Timed]]) -> list[float]:
    """Mean milliseconds of each unit; stages that run in parts are added up."""
    stages: list[list[np.ndarray]] = []
    for record in records:
        sums: dict[int, np.ndarray] = {}
        for timed in record:
            own = np.array([timed.end - timed.begin]) if isinstance(timed.stage, Node) else timed.seconds()
            sums[id(timed.stage)] = sums.get(id(timed.stage), 0) + own
        stages.append([sums.get(id(stage), np.zeros(1)) for stage in plan.stages])
    means = []
    for unit in units:
        indices = [0] if unit.fallback is not None else [index for index, _ in unit.steps]
        means.append(1e3 * float(np.mean([record[unit.stage][indices].sum() for record in stages])))
    return means


def _later(records: Sequence[Sequence[Timed]], plan: Plan) -> list[Timing]:
    """Stages that were planned during the run, as their shapes depend on data: one entry each, without a roofline."""
    known = {id(stage) for stage in plan.stages}
    found: dict[int, tuple[Any, list[float]]] = {}
    for record in records:
        for timed in record:
            if id(timed.stage) not in known:
                found.setdefault(id(timed.stage), (timed.stage, []))[1].append(1e3 * (timed.end - timed.begin))
    return [Timing(stage.name if isinstance(stage, Node) else f"{stage.steps[0].node} ... {stage.steps[-1].node}",
                   stage.op_type if isinstance(stage, Node) else "by the data", (), float(np.median(times)), 0, 0, 0, 0.0, 0.0, 0.0, 0.0,
                   "", 0.0, "onnx.reference" if isinstance(stage, Node) else f"{len(stage.steps)} steps", None, (), ())
            for stage, times in found.values()]


@dataclass(frozen=True)
class Work:
    """The work of a node: multiply-accumulates, bytes of each map it reads and writes, bytes of its weights."""

    node: Node
    operator: str
    macs: int
    maps: dict[str, int]
    weights: int


def _bound_nodes(graph: Graph, engine: Engine, specs: Mapping[str, Spec | None]) -> dict[str, Work]:
    """Value -> the bound node that makes it."""
    planning = engine.planning
    bound = bind(engine.graph.nodes, specs, planning.constants, {}, planning.opsets, planning.flows, planning.budget)
    kinds = {id(b.node): origin for b, origin in zip(bound.nodes, origins(graph, [b.node for b in bound.nodes]))}

    def work(b: BoundNode) -> Work:
        known = {name: bound.known(name) for name in {*b.node.reads, *b.node.outputs} if name}
        sizes = {name: spec.size * spec.dtype.itemsize for name, spec in known.items() if spec is not None}
        fused = [part.op_type for part in kinds[id(b.node)].nodes if part.op_type != b.op_type]
        return Work(b.node, " + ".join([b.op_type, *dict.fromkeys(fused)]), macs(b, bound.known(b.node.outputs[0])),
                    {name: size for name, size in sizes.items() if name not in bound.values},
                    sum(size for name, size in sizes.items() if name in bound.values))

    return {name: found for b in bound.nodes for found in [work(b)] for name in b.node.outputs if name}


def _makers(units: Sequence[Unit], nodes: Mapping[str, Work]) -> dict[str, set[int]]:
    """Value -> the units that compute it; through nodes that have nothing to do, the units before them."""
    own = {made: k for k, unit in enumerate(units) for made in unit.made}
    found: dict[str, set[int]] = {}
    for work in nodes.values():
        here = {own[name] for name in work.node.outputs if name in own}
        for name in work.node.outputs:
            found[name] = here or set[int]().union(*(found.get(read, ()) for read in work.node.reads))
    return found


def _resident(nodes: Mapping[str, Work], roofs: Roof) -> bool:
    """Whether all weights, together with the maps of any one node, fit the L2 cache of a core and so stay there between runs."""
    works = list({id(work.node): work for work in nodes.values()}.values())
    weights = sum(work.weights for work in works)
    return weights + max((sum(work.maps.values()) for work in works), default=0) <= roofs.near_bytes // roofs.threads


def _timing(k: int, unit: Unit, nodes: Mapping[str, Work], ms: float, roofs: Roof, resident: bool, engine: Engine,
            makers: Mapping[str, set[int]]) -> Timing:
    works = [nodes[name] for name in unit.made if name in nodes]
    inner = {name for work in works for name in work.node.outputs} - {works[-1].node.outputs[0]} if works else set()
    inner -= {name for name in inner if any(name in other.node.reads for other in nodes.values() if other not in works)}
    maps = {name: size for work in works for name, size in work.maps.items() if name not in inner}
    flops, moved = 2 * sum(work.macs for work in works), sum(maps.values())
    read = [name for work in works for name in work.node.reads] or unit.made
    fits = moved <= roofs.near_bytes
    weights = sum(work.weights for work in works)
    near, far = (moved if fits else 0) + (weights if resident else 0), (0 if resident else weights) + (0 if fits else moved)
    arithmetic, traffic = roofs.seconds(flops, near, far)
    perfect, seconds = max(arithmetic, traffic), max(ms, 1e-9) / 1e3
    copied = "copy of an output" if not works or (set(kind for _, kind in unit.steps) == {"copy"} and unit.choices == []) else ""
    return Timing(
        name=" + ".join(work.node.name for work in works) or ", ".join(unit.made),
        op_type=", ".join(work.operator for work in works) or copied,
        nodes=tuple(work.node.name for work in works), ms=ms, flops=flops, near=near, far=far, gflops=1e-9 * flops / seconds,
        gbs=1e-9 * (near + far) / seconds, of_peak=arithmetic / seconds, of_bandwidth=traffic / seconds,
        bound="" if not perfect else "arithmetic" if arithmetic >= traffic else "traffic", perfect_ms=1e3 * perfect,
        algorithm=unit.algorithm, tile=unit.tile, reads=tuple(sorted(set[int]().union(*(makers.get(name, ()) for name in read)) - {k})),
        candidates=_candidates(unit, engine.planning.threads))


def _candidates(unit: Unit, threads: int) -> tuple[Candidate, ...]:
    """The pick of the unit's decision and the best of every other rung; of neighbours that were timed the variants."""
    if len(unit.decided) != 1:
        return ()
    chosen = unit.decided[0]
    if chosen.decision is None:
        best = min(chosen.seconds.values(), default=0.0)
        return tuple(Candidate(name, None, 1e3 * s, s == best) for name, s in sorted(chosen.seconds.items(), key=lambda item: item[1]))
    decision, ms = chosen.decision, 1e3 / cycles_per_second()
    rungs: dict[str, tuple[float, str, bool]] = {}
    for name, choice in ladder.candidates(decision.problem).items():
        cost, own = ms * ladder.cycles(choice, threads), choice == decision.choice
        label = choice.rung + (f" F({choice.fields['m']})" if choice.fields.get("m") else "")
        if own or (label not in rungs or (cost < rungs[label][0] and not rungs[label][2])):
            rungs[label] = (cost, name, own)
    found = [Candidate(label, cost, 1e3 * decision.seconds[name] if name in decision.seconds else None, own)
             for label, (cost, name, own) in rungs.items()]
    return tuple(sorted(found, key=lambda c: (not c.picked, c.measured_ms if c.measured_ms is not None else c.predicted_ms or 0.0)))
