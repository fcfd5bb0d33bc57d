"""NormalizedConv: a 1x1 Conv and the BatchNormalization that it alone reads, in one step: what fastcnn.plan.prologue makes."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.convolve import ladder
from fastcnn.convolve.implicit_gemm import banded
from fastcnn.convolve.shape import ConvShape
from fastcnn.ir.graph import Activation
from fastcnn.ir.spec import F32, Args, Spec
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import conv_fields, epilogue, vector_of
from fastcnn.ops.reduction.normalization import batch_factors


class NormalizedConv(Op):
    """y = act(w clamp(scale x + shift) + bias + residual): x is normalised on its way to the rows that the GEMM reads.

    Inputs as Conv has them, then scale, bias, mean and variance of the BatchNormalization; attributes epsilon and clamp, its
    activation; nv and factor: of tile width and rows at a time, where tuning has chosen them.
    """

    def infer(self, args: Args) -> list[Spec]:
        raise AssertionError("shapes are known before nodes are fused")

    def lower(self, low: Lowering) -> None:
        w, attrs = low.args.constant(1), low.node.attrs
        x, y = low.read(0, "channels_last"), low.write(0, "channels_last")
        residual = low.read(3, "channels_last") if low.args.has(3) else None
        (n, ic, h, width), oc = x.shape, w.shape[0]
        shape = ConvShape(n, 1, ic, oc, 1, 1, 1, 1, 1, 1, 0, 0, h, width, h, width)
        picked = banded(shape, low.threads, attrs.get("nv", 0), attrs.get("factor", 1))
        packed = low.packed((low.node.input(1), *picked.layout), lambda: ladder.pack(picked, w))
        key = ("affine", *low.node.inputs[5:], attrs["epsilon"], attrs["clamp"])
        affine = low.packed(key, lambda: pack_affine(*batch_factors(low.args.values[5:], attrs["epsilon"]), attrs["clamp"]))
        fields = conv_fields(picked, x, y, residual, epilogue(low.node.activation))
        low.emit("conv", [y, x, packed, vector_of(low, 2, oc), residual, vector_of(low, 4, oc), affine], shape.macs, **fields)


def limits(activation: Activation | None) -> tuple[float, float] | None:
    """(lowest, highest) value that an activation lets through; None when it is not such a clamp."""
    if activation is None:
        return -math.inf, math.inf
    return (0.0, math.inf) if activation.name == "Relu" else (activation.alpha, activation.beta) if activation.name == "Clip" else None


def pack_affine(scale: np.ndarray, shift: np.ndarray, clamp: tuple[float, float]) -> np.ndarray:
    """The conv step's operand: scales, shifts, the two limits."""
    return np.concatenate([scale, shift, np.array(clamp)]).astype(F32)
