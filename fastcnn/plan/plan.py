"""Plan: the native stages and fallback nodes that run for one set of input shapes, and the nodes still to be planned during the run."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastcnn._native import Shortcut
from fastcnn.ir.graph import Node, is_control_flow
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import Capped, Spec
from fastcnn.machine.current import planning_weights
from fastcnn.mapping import is_lent, resident
from fastcnn.ops.base import BoundNode
from fastcnn.plan.batches import Repeated, lower_in_parts
from fastcnn.plan.bind import Bound, bind
from fastcnn.plan.lowering import Stage
from fastcnn.plan.memory import is_large
from fastcnn.plan.packs import Packs
from fastcnn.plan.planning import Planning
from fastcnn.plan.stage import lower_stage

# Integer values this small are looked at when the rest of a graph is bound: shapes, axes, sizes.
SMALL_VALUE = 64


@dataclass(frozen=True)
class Plan:
    """stages in order; values known without running anything; rest: nodes bound when their inputs exist.

    awaited  values that the first of the rest is bound by, whatever their size
    outputs  what is known of the types of the outputs before the run
    direct  the one stage that turns all inputs, in order, into all outputs, in order: the usual case, run without a dict
    small   none of what that stage makes is large: a round of a Loop need not ask for each
    threads that share its steps, 1 where none of them is worth a second one
    shortcut  the same in one call of native code, where all arrays are numbers
    """

    stages: tuple[Stage | Node, ...]
    values: Mapping[str, np.ndarray]
    rest: tuple[Node, ...]
    awaited: tuple[str, ...]
    outputs: Mapping[str, Spec]
    direct: Stage | None
    small: bool = False
    threads: int = 1
    shortcut: Shortcut | None = None

    @property
    def fallbacks(self) -> list[Node]:
        """Nodes without a native kernel, as far as planned; what is in bodies is in the plans of those."""
        return [stage for stage in self.stages if isinstance(stage, Node) and not is_control_flow(stage)]


def make_plan(planning: Planning, nodes: Sequence[Node], specs: Mapping[str, Spec | None], values: Mapping[str, np.ndarray],
              outputs: Sequence[str]) -> Plan:
    """Bind, cut into stages, lower. values: what a run has computed already; outputs: the names that the caller wants in the end."""
    with planning_weights(planning.weights_bytes):
        return _make_plan(planning, nodes, specs, values, outputs)


def _make_plan(planning: Planning, nodes: Sequence[Node], specs: Mapping[str, Spec | None], values: Mapping[str, np.ndarray],
               outputs: Sequence[str]) -> Plan:
    for name, spec in specs.items():
        if spec is not None:
            planning.budget.check_value(spec.dtype, spec.shape, f"input {name!r}")
    bound = bind(nodes, specs, planning.constants, values, planning.opsets, planning.flows, planning.budget, planning.memory)
    runs = _runs(bound.nodes)
    whole = len(runs) == 1 and runs[0][0].op is not None and not bound.rest and not values
    parts = lower_in_parts(planning, bound, nodes, specs, outputs) if whole else None
    stages: list[Stage | Node] = [*(parts or ())]
    for k, run in enumerate(runs if parts is None else ()):
        if run[0].op is None:
            stages.append(run[0].node)
            continue
        later = [bound_node.node for other in runs[k + 1:] for bound_node in other] + bound.rest
        wanted = set(outputs).union(*(node.reads for node in later)) if later else set(outputs)
        stage_outputs = _in_order_of(outputs, [name for b in run for name in b.node.outputs if name in wanted])
        stage_inputs = _in_order_of(tuple(specs), _stage_inputs(bound, run))
        stages.append(lower_stage(planning, bound, run, stage_inputs, stage_outputs))
    known = {name: bound.known(name) for name in outputs}
    fixed = {name: spec for name, spec in known.items() if spec is not None and not isinstance(spec, Capped)}
    direct = _direct(stages, bound.rest, tuple(specs), tuple(outputs))
    small = direct is not None and not any(is_large(shape, dtype) for shape, dtype in direct.allocations)
    threads = max((stage.program.threads for stage in stages if isinstance(stage, Stage)), default=1)
    threads = min(threads, planning.sharing)
    return Plan(tuple(stages), _kept(bound, stages, outputs, planning.packs), tuple(bound.rest), bound.awaited, fixed, direct, small,
                threads, _shortcut(direct, specs, threads))


def _kept(bound: Bound, stages: Sequence[Stage | Node], outputs: Sequence[str],
          packs: Packs) -> dict[str, np.ndarray]:
    """Copies of the constant values that a run reads: inputs of fallback nodes and of nodes not planned yet, and outputs."""
    nodes = [*(stage for stage in stages if isinstance(stage, Node)), *bound.rest]
    kept = {name: bound.values[name] for name in {*outputs, *(name for node in nodes for name in node.reads)} if name in bound.values}
    for name in kept:
        if is_lent(kept[name]):
            kept[name] = packs.setdefault(("resident", name), resident(kept[name]))
    return kept


def _direct(stages: Sequence[Stage | Node], rest: Sequence[Node], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Stage | None:
    if len(stages) != 1 or rest or not isinstance(stages[0], Stage) or stages[0].trims:
        return None
    return stages[0] if stages[0].inputs == inputs and stages[0].outputs == outputs else None


def _shortcut(direct: Stage | None, inputs: Mapping[str, Spec | None], threads: int) -> Shortcut | None:
    """The direct stage with what its arrays have to be; None where it runs several times, or arrays hold other things than numbers."""
    if direct is None or isinstance(direct, Repeated):
        return None
    given = [(name, spec.dtype, spec.shape, False) for name, spec in inputs.items() if spec is not None]
    made = [(name, dtype, shape, is_large(shape, dtype)) for name, (shape, dtype) in zip(direct.outputs, direct.allocations)]
    try:
        return Shortcut(direct.program, threads, given, made)
    except ValueError:
        return None


def _runs(nodes: Sequence[BoundNode]) -> list[list[BoundNode]]:
    """Groups nodes into runs of consecutive native nodes and single fallback nodes."""
    runs: list[list[BoundNode]] = []
    for bound_node in nodes:
        if bound_node.op is not None and runs and runs[-1][0].op is not None:
            runs[-1].append(bound_node)
        else:
            runs.append([bound_node])
    return runs


def _in_order_of(order: Sequence[str], names: Sequence[str]) -> list[str]:
    """names, those of `order` first and in its order."""
    return [name for name in order if name in names] + [name for name in names if name not in order]


def _stage_inputs(bound: Bound, run: Sequence[BoundNode]) -> list[str]:
    made = {name for b in run for name in b.node.outputs}
    return list(dict.fromkeys(name for b in run for name in b.node.reads if name not in made and name not in bound.values))


def small_values(env: Mapping[str, object], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named values that a shape may depend on: small integer and boolean tensors, and scalars."""
    found = {}
    for name in names:
        value = env.get(name)
        if isinstance(value, np.ndarray) and ((value.dtype.kind in "iub" and value.size <= SMALL_VALUE) or value.size <= 8):
            found[name] = value
    return found
