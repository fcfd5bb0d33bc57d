"""Checks attributes that name axes of an input, where its rank is known."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass


@dataclass(frozen=True)
class Axes:
    """An attribute that names axes of input 0, counted as if that had `more` axes (OneHot), or one place above the last (Flatten)."""

    attribute: str = "axis"
    more: int = 0
    above: int = 0


AXIS, AXES, NEW, AFTER = Axes(), Axes("axes"), Axes(more=1), Axes(above=1)
NAMED: dict[str, Axes] = {
    **dict.fromkeys(("ArgMax", "ArgMin", "Compress", "Concat", "Gather", "GatherElements", "Hardmax", "LayerNormalization", "LogSoftmax",
                     "LpNormalization", "RMSNormalization", "Scatter", "ScatterElements", "Softmax", "Split", "TopK", "Unique"), AXIS),
    **dict.fromkeys(("CenterCropPad", "MeanVarianceNormalization", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                     "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Resize", "Slice", "Squeeze"), AXES),
    "Flatten": AFTER,
    "OneHot": NEW,
    "Transpose": Axes("perm"),
    "GatherND": Axes("batch_dims"),
}


def check_axes(node: Node, ranks: Sequence[int | None]) -> None:
    """Raises ModelError naming node, attribute and value where an attribute names an axis that its input does not have, or one twice.

    ranks  of the inputs, None where unknown
    """
    found = NAMED.get(node.op_type)
    if found is None or node.domain:
        return
    value, rank = node.attrs.get(found.attribute), ranks[0] if ranks else None
    if value is None or rank is None:
        return
    if found.attribute == "perm":
        if sorted(value) != list(range(rank)):
            raise ModelError(f"{node.where()}: perm={value} for an input of {rank} axes")
    elif found.attribute == "batch_dims":
        other = ranks[1]
        if value and value >= min(rank, rank if other is None else other):
            raise ModelError(f"{node.where()}: batch_dims={value} for inputs of {rank} and {'?' if other is None else other} axes")
    else:
        _check(node, found, value, rank + found.more)


def _check(node: Node, found: Axes, value: Any, rank: int) -> None:
    values = value if isinstance(value, list) else [value]
    scalar = rank == 0 and found.attribute == "axis"          # numpy's axis 0 of a single number: softmax of it is 1
    for axis in values:
        if not -rank <= axis < rank + found.above and not (scalar and axis in (-1, 0)):
            raise ModelError(f"{node.where()}: {found.attribute}={value} for an input of {rank - found.more} axes")
    if len({axis % rank for axis in values if rank and axis < rank}) < len(values) and found.attribute == "axes":
        raise ModelError(f"{node.where()}: {found.attribute}={value} names an axis twice")
