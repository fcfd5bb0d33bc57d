"""Decides which values are stored as bfloat16: those that only convolutions in bfloat16 read, or make and pass on, to halve their bytes."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fastcnn.convolve import ladder, split_sums
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.shape import Problem, own_places
from fastcnn.fusions.fused import Fused
from fastcnn.fusions.nodes import conv_shape, is_clamp, is_conv
from fastcnn.ir.record import replace
from fastcnn.ir.tensor import HALF, Tensor
from fastcnn.ops.base import BoundNode, Unit

X, RESIDUAL, SLOPE = 0, 3, 4            # inputs of a Conv


def half_values(units: Sequence[Unit], kept: Collection[str], accuracy: Accuracy, threads: int) -> frozenset[str]:
    """Names of the values to store as bfloat16. kept: values that are read elsewhere or lie inside other values."""
    if not accuracy.rounds_any:
        return frozenset()
    each = [(unit, *_halves(unit, accuracy, threads)) for unit in units]
    made = {unit.outputs[0] for unit, makes, _ in each if makes}
    for unit, _, takes in each:
        made -= {name for name in unit.reads if name not in takes or unit.reads.count(name) > 1}
    return frozenset(made.difference(kept))


def takes(kind: str, operands: Sequence[Tensor | None], fields: Mapping[str, Any]) -> bool:
    """Whether a step knows which of its operands, weights aside, lie in memory as bfloat16; a copy has two of one size."""
    values = [t for t in operands if t is not None and t.buffer.array is None]
    if kind == "copy":
        return len({t.dtype.itemsize for t in values}) == 1
    return not any(t.dtype == HALF for t in values) or any(fields.get(f"{place}_half") for place in "xyr")


def _halves(unit: Unit, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
    """Whether the unit may store its output so, and which of the values that it reads it takes so."""
    if isinstance(unit, Fused):
        return unit.halves(accuracy, threads)
    if not isinstance(unit, BoundNode) or not _rounds(unit, accuracy, threads):
        return False, frozenset()
    added = (X, RESIDUAL) if unit.node.activation is None or not unit.node.input(SLOPE) else (X,)      # a step of its own adds it then
    return _may_narrow(unit), frozenset(unit.node.input(k) for k in added if unit.node.input(k))


def _rounds(unit: BoundNode, accuracy: Accuracy, threads: int) -> bool:
    """Whether the unit is a Conv in bfloat16."""
    if not accuracy.rounds(unit.name) or not is_conv(unit, inputs=5) or unit.args.spec(X).size == 0:
        return False
    shape = replace(conv_shape(unit), strict=accuracy.is_strict(unit.node.name))
    return ladder.in_bfloat16(Problem(shape, own_places(shape), threads)) is not None


def _may_narrow(unit: BoundNode) -> bool:
    """Whether what it makes is final when it is stored, and a map."""
    shape = conv_shape(unit)
    whole = len(split_sums.of_channels(shape.ic, shape.kernel, (shape.sh, shape.sw), shape.n * shape.oh * shape.ow)) == 1
    return is_clamp(unit.node.activation) and not unit.node.input(SLOPE) and shape.oh * shape.ow > 1 and (whole or shape.groups > 1)
