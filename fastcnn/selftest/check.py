"""Doctor's self-test: small networks that reach every kind of step, at every instruction set of this CPU, beside numpy."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.decision import CostModel, Decision
from fastcnn.convolve.ladder import candidates
from fastcnn.convolve.quantized_gemm import has_dots
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.machine.current import current, using
from fastcnn.passes import run_passes
from fastcnn.plan.executor import Engine
from fastcnn.plan.packs import Packs
from fastcnn.plan.stage import Stage
from fastcnn.reference import evaluate_graph
from fastcnn.selftest import operators, steps
from fastcnn.selftest.maker import Case, Maker

TOLERANCE = 2e-5                # of the largest output
TABLES = (operators.layers, operators.others, steps.convolutions, steps.images, steps.bytes_and_choices)
SMALL_L2 = 32 << 10             # bytes: maps of a few rows outgrow it
Line = dict[str, Any]


class Preferring(CostModel):
    """The cost model, but for convolutions that one kind of step can compute: then that kind does, whether it pays or not.

    Chains stay on planes where that kind is asked for, else their neighbours may be fused.
    """

    def __init__(self, kind: str, accuracy: Accuracy):
        super().__init__(accuracy)
        self.kind = kind

    def conv(self, problem: Problem) -> Decision:
        wanted = [choice for choice in candidates(problem).values() if choice.kind == self.kind] if self.kind else []
        return Decision(problem, wanted[0]) if wanted else super().conv(problem)

    def chain(self, layers: tuple[ConvShape, ...]) -> bool:
        return self.kind == "planes_chain"


def self_test() -> list[Line]:
    """A line for each network and instruction set of this CPU: "network", "instruction_set", "steps" (kinds that ran), "difference", "ok".

    difference: the largest one to numpy, as a share of numpy's largest output. Leaves the instruction set as it was.
    """
    before, lines = _native.current_isa(), list[Line]()
    try:
        for name, case in _cases():
            wanted = evaluate_graph(case.graph, case.feeds)
            for level in _native.levels():
                _native.set_isa(level)
                lines.append(_checked(name, level, case, wanted))
    finally:
        _native.set_isa(before)
    return lines


def coverage(lines: list[Line]) -> list[Line]:
    """A line for each instruction set: "instruction_set", how many kinds of steps were "tried" "of" all, "not_tried" (kind -> why)."""
    before, found = _native.current_isa(), list[Line]()
    try:
        for level in _native.levels():
            _native.set_isa(level)
            tried = {kind for line in lines if line["instruction_set"] == level for kind in line["steps"]}
            known, reasons = _native.step_fields(), unreachable()
            found.append({"instruction_set": level, "tried": len(tried), "of": len(known),
                          "not_tried": {kind: reasons.get(kind, "no network of the self-test reaches it")
                                        for kind in known if kind not in tried}})
    finally:
        _native.set_isa(before)
    return found


FLOATS = ("round_sum", "round_product", "lookup")       # steps on bytes that are floats in memory


def unreachable() -> dict[str, str]:
    """The kinds of steps that no network has at the current instruction set, and why."""
    found = {}
    if _native.vector_length() == 1:
        found["grouped"] = "it lays channels of several groups into one vector, which here holds one number"
    if not _native.pgemm_max_mr(1):
        found["conv_bf16"] = "this instruction set has no products of bfloat16"
    if has_dots():
        found |= dict.fromkeys(FLOATS, "this instruction set has products of bytes, so none of their values are floats")
    return found


def _cases() -> Iterator[tuple[str, Case]]:
    maker = Maker()
    for table in TABLES:
        for name, make in table(maker).items():
            yield name, make()


def _checked(name: str, level: str, case: Case, wanted: dict[str, Any]) -> Line:
    accuracy = Accuracy(precision=case.precision, weights=case.weights)
    chooser = Preferring(case.prefers, accuracy)
    engine = Engine(run_passes(case.graph), 1, Packs(), None, chooser)
    with using(replace(current(), l2_bytes=SMALL_L2) if case.small_cache else current()):
        outputs = engine.run(case.feeds)
    pairs = [(got, np.asarray(wanted[info.name])) for info, got in zip(case.graph.outputs, outputs)]
    differences = [difference(*pair) for pair in pairs]
    computed = sorted({step.kind for plan in engine.plans.values() for stage in plan.stages if isinstance(stage, Stage)
                       for step in stage.steps})
    return {"network": name, "instruction_set": level, "steps": computed, "difference": float(np.max(differences)),
            "ok": all(found <= allowed(*pair) for found, pair in zip(differences, pairs))}


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """max |got - wanted| / max |wanted|; infinite where shapes or kinds of numbers differ, NaN where a value is.

    Inside of a plan float16 is float32 of the same values.
    """
    if got.shape != wanted.shape or got.dtype.kind != wanted.dtype.kind:
        return float("inf")
    exact = wanted.astype(np.float64)
    return float(np.abs(got - exact).max(initial=0.0) / max(np.abs(exact).max(initial=0.0), 1e-30))


def allowed(got: np.ndarray, wanted: np.ndarray) -> float:
    """The difference that is no fault: one quantum of bytes, which may lie next to a tie, else TOLERANCE."""
    is_bytes = got.dtype in (np.uint8, np.int8) and TOLERANCE > 0
    return float(1 / max(np.abs(wanted.astype(np.float64)).max(initial=0.0), 1.0)) if is_bytes else TOLERANCE
