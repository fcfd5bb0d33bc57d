"""Engine: runs one optimised graph for any input shapes; plans are cached per shape, packed weights shared by all of them."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

import fastcnn._native as _native
import fastcnn.reference as reference
from fastcnn._native import Deadline
from fastcnn.budget import UNLIMITED, Budget
from fastcnn.convolve.decision import Chooser, CostModel
from fastcnn.ir.errors import ExecutionError, LimitError, TimeLimitError, UnsupportedOperatorError
from fastcnn.ir.graph import Graph, Node, is_control_flow
from fastcnn.ir.record import replace
from fastcnn.ir.spec import F32, Spec
from fastcnn.locks import Lock, uncut
from fastcnn.mapping import guard_reads, mappings_of, reading
from fastcnn.ops import OPS
from fastcnn.ops.convolution import conv  # noqa: F401   nearly every model asks for it: imported with the class, not by the first load
from fastcnn.plan.aliasing import apart
from fastcnn.plan.batches import run_stage
from fastcnn.plan.bind import spec_of
from fastcnn.plan.choices import LayerChoice, rows
from fastcnn.plan.control_flow import ControlFlow
from fastcnn.plan.lowering import Stage
from fastcnn.plan.memory import aligned, empty
from fastcnn.plan.packs import Packs
from fastcnn.plan.plan import Plan, make_plan, small_values
from fastcnn.plan.planning import Planning
from fastcnn.plan.workspaces import Workspaces

guard_reads(_native)

# Plans kept per engine, the least recently used goes first.
MAX_PLANS = 64
# And per body of control flow, where a slice that moves with the rounds has a plan for each of them.
MAX_BODY_PLANS = 1024
# Runs of a shape that share the CPUs before there is a plan for their share: planning takes as long as some runs.
RUNS_BEFORE_NARROW = 4


def check_operators(graph: Graph) -> None:
    """Raises UnsupportedOperatorError naming every node that neither a kernel nor the fallback computes; bodies are checked as theirs."""
    refused = []
    for node in graph.nodes:
        if (node.domain, node.op_type) not in OPS and not is_control_flow(node):
            try:
                reference.check_supported(node, graph.opsets)
            except UnsupportedOperatorError as error:
                refused.append(str(error))
    if refused:
        raise UnsupportedOperatorError("; ".join(refused))


class Engine:
    """Thread-safe: plans are made under a lock, every run takes a workspace of its own from the pool.

    fallbacks  the nodes without a native kernel in any plan made so far, by id; those in bodies of control flow as well
    shortcut   of the last run's plan, for the next run: see Plan
    narrower   by number of threads: the same engine with plans for runs that get no more, because others share the CPUs
    """

    def __init__(self, graph: Graph, threads: int, packs: Packs, fallbacks: dict[int, Node] | None = None,
                 chooser: Chooser | None = None, budget: Budget = UNLIMITED):
        self.graph = graph
        self.max_plans = MAX_PLANS
        self.fallbacks: dict[int, Node] = {} if fallbacks is None else fallbacks
        graph.check_assignments()
        check_operators(graph)
        for name, array in graph.constants.items():
            if not array.size:
                budget.check_value(array.dtype, array.shape, f"initializer {name!r}")
        self.flows: dict[int, ControlFlow] = {}
        self.planning = Planning(graph.constants, graph.opsets, threads, packs, chooser or CostModel(), self.flows, budget,
                                 memory=graph.memory)
        self.flows.update((id(node), ControlFlow(node, self._inner, budget)) for node in graph.nodes if is_control_flow(node))
        self.inputs, self.outputs = tuple(info.name for info in graph.inputs), tuple(info.name for info in graph.outputs)
        self.files = mappings_of(graph.constants.values())
        self.plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self.lock = Lock()
        self.workspaces = Workspaces()
        self.misses = self.evictions = 0
        self.shortcut: _native.Shortcut | None = None
        self.narrower: dict[int, Engine] = {}
        self.narrow_runs: dict[Hashable, int] = {}

    def forget_inference(self, origin: Graph) -> None:
        """Releases what only loading remembers, here and in the graph that passes began with: plans for other shapes would add to it."""
        self.graph.memory = origin.memory = None
        self.planning = replace(self.planning, memory=None)

    def plan(self, specs: Mapping[str, Spec | None]) -> Plan:
        """The plan for these input specs, made at the first call."""
        return self._plan(tuple(spec.shape if spec else None for spec in specs.values()), self.graph.nodes, specs, {})

    def run(self, feeds: Mapping[str, Any], out: Sequence[np.ndarray | None] | None = None,
            until: Deadline | None = None) -> list[Any]:
        """Outputs in the graph's order for inputs as the Feeder gives them: all of them, in order, C-contiguous, of the right dtypes.

        out    arrays to compute into where that needs no copy; the caller looks whether a result is the array it gave
        until  when no step and no round begins any more: TimeLimitError
        """
        return self.run_in_order(list(feeds.values()), out, until)

    def run_in_order(self, values: Sequence[Any], out: Sequence[np.ndarray | None] | None = None,
                     until: Deadline | None = None) -> list[Any]:
        """run() for the values of all inputs in the graph's order."""
        key = tuple([getattr(value, "shape", None) for value in values])
        plan = self.plans.get(key)
        if plan is None or (len(self.plans) > self.max_plans // 2 and not self._touch(key)):
            self.misses += 1
            plan = self.plan({name: spec_of(value) for name, value in zip(self.inputs, values, strict=True)})
        self._remember(plan)
        engine = self
        if plan.threads > 1 and (share := _native.next_share(plan.threads)) < plan.threads:
            engine, plan = self._narrow(plan, key, values, share)
        workspace, succeeded = self.workspaces.take(until), False
        try:
            if plan.direct is not None:
                results = _fresh(plan.direct, plan.small) if out is None else _targets(plan.direct, values, out)
                made = self._run_stage(plan.direct, list(values), results, workspace, until)
            else:
                made = engine._run_stages(plan, dict(zip(self.inputs, values, strict=True)), workspace, until)
            succeeded = True
            return made
        finally:
            self.workspaces.give(workspace, succeeded)

    def choices(self) -> list[LayerChoice]:
        """A row for each convolution step of the plans made so far."""
        plans = list(self.plans.values())
        return rows([chosen for plan in plans for stage in plan.stages if isinstance(stage, Stage) for chosen in stage.chosen])

    def trim(self) -> None:
        """Forget plans and workspaces; packed weights stay."""
        with self.lock:
            self.plans.clear()
            self.narrower.clear()
            self.shortcut = None
        self.workspaces.trim()
        for flow in self.flows.values():
            flow.trim()

    def _narrow(self, plan: Plan, key: Hashable, values: Sequence[Any], share: int) -> tuple[Engine, Plan]:
        """The engine and its plan for a run that gets `share` threads: those made for the nearest power of two, as soon as there are some.

        The bits are the same. A plan for many threads cuts steps into small blocks, of which one thread reads the weights again and again:
        resnet18's for two is 1.55 times slower on one thread than its plan for one (EPYC Zen 4, 2026-11-29). Tuning would time anew,
        and tiles for bfloat16 would pack the weights again (convnext_tiny 1.37 times the memory); those for float32 keep their width.
        """
        if self.planning.chooser.measures or self.planning.chooser.accuracy.rounds_any:
            return self, plan
        level = 1 << share.bit_length() - 1
        other = self.narrower.get(level)
        if other is None:
            other = copy(self)
            other.planning, other.plans, other.narrow_runs = replace(self.planning, share=level), OrderedDict(), {}
            other = self.narrower.setdefault(level, other)
        found = other.plans.get(key)
        if found is None:
            other.narrow_runs[key] = runs = other.narrow_runs.get(key, 0) + 1
            if runs == RUNS_BEFORE_NARROW:          # one thread plans, once; the others go on as before
                try:
                    found = other.plan({name: spec_of(value) for name, value in zip(self.inputs, values, strict=True)})
                except LimitError:                  # for packed weights of its own
                    return self, plan
            elif len(other.narrow_runs) > MAX_BODY_PLANS:
                other.narrow_runs.clear()
        return (self, plan) if found is None else (other, found)

    def _remember(self, plan: Plan) -> None:
        """The next run may take this plan's shortcut, which marks no plan as recently used: only where none is about to be dropped."""
        self.shortcut = plan.shortcut if len(self.plans) <= self.max_plans // 2 else None

    def _touch(self, key: Hashable) -> bool:
        """Marks a plan as the most recently used; False where another thread has just dropped it."""
        try:
            self.plans.move_to_end(key)
        except KeyError:
            return False
        return True

    def _inner(self, body: Graph) -> Engine:
        """The engine of a body; its fallbacks count as this one's."""
        engine = Engine(body, self.planning.threads, Packs(), self.fallbacks, self.planning.chooser, self.planning.budget)
        engine.max_plans = MAX_BODY_PLANS
        return engine

    def _plan(self, key: Hashable, nodes: Sequence[Node], specs: Mapping[str, Spec | None], values: Mapping[str, np.ndarray]) -> Plan:
        plan = self.plans.get(key)
        if plan is not None:
            return plan
        with uncut(), self.lock:
            if key not in self.plans:
                try:
                    with reading(self.files):
                        plan = make_plan(self.planning, nodes, specs, values, self.outputs)
                finally:
                    self.planning.chooser.planned()
                self.plans[key] = plan
                self.fallbacks.update((id(node), node) for node in plan.fallbacks)
                while len(self.plans) > self.max_plans:
                    self.plans.popitem(last=False)
                    self.evictions += 1
            return self.plans[key]

    def _plan_rest(self, plan: Plan, env: dict[str, Any]) -> Plan:
        """The plan for the remaining nodes, once the values that their shapes depend on exist."""
        env.update((name, value) for name, value in plan.values.items() if name not in self.graph.constants)
        needed = sorted({name for node in plan.rest for name in node.reads if name in env})
        specs = {name: spec_of(env[name]) for name in needed}
        values = {**small_values(env, needed), **{name: env[name] for name in plan.awaited if name in env}}
        key = (len(plan.rest), tuple(specs.items()), tuple((name, value.tobytes()) for name, value in values.items()))
        return self._plan(key, plan.rest, specs, values)

    def _run_stage(self, stage: Stage, inputs: list[np.ndarray], results: list[np.ndarray], workspace: _native.Workspace,
                   until: Deadline | None) -> list[np.ndarray]:
        status = run_stage(stage, workspace, inputs + results, until)
        if status == _native.OUT_OF_TIME:
            raise TimeLimitError(f"the run took longer than its timeout, between {stage.steps[0].node!r} and {stage.steps[-1].node!r}")
        if status:
            raise ExecutionError(f"{_failed_node(stage, workspace, inputs + results)}: {_native.STATUS[status]}")
        return stage.trimmed(results) if stage.trims else results

    def _handed_on(self, stage: Stage) -> list[np.ndarray]:
        """Arrays for values between stages; maps are aligned to a vector as in the arena."""
        names = (*stage.outputs, *[""] * len(stage.trims))
        return [aligned(shape, dtype) if name and name not in self.outputs and dtype == F32 else empty(shape, dtype)
                for name, (shape, dtype) in zip(names, stage.allocations)]

    def _run_stages(self, plan: Plan, env: dict[str, Any], workspace: _native.Workspace, until: Deadline | None) -> list[Any]:
        borrowed = list(env.values())
        while True:
            borrowed += plan.values.values()
            for stage in plan.stages:
                if isinstance(stage, Stage):
                    results = self._run_stage(stage, [env[name] for name in stage.inputs], self._handed_on(stage), workspace, until)
                    env.update(zip(stage.outputs, results))
                else:
                    self._run_fallback(stage, env, plan, until)
            if not plan.rest:
                break
            left, plan = len(plan.rest), self._plan_rest(plan, env)
            if len(plan.rest) == left and not plan.stages:
                raise ExecutionError(f"{plan.rest[0].where()}: the shape of its output cannot be told from its inputs")
        return apart([env[name] if name in env else plan.values[name] for name in self.outputs], borrowed)

    def _run_fallback(self, node: Node, env: dict[str, Any], plan: Plan, until: Deadline | None) -> None:
        if until is not None and until.passed():
            raise TimeLimitError(f"the run took longer than its timeout, before {node.where()}")

        def value(name: str) -> Any:
            return env[name] if name in env else plan.values[name]

        inputs = [value(name) if name else None for name in node.inputs]
        captured = {inner: value(outer) for inner, outer in node.captures}
        flow = self.flows.get(id(node))
        if flow is not None:
            results = flow.run([_contiguous(x) for x in inputs], {name: _contiguous(x) for name, x in captured.items()}, until)
        else:
            results = reference.evaluate(node, inputs, captured, self.graph.opsets)
        for name, result in zip(node.outputs, results):
            if name:
                env[name] = _contiguous(result)


def _fresh(stage: Stage, small: bool) -> list[np.ndarray]:
    """Arrays for the outputs of a stage, which belong to the caller."""
    if small:
        return [np.empty(shape, dtype) for shape, dtype in stage.allocations]
    return [empty(shape, dtype) for shape, dtype in stage.allocations]


def _failed_node(stage: Stage, workspace: _native.Workspace, arrays: list[np.ndarray]) -> str:
    """The node of the failing step, found by running a failed stage again."""
    seconds = np.zeros(len(stage.steps))
    stage.program.run(workspace, arrays, seconds)
    failed = [info for info, time in zip(stage.steps, seconds) if time < 0]
    return f"node {failed[0].node!r}" if failed else "a native step"


def _contiguous(value: Any) -> Any:
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) and value.ndim else value


def _targets(stage: Stage, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """The arrays of `out` that a stage can write into: of the right type and shape, contiguous, apart from all others; else fresh ones."""
    targets: list[np.ndarray] = []
    for (shape, dtype), array in zip(stage.allocations, out):
        fits = (array is not None and array.shape == shape and array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned
                and not any(np.may_share_memory(array, other) for other in (*inputs, *targets)))
        targets.append(array if array is not None and fits else empty(shape, dtype))
    return targets
