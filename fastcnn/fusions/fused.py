"""Fused: the base of fusions, nodes that run as one step. absorb(): the loop that offers pairs of neighbours to a fusion."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import ClassVar

from fastcnn.convolve.accuracy import Accuracy
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass, replace
from fastcnn.ops.base import BoundNode, Lowering, Unit

TOGETHER, APART = "together", "apart"
ROWS_FACTORS = (0.5, 2)          # tried when tuning


@dataclass(frozen=True)
class Neighbours:
    """What a fusion's rule may ask about a stage: readers of each value, values read outside of it (`outputs`), threads.

    proposes  whether measurements will decide; fusions then also offer what they do not expect to pay
    """

    nodes: Sequence[BoundNode]
    outputs: Collection[str]
    threads: int
    proposes: bool = False

    @lazy
    def readers(self) -> dict[str, list[BoundNode]]:
        """The nodes that read the value, once for each time they read it."""
        found: dict[str, list[BoundNode]] = {}
        for b in self.nodes:
            for name in b.reads:
                found.setdefault(name, []).append(b)
        return found

    def is_private(self, name: str) -> bool:
        """Whether the value has exactly one reader, which reads it once, and is no output."""
        return len(self.readers.get(name, ())) == 1 and name not in self.outputs


class Fused(ABC):
    """Nodes that run as one step.

    A fusion is a subclass: a frozen dataclass of its nodes, in their original order, and its options, with the rule `of` that makes it
    and its lowering. readers: operators of the nodes that `of` may take as reader.
    """

    readers: ClassVar[frozenset[str]]

    @classmethod
    @abstractmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        """The fusion of two nodes, None where it is not possible or does not pay. reader's first input is maker's output."""

    @abstractmethod
    def lower(self, low: Lowering) -> None:
        """Emits the steps. low.part(node) gives access to the inputs and outputs of one of the nodes."""

    def alternatives(self) -> Mapping[str, Sequence[Unit]] | None:
        """Name -> another way to compute the same bits, which tuning times beside this one and the separate nodes. None: not tuned."""
        return None

    def halves(self, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
        """Whether its output may be stored as bfloat16, and which of the values that it reads."""
        return False, frozenset()

    @lazy
    def parts(self) -> tuple[Unit, ...]:
        found = [getattr(self, field.name) for field in fields(self)]           # type: ignore[arg-type]
        return tuple(part for part in found if isinstance(part, (BoundNode, Fused)))

    @lazy
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    @property
    def op_type(self) -> str:
        return type(self).__name__

    def where(self) -> str:
        return f"{self.op_type} {self.name!r}"

    @lazy
    def outputs(self) -> tuple[str, ...]:
        return self.parts[-1].outputs

    @lazy
    def reads(self) -> tuple[str, ...]:
        made = {name for part in self.parts for name in part.outputs}
        return tuple(name for part in self.parts for name in part.reads if name not in made)


def absorb(fusion: type[Fused], units: Sequence[Unit], near: Neighbours) -> Sequence[Unit]:
    """The units of a stage after one fusion was applied to every pair that it accepts, in topological order.

    A fused unit stands at the reader's place, or at the maker's if the maker's output has other, later readers.
    """
    readers = fusion.readers
    offered = [(k, unit) for k, unit in enumerate(units) if isinstance(unit, BoundNode) and unit.node.op_type in readers]
    if not offered:
        return units
    slots: list[Unit | None] = [*units]
    at = {(unit.node if isinstance(unit, BoundNode) else unit).outputs[0]: k for k, unit in enumerate(units)}
    for k, reader in offered:
        inputs = reader.node.inputs
        place = at.get(inputs[0]) if inputs and inputs[0] else None
        if place is None:
            continue
        maker = slots[place]
        assert maker is not None, "only what has been fused has left its slot, with its name"
        fused = fusion.of(maker, reader, near)
        if fused is None:
            continue
        new = place if maker.outputs[0] in fused.outputs else k
        slots[place] = slots[k] = None
        slots[new] = fused
        at.update(dict.fromkeys(fused.outputs, new))
    return [unit for unit in slots if unit is not None]


def fuse(fusions: Sequence[type[Fused]], units: Sequence[Unit], near: Neighbours) -> Sequence[Unit]:
    """The units after all of these fusions were applied, one after the other."""
    for fusion in fusions:
        units = absorb(fusion, units, near)
    return units


def by_rows(fused: Fused) -> dict[str, list[Unit]]:
    """Alternatives of a fusion with the option rows_factor: more or fewer rows at a time than its default for the caches."""
    return {f"{TOGETHER}, {factor} of the rows": [replace(fused, rows_factor=factor)] for factor in ROWS_FACTORS}    # type: ignore[type-var]
