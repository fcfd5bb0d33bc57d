"""Fused: neighbours that run as one, named by what each of them does there; absorb: the loop that offers neighbours to a fusion."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import ClassVar

from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass
from fastcnn.ops.base import BoundNode, Lowering, Unit

TOGETHER, APART = "together", "apart"
ROWS_FACTORS = (0.5, 2)          # tried when tuning


@dataclass(frozen=True)
class Neighbours:
    """What decides whether a fusion pays: who reads the values of a stage, `outputs` those outside of it too; threads.

    proposes  whether a measurement decides: then fusions offer more than they would do by themselves
    """

    nodes: Sequence[BoundNode]
    outputs: Collection[str]
    threads: int
    proposes: bool = False

    @lazy
    def readers(self) -> dict[str, list[BoundNode]]:
        """A node once for each time that it reads the value."""
        found: dict[str, list[BoundNode]] = {}
        for b in self.nodes:
            for name in b.reads:
                found.setdefault(name, []).append(b)
        return found

    def is_private(self, name: str) -> bool:
        """Whether one node reads the value, once, and nobody else."""
        return len(self.readers.get(name, ())) == 1 and name not in self.outputs


class Fused(ABC):
    """Neighbours that run as one.

    A fusion is a subclass: a frozen dataclass of its parts, in the order that they have without it, and its options; with the rule that
    makes it and its lowering. readers: the operators of the nodes that `of` may take as reader.
    """

    readers: ClassVar[frozenset[str]]

    @classmethod
    @abstractmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        """Both as one; None where that cannot be or does not pay. reader reads what maker makes as its first input."""

    @abstractmethod
    def lower(self, low: Lowering) -> None:
        """Emit the steps; low.part(node) reads and writes what that part does."""

    def alternatives(self) -> Mapping[str, Sequence[Unit]] | None:
        """Other ways to compute the same bits, by name, for tuning to try beside itself and its parts. None: tuning leaves it alone."""
        return None

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
    """The units of a stage in topological order, every pair of which the fusion makes one as one.

    It stands where the reader stood; where the maker did if what that makes has other readers, which come later.
    """
    offered = [(k, unit) for k, unit in enumerate(units) if isinstance(unit, BoundNode) and unit.node.op_type in fusion.readers]
    if not offered:
        return units
    slots: list[Unit | None] = [*units]
    at = {unit.outputs[0]: k for k, unit in enumerate(units)}
    for k, reader in offered:
        place = at.get(reader.node.input(0)) if reader.node.input(0) else None
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
    """The units with all that these fusions make of them, one fusion after the other."""
    for fusion in fusions:
        units = absorb(fusion, units, near)
    return units


def by_rows(fused: Fused) -> dict[str, list[Unit]]:
    """Alternatives of a fusion with the option rows_factor: of the rows at a time that the caches suggest."""
    return {f"{TOGETHER}, {factor} of the rows": [replace(fused, rows_factor=factor)] for factor in ROWS_FACTORS}    # type: ignore[type-var]
