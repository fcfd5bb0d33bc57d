"""Decides which values are stored as bfloat16: those that only convolutions in bfloat16 make and read, to halve their bytes."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from fastcnn.convolve import ladder, split_sums
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.bf16_gemm import BF16_GEMM
from fastcnn.convolve.shape import Problem, own_places
from fastcnn.fusions.conv_depthwise import ConvDepthwise
from fastcnn.fusions.nodes import conv_shape, is_conv
from fastcnn.ops.base import BoundNode, Unit

X, RESIDUAL, SLOPE = 0, 3, 4            # inputs of a Conv
CLAMPS = ("Relu", "Clip")               # activations that a convolution applies while it stores


def half_values(units: Sequence[Unit], kept: Collection[str], accuracy: Accuracy, threads: int) -> frozenset[str]:
    """Names of the values to store as bfloat16. kept: values that are read elsewhere or lie inside other values."""
    rounding = [(unit, _rounds(unit, accuracy, threads)) for unit in units]
    made = {unit.outputs[0] for unit, rounds in rounding if rounds and isinstance(unit, BoundNode) and _may_narrow(unit)}
    for unit, rounds in rounding:
        made -= {name for name in unit.reads if not (rounds and _takes(unit, name))}
    return frozenset(made.difference(kept))


def _rounds(unit: Unit, accuracy: Accuracy, threads: int) -> bool:
    """Whether the unit is a Conv in bfloat16, or begins with one."""
    if isinstance(unit, ConvDepthwise):
        name = unit.first.node.name
        return accuracy.rounds(name) and unit.rounds(threads, accuracy.is_strict(name))
    if not accuracy.rounds(unit.name) or not is_conv(unit, inputs=5) or unit.args.spec(X).size == 0:
        return False
    shape = replace(conv_shape(unit), strict=accuracy.is_strict(unit.node.name))
    return ladder.choose(Problem(shape, own_places(shape), threads, rounds=True)).rung == BF16_GEMM.name


def _may_narrow(unit: BoundNode) -> bool:
    """Whether what it makes is final when it is stored, and a map."""
    activation, shape = unit.node.activation, conv_shape(unit)
    whole = len(split_sums.of_channels(shape.ic, shape.kernel, (shape.sh, shape.sw), shape.n * shape.oh * shape.ow)) == 1
    return (activation is None or activation.name in CLAMPS) and not unit.node.input(SLOPE) and shape.oh * shape.ow > 1 and (
        whole or shape.groups > 1)


def _takes(unit: Unit, name: str) -> bool:
    """Whether the unit reads the value only as its map or residual; several fused convolutions, only as the map of the first."""
    if isinstance(unit, ConvDepthwise):
        return [value for part in unit.parts for value in part.reads].count(name) == 1 and unit.first.node.inputs[X] == name
    return isinstance(unit, BoundNode) and all(k in (X, RESIDUAL) for k, value in enumerate(unit.node.inputs) if value == name)
