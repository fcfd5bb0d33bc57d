"""Runs If, Loop and Scan: each body has an engine of its own, which Python calls once per round."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from fastcnn._native import Deadline
from fastcnn.budget import UNLIMITED, Budget
from fastcnn.ir.errors import ExecutionError, FastCNNError, LimitError, ModelError, TimeLimitError
from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.ir.spec import Args, Spec
from fastcnn.plan.aliasing import apart
from fastcnn.plan.plan import Plan
from fastcnn.reference import run_control_flow

# What a row of a scan output takes beside its elements: rows without any take memory too.
ROW_BYTES = 128

Value = Any
Specs = Sequence["Spec | None"]


class Runner(Protocol):
    """The interface of plan.executor.Engine, which runs a body's graph."""

    def plan(self, specs: Mapping[str, Spec | None]) -> Plan: ...

    def run_in_order(self, values: Sequence[Value], out: None = None, until: Deadline | None = None) -> list[Value]: ...

    def trim(self) -> None: ...


class Body:
    """run(inputs, captured) -> outputs in order. Its engine computes what nodes make; inputs and constants are handed on.

    Names become places in one list when the body is made: inputs, captured values, what the engine computes. A round looks up none.
    """

    def __init__(self, graph: Graph, captured: Sequence[str], engine_of: Callable[[Graph], Runner]):
        same = {node.outputs[0]: node.inputs[0] for node in graph.nodes if node.op_type == "Identity" and not node.domain}
        self.formal = [info.name for info in graph.inputs if info.name not in captured]
        self.outputs = [_source(info.name, same) for info in graph.outputs]
        self.constants = {name: graph.constants[name] for name in self.outputs if name in graph.constants}
        self.computed = list(dict.fromkeys(name for name in self.outputs if any(name in node.outputs for node in graph.nodes)))
        nodes = needed(graph.nodes, self.computed)
        inputs = [info for info in graph.inputs if any(info.name in node.reads for node in nodes)]
        self.feeds = [info.name for info in inputs]
        self.engine = engine_of(replace(graph, nodes=nodes, inputs=inputs, outputs=[ValueInfo(v, "", None) for v in self.computed]))
        places = {name: len(self.formal) + k for k, name in enumerate(captured)} | {name: k for k, name in enumerate(self.formal)}
        self._fed = [places[name] for name in self.feeds]
        places |= {name: len(self.formal) + len(captured) + k for k, name in enumerate(self.computed)}
        self._sources = [places.get(name, name) for name in self.outputs]

    def run(self, inputs: Sequence[Value], captured: Sequence[Value], until: Deadline | None) -> list[Value]:
        """Outputs for the formal inputs and for captured values, both in order."""
        values = [*inputs, *captured]
        if self.computed:
            values += self.engine.run_in_order([values[k] for k in self._fed], None, until)
        return [values[source] if isinstance(source, int) else np.array(self.constants[source]) for source in self._sources]

    def infer(self, inputs: Specs, captured: Mapping[str, Spec | None]) -> list[Spec | None]:
        """Specs of the outputs, None where data decide. Plans the engine for these inputs."""
        env = {**captured, **dict(zip(self.formal, inputs))}
        if self.computed:
            env.update(self.engine.plan({name: env[name] for name in self.feeds}).outputs)
        known = {name: Spec(array.dtype, array.shape) for name, array in self.constants.items()}
        return [env.get(name, known.get(name)) for name in self.outputs]

    def goes_on(self) -> bool:
        """Whether the first output of this body of a Loop, the condition to go on, is true as long as its input is."""
        name = self.outputs[0]
        return name == self.formal[1] or (name in self.constants and bool(self.constants[name].all()))


def _source(name: str, same: Mapping[str, str]) -> str:
    while name in same:
        name = same[name]
    return name


def needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that the outputs depend on."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if not read.isdisjoint(node.outputs):
            kept.append(node)
            read.update(node.reads)
    return kept[::-1]


class ControlFlow:
    """A control-flow node with its bodies ready to run. Raises ModelError where their inputs and outputs do not fit the node's."""

    def __init__(self, node: Node, engine_of: Callable[[Graph], Runner], budget: Budget = UNLIMITED):
        self.budget = budget
        captured = tuple(dict.fromkeys(inner for inner, _ in node.captures))
        self.node, self.captured = node, captured
        self.bodies = {key: Body(body, captured, engine_of) for key, body in node.bodies.items()}
        self.rows = _check_counts(node, self.bodies)
        self._by_graph = {id(body): self.bodies[key] for key, body in node.bodies.items()}

    def run(self, inputs: Sequence[Value], captured: Mapping[str, Value], until: Deadline | None = None) -> list[Value]:
        """Outputs in order, apart from the arrays given. Errors say which node of which body."""
        kept, around = 0, [captured[name] for name in self.captured]

        def body(graph: Graph, values: Sequence[Value]) -> list[Value]:
            nonlocal kept
            if until is not None and until.passed():
                raise TimeLimitError("the run took longer than its timeout")
            outputs = self._by_graph[id(graph)].run(values, around, until)
            for array in outputs[self.rows:]:
                kept += getattr(array, "nbytes", 0) + ROW_BYTES
            self.budget.check(kept, "what the rounds make")
            return outputs

        try:
            outputs = run_control_flow(self.node, inputs, body)
        except FastCNNError as error:
            raise type(error)(f"{self.node.where()}: {error}") from error
        except Exception as error:
            raise ExecutionError(f"{self.node.where()}: {type(error).__name__}: {error}") from error
        return apart(outputs, [*inputs, *captured.values()])

    def trim(self) -> None:
        """Forget the plans of the bodies."""
        for body in self.bodies.values():
            body.engine.trim()

    def infer(self, args: Args, captured: Mapping[str, Spec | None]) -> list[Spec | None]:
        """Specs of the outputs where they do not depend on data; bodies are planned on the way. Errors wait for the run."""
        try:
            return _INFER[self.node.op_type](self, args, captured)
        except LimitError:
            raise
        except FastCNNError:                  # of a branch not taken, or a body that never runs, perhaps
            return [None] * len(self.node.outputs)


def _check_counts(node: Node, bodies: Mapping[str, Body]) -> int:
    """Into the body of a Loop go number, condition and what is carried, of a Scan states and slices. Returns where scan outputs begin."""
    given = len(node.inputs) - (node.op_type == "Scan" and node.version < 9)
    inputs = {"If": 0, "Loop": max(given, 2), "Scan": given}[node.op_type]
    carried = {"If": 0, "Loop": inputs - 2, "Scan": inputs - node.attrs.get("num_scan_inputs", 0)}[node.op_type]
    first = node.op_type == "Loop"                                 # the condition comes before what the node gives out
    if not 0 <= carried <= inputs or (node.op_type == "Scan" and carried == inputs):
        raise ModelError(f"{node.where()}: num_scan_inputs={node.attrs.get('num_scan_inputs')} of {inputs} inputs")
    least = max(carried, len(node.outputs))
    for key, body in bodies.items():
        if len(body.formal) != inputs:
            raise ModelError(f"{node.where()}: {key} has {len(body.formal)} inputs, the node gives it {inputs}")
        if len(body.outputs) - first < least:
            raise ModelError(f"{node.where()}: {key} has {len(body.outputs)} outputs, too few for {least} of the node")
    return carried + first


def _infer_if(flow: ControlFlow, args: Args, captured: Mapping[str, Spec | None]) -> list[Spec | None]:
    condition = args.values[0]
    names = ("then_branch", "else_branch")
    taken = names if condition is None or condition.size != 1 else names[:1] if condition.reshape(()) else names[1:]
    found = [flow.bodies[name].infer([], captured) for name in taken]
    return [specs[0] if all(spec == specs[0] for spec in specs) else None for specs in zip(*found)]


def _infer_loop(flow: ControlFlow, args: Args, captured: Mapping[str, Spec | None]) -> list[Spec | None]:
    body, carried = flow.bodies["body"], list(args.specs[2:])
    unknown: list[Spec | None] = [None] * len(flow.node.outputs)
    made = body.infer([Spec(np.dtype(np.int64), ()), Spec(np.dtype(np.bool_), ()), *carried], captured)[1:]
    if made[:len(carried)] != carried or None in carried:
        return unknown
    limit, condition = (*args.values, None, None)[:2]
    endless = flow.node.input(1) and (condition is None or not condition.all())
    if limit is None or limit.size != 1 or endless or not body.goes_on():
        return [*carried, *unknown[len(carried):]]
    return [*carried, *_rows(made[len(carried):], max(int(limit.reshape(())), 0), ())]


def _infer_scan(flow: ControlFlow, args: Args, captured: Mapping[str, Spec | None]) -> list[Spec | None]:
    node, body = flow.node, flow.bodies["body"]
    count, unknown = node.attrs["num_scan_inputs"], [None] * len(node.outputs)
    if node.version < 9 or any(spec is None or not spec.rank for spec in args.specs[-count:]):
        return [*unknown]
    states, scanned = list(args.specs[:-count]), [spec for spec in args.specs[-count:] if spec is not None]
    axes = [a % spec.rank for a, spec in zip(node.attrs.get("scan_input_axes") or [0] * count, scanned)]
    slices = [Spec(spec.dtype, spec.shape[:a] + spec.shape[a + 1:]) for a, spec in zip(axes, scanned)]
    made = body.infer([*states, *slices], captured)
    if made[:len(states)] != states or None in states:
        return [*unknown]
    return [*states, *_rows(made[len(states):], scanned[0].shape[axes[0]], node.attrs.get("scan_output_axes") or ())]


def _rows(specs: Specs, rounds: int, axes: Sequence[int]) -> list[Spec | None]:
    """Scan outputs of so many rounds, stacked along a new axis each."""
    stacked: list[Spec | None] = []
    for spec, axis in zip(specs, (*axes, *[0] * len(specs))):
        at = axis % (spec.rank + 1) if spec is not None else 0
        stacked.append(None if spec is None else Spec(spec.dtype, (*spec.shape[:at], rounds, *spec.shape[at:])))
    return stacked


_INFER: dict[str, Callable[[ControlFlow, Args, Mapping[str, Spec | None]], list[Spec | None]]] = {
    "If": _infer_if,
    "Loop": _infer_loop,
    "Scan": _infer_scan,
}
