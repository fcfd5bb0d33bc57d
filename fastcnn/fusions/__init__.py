"""The list of fusions: neighbouring nodes that run as one step on this machine, in the order in which they are tried."""
from __future__ import annotations

from fastcnn.fusions.conv_depthwise import ConvDepthwise
from fastcnn.fusions.conv_pool import ConvPool
from fastcnn.fusions.fused import Fused
from fastcnn.fusions.matmul_chain import MatMulChain
from fastcnn.fusions.normalized_conv import NormalizedConv
from fastcnn.fusions.normalized_pool import NormalizedPool
from fastcnn.fusions.rounded_product import RoundedProduct
from fastcnn.fusions.row_means import RowMeans
from fastcnn.fusions.scaled_conv import ScaledConv

FUSIONS: list[type[Fused]] = [
    MatMulChain,  # anywhere: no other fusion takes a MatMul
    RoundedProduct,  # as the next, of values that stand for bytes
    ScaledConv,  # before ConvDepthwise and ConvPool, which would take the convolution and leave the Mul of a whole map
    ConvDepthwise,  # before NormalizedConv, which may want its first Conv: maps are widest around a depthwise Conv
    NormalizedConv,  # before ConvPool, which may want the same Conv; which of them gains more was not measured
    NormalizedPool,  # anywhere: what a pooling reads is a normalisation or a convolution
    ConvPool,
]
# Taken once it is clear, by rule or by measurement, which of those stay; not measured: these only save reading a map.
LAST: list[type[Fused]] = [
    RowMeans,  # of what ConvDepthwise has made
]
