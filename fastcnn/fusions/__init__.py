"""Neighbours that run as one step on this machine, in the order in which they are looked for."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.fusions.conv_depthwise import ConvDepthwise
from fastcnn.fusions.conv_pool import ConvPool
from fastcnn.fusions.fused import Fused, Neighbours, absorb
from fastcnn.fusions.matmul_chain import MatMulChain
from fastcnn.fusions.normalized_conv import NormalizedConv
from fastcnn.fusions.normalized_pool import NormalizedPool
from fastcnn.fusions.row_means import RowMeans
from fastcnn.fusions.scaled_conv import ScaledConv
from fastcnn.ops.base import BoundNode, Unit

FUSIONS: list[type[Fused]] = [
    MatMulChain,  # anywhere: no other fusion takes a MatMul
    ScaledConv,  # before ConvDepthwise and ConvPool, which would take the convolution and leave the Mul of a whole map
    ConvDepthwise,  # before NormalizedConv: of a 1x1 Conv between a normalisation and a depthwise Conv the wider side is the latter
    NormalizedConv,  # before ConvPool: it reads and writes a map less, where ConvPool writes a quarter of one
    NormalizedPool,  # anywhere: what a pooling reads is a normalisation or a convolution
    ConvPool,
]
# Taken once it is clear, by rule or by measurement, which of those stay; not measured: these only save reading a map.
LAST: list[type[Fused]] = [
    RowMeans,  # of what ConvDepthwise has made
]


def fuse(nodes: Sequence[BoundNode], near: Neighbours) -> list[Unit]:
    """The nodes of a stage with neighbours as one."""
    return _absorbed(FUSIONS, nodes, near)


def fuse_last(units: Sequence[Unit], near: Neighbours) -> list[Unit]:
    """The same with what only then can be fused."""
    return _absorbed(LAST, units, near)


def _absorbed(fusions: Sequence[type[Fused]], units: Sequence[Unit], near: Neighbours) -> list[Unit]:
    for fusion in fusions:
        units = absorb(fusion, units, near)
    return list(units)
