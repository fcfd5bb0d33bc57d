"""NormalizedConv: a BatchNormalization and the 1x1 Conv that alone reads it, as one step; DenseNet has one in every layer."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeGuard

import numpy as np

from fastcnn.convolve import ladder
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.bf16_gemm import AFFINE
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.implicit_gemm import banded, tile_widths
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.convolve.tile import best_nv, tile_cycles
from fastcnn.fusions.fused import TOGETHER, Fused, Neighbours, by_rows
from fastcnn.fusions.nodes import conv_shape, is_clamp, is_native, is_pointwise
from fastcnn.ir.graph import Activation
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import HALF, Tensor
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import conv_fields, epilogue, slope_of, vector_of
from fastcnn.ops.reduction.normalization import batch_factors

# Rows of fewer pixels than half a register tile leave most of it empty, where a map at a time fills it.
# DenseNet-121 by rows from 28, 14 and 7 pixels on: 25.7, 25.4, 24.6 ms, without 27.4 (Xeon, one thread, 2026-11-21).
NARROWEST = 7
MUCH_SLOWER = 1.15         # times the cycles that the cost model gives its own tile width: wider and narrower ones are not worth timing


@dataclass(frozen=True)
class NormalizedConv(Fused):
    """y = act(w clamp(scale x + shift) + bias + residual): x is normalised while it is copied to the band that the GEMM reads.

    nv           tile width in vectors, 0: by the cost model
    rows_factor  of the rows at a time that the caches suggest
    """

    norm: BoundNode
    conv: BoundNode
    nv: int = 0
    rows_factor: float = 1

    readers = frozenset({"Conv"})

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not is_pointwise(reader) or not is_clamped_norm(maker) or not near.is_private(maker.outputs[0]):
            return None
        x = reader.args.spec(0)
        return cls(maker, reader) if x.shape[3] >= NARROWEST and x.size > 0 else None

    def alternatives(self) -> Mapping[str, Sequence[Unit]]:
        return {**by_rows(self), **{f"{TOGETHER}, {nv} vectors": [replace(self, nv=nv)] for nv in self._other_widths()}}

    def _other_widths(self) -> list[int]:
        """Tile widths, in vectors, beside the cost model's pick and not far behind it."""
        (oc, k), ow = self.conv.args.spec(1).shape[:2], self.conv.args.spec(0).shape[3]
        picked = best_nv(oc, ow, k)
        most = MUCH_SLOWER * tile_cycles(oc, ow, k, picked)
        return [nv for nv in tile_widths(oc) if nv != picked and tile_cycles(oc, ow, k, nv) <= most]

    def lower(self, low: Lowering) -> None:
        norm, conv = low.part(self.norm), low.part(self.conv)
        x, y = norm.read(0, "channels_last"), conv.write(0, "channels_last")
        residual = conv.read(3, "channels_last") if conv.args.has(3) else None
        shape = replace(conv_shape(self.conv), strict=conv.strict)
        picked = self._choice(shape, (x, y, residual), low.threads, conv.rounds and not _is_rounded(self.norm))
        w = conv.args.constant(1)
        packed = conv.packed_weights(conv.node.input(1), picked, w)
        operands = [y, x, packed, vector_of(conv, 2, shape.oc), residual, slope_of(conv, shape.oc), affine_of(norm)]
        low.emit(picked.kind, operands, shape.macs, **conv_fields(picked, x, y, residual, epilogue(conv.node.activation)))

    def _choice(self, shape: ConvShape, tensors: Sequence[Tensor | None], threads: int, rounds: bool) -> Choice:
        """In bfloat16 where x, y or the residual lie in memory so, or that may be and is faster; else in float32."""
        places, half = tuple(t.strides for t in tensors if t is not None), [int(t is not None and t.dtype == HALF) for t in tensors]
        rounded = ladder.in_bfloat16(Problem(shape, places, threads, half=any(half))) if rounds else None
        if rounded is None:
            return banded(shape, threads, self.nv, self.rows_factor)
        return replace(rounded, fields=rounded.fields | {"scaled": AFFINE, **dict(zip(("x_half", "y_half", "r_half"), half))})

    def halves(self, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
        node, shape = self.conv.node, replace(conv_shape(self.conv), strict=accuracy.is_strict(self.conv.node.name))
        exact = _is_rounded(self.norm) or not accuracy.rounds(node.name)
        if exact or ladder.in_bfloat16(Problem(shape, own_places(shape), threads)) is None:
            return False, frozenset()
        takes = frozenset({self.norm.node.inputs[0], node.input(3)} - {""})
        return is_clamp(node.activation) and not node.input(4) and shape.oh * shape.ow > 1, takes


def is_clamped_norm(unit: Unit) -> TypeGuard[BoundNode]:
    """A BatchNormalization with an activation that a maximum and a minimum can express, or none."""
    if not is_native(unit, "BatchNormalization") or unit.node.attrs.get("training_mode", 0):
        return False
    return limits(unit.node.activation) is not None


def limits(activation: Activation | None) -> tuple[float, float] | None:
    """(lowest, highest) value that an activation lets through, rounded or not; None when it is not such a clamp."""
    if activation is None:
        return -math.inf, math.inf
    if activation.name == "Relu":
        return 0.0, math.inf
    return (activation.alpha, activation.beta) if activation.name in ("Clip", "RoundClip") else None


def _is_rounded(norm: BoundNode) -> bool:
    return norm.node.activation is not None and norm.node.activation.name == "RoundClip"


def affine_of(norm: Lowering) -> Tensor:
    """(scale, shift) per channel of a BatchNormalization, as steps take them."""
    activation = norm.node.activation
    epsilon, clamp = norm.node.attrs.get("epsilon", 1e-5), limits(activation)
    rounds = activation is not None and activation.name == "RoundClip"
    assert clamp is not None
    return norm.packed(("affine", *norm.node.inputs[1:5], epsilon, clamp, rounds),
                       lambda: pack_affine(*batch_factors(norm.args.values[1:5], epsilon), clamp, rounds))


def pack_affine(scale: np.ndarray, shift: np.ndarray, clamp: tuple[float, float], rounds: bool = False) -> np.ndarray:
    """The conv step's operand: scales, shifts, the two limits, whether the result is rounded."""
    return np.concatenate([scale, shift, np.array([*clamp, rounds])]).astype(F32)
