"""Units: the steps of a plan joined with the nodes that they compute, and with the choices that were made for them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastcnn.ir.graph import Node, is_control_flow
from fastcnn.plan.batches import Repeated
from fastcnn.plan.choices import Chosen, LayerChoice, rows
from fastcnn.plan.lowering import Stage
from fastcnn.plan.plan import Plan

MOVES = ("copy",)


@dataclass
class Unit:
    """Nodes that run as one, by a value that each of them makes, and their steps: (stage of the plan, index in its program)."""

    made: tuple[str, ...]
    stage: int
    times: int = 1
    fallback: Node | None = None
    steps: list[tuple[int, str]] = field(default_factory=list)          # index, kind
    choices: list[LayerChoice] = field(default_factory=list)
    decided: list[Chosen] = field(default_factory=list)

    @property
    def algorithm(self) -> str:
        """The algorithm in words; "" where nothing has to be computed."""
        if self.fallback is not None:
            return "body" if is_control_flow(self.fallback) else "onnx.reference"
        decided = list(dict.fromkeys(choice.algorithm for choice in self.choices if choice.source != "fused"))
        kinds = list(dict.fromkeys(kind for _, kind in self.steps))
        fused = [choice.algorithm for choice in self.choices if choice.source == "fused"]
        names = [*dict.fromkeys(fused), *decided] or [kind for kind in kinds if kind not in MOVES] or kinds
        return ", ".join(names)

    @property
    def tile(self) -> tuple[int, int] | None:
        """(rows, columns) of the register tile, where there is one."""
        return next((choice.tile for choice in self.choices if choice.tile), None)


def units_of(plan: Plan) -> list[Unit]:
    """The units of a plan in the order in which they run."""
    units: list[Unit] = []
    for k, stage in enumerate(plan.stages):
        if not isinstance(stage, Stage):
            units.append(Unit(tuple(filter(None, stage.outputs))[:1], k, fallback=stage))
            continue
        times, by_made = stage.times if isinstance(stage, Repeated) else 1, dict[tuple[str, ...], Unit]()
        for index, info in enumerate(stage.steps):
            if info.unit not in by_made:
                by_made[info.unit] = Unit(info.unit, k, times)
                units.append(by_made[info.unit])
            by_made[info.unit].steps.append((index, info.kind))
        _add_choices(stage, list(by_made.values()))
    return units


def _add_choices(stage: Stage, units: Sequence[Unit]) -> None:
    """Assigns each choice to the unit that has a step of its kind for its node."""
    places: dict[tuple[str, str], Unit] = {}
    for unit in units:
        for index, _ in unit.steps:
            info = stage.steps[index]
            places.setdefault((info.node, info.kind), unit)
            places.setdefault((info.node, ""), unit)
    for chosen, row in zip(stage.chosen, rows(stage.chosen)):
        owner = places.get((chosen.node, chosen.kind)) or places.get((chosen.node, ""))
        if owner is not None:
            owner.choices.append(row)
            owner.decided.append(chosen)
