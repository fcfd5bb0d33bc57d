"""The operators with native kernels: (domain, ONNX name) -> Op. Everything else runs in the fallback."""
from __future__ import annotations

from fastcnn.operators.elementwise import OWN_DOMAIN, ROUNDINGS
from fastcnn.ops.base import Op
from fastcnn.ops.convolution.conv import Conv
from fastcnn.ops.convolution.conv_transpose import ConvTranspose
from fastcnn.ops.convolution.deform_conv import DeformConv
from fastcnn.ops.convolution.local_conv import LocallyConnected
from fastcnn.ops.elementwise.elementwise import ELEMENTWISE
from fastcnn.ops.indexing.scatter import SCATTER
from fastcnn.ops.indexing.selection import SELECTION
from fastcnn.ops.movement.center_crop_pad import CenterCropPad
from fastcnn.ops.movement.col2im import Col2Im
from fastcnn.ops.movement.reverse import ReverseSequence
from fastcnn.ops.movement.shape import Expand, Identity, Tile, Transpose, View
from fastcnn.ops.movement.slicing import Concat, DepthToSpace, Gather, Pad, Slice, SpaceToDepth, Split
from fastcnn.ops.movement.trilu import Trilu, Value
from fastcnn.ops.pooling.pool import AVERAGE, LP, MAX, GlobalPool, Pool
from fastcnn.ops.pooling.roi import MaxRoiPool, RoiAlign
from fastcnn.ops.pooling.unpool import MaxUnpool
from fastcnn.ops.products.einsum import Einsum
from fastcnn.ops.products.linear import Gemm, MatMul
from fastcnn.ops.quantized.binary import ByteBinary
from fastcnn.ops.quantized.convert import ByteTable, DequantizeBytes, QuantizeBytes
from fastcnn.ops.quantized.pool import ByteAverage
from fastcnn.ops.quantized.products import QConv, QConvTranspose, QMatMul
from fastcnn.ops.recurrence.recurrent import RECURRENT
from fastcnn.ops.reduction.normalization import BatchNormalization, GroupNormalization, InstanceNormalization, LayerNormalization, Lrn
from fastcnn.ops.reduction.normalization_over_axes import LpNormalization, MeanVarianceNormalization
from fastcnn.ops.reduction.reduce import REDUCTIONS
from fastcnn.ops.reduction.softmax import Softmax
from fastcnn.ops.resampling.affine_grid import AffineGrid
from fastcnn.ops.resampling.grid_sample import GridSample
from fastcnn.ops.resampling.resize import Resize

OPS: dict[tuple[str, str], Op] = {
    ("", "Conv"): Conv(),
    ("", "ConvTranspose"): ConvTranspose(),
    ("", "DeformConv"): DeformConv(),
    ("fastcnn", "LocallyConnected"): LocallyConnected(),
    ("", "Col2Im"): Col2Im(),
    ("", "Gemm"): Gemm(),
    ("", "MatMul"): MatMul(),
    ("", "Einsum"): Einsum(),
    ("", "MaxPool"): Pool(MAX),
    ("", "AveragePool"): Pool(AVERAGE),
    ("", "LpPool"): Pool(LP),
    ("", "GlobalMaxPool"): GlobalPool(MAX),
    ("", "GlobalAveragePool"): GlobalPool(AVERAGE),
    ("", "GlobalLpPool"): GlobalPool(LP),
    ("", "MaxUnpool"): MaxUnpool(),
    ("", "RoiAlign"): RoiAlign(),
    ("", "MaxRoiPool"): MaxRoiPool(),
    ("", "GridSample"): GridSample(),
    ("", "AffineGrid"): AffineGrid(),
    ("", "BatchNormalization"): BatchNormalization(),
    ("", "InstanceNormalization"): InstanceNormalization(),
    ("", "GroupNormalization"): GroupNormalization(),
    ("", "LayerNormalization"): LayerNormalization(),
    ("", "RMSNormalization"): LayerNormalization(rms=True),
    ("", "LRN"): Lrn(),
    ("", "MeanVarianceNormalization"): MeanVarianceNormalization(),
    ("", "LpNormalization"): LpNormalization(),
    ("", "Resize"): Resize(),
    ("", "Upsample"): Resize(),
    ("", "Reshape"): View(),
    ("", "Flatten"): View(),
    ("", "Squeeze"): View(),
    ("", "Unsqueeze"): View(),
    ("", "Transpose"): Transpose(),
    ("", "Identity"): Identity(),
    ("", "Dropout"): Identity(),
    ("", "Expand"): Expand(),
    ("", "Tile"): Tile(),
    ("", "Concat"): Concat(),
    ("", "Split"): Split(),
    ("", "Slice"): Slice(),
    ("", "Gather"): Gather(),
    ("", "Pad"): Pad(),
    ("", "CenterCropPad"): CenterCropPad(),
    ("", "Trilu"): Trilu(),
    ("", "Range"): Value(),
    ("", "ConstantOfShape"): Value(),
    ("", "ReverseSequence"): ReverseSequence(),
    ("", "DepthToSpace"): DepthToSpace(),
    ("", "SpaceToDepth"): SpaceToDepth(),
    ("", "Softmax"): Softmax(),
    ("", "LogSoftmax"): Softmax(log=True),
    (OWN_DOMAIN, "QuantizeBytes"): QuantizeBytes(),
    (OWN_DOMAIN, "DequantizeBytes"): DequantizeBytes(),
    (OWN_DOMAIN, "ByteTable"): ByteTable(),
    (OWN_DOMAIN, "QConv"): QConv(),
    (OWN_DOMAIN, "QConvTranspose"): QConvTranspose(),
    (OWN_DOMAIN, "QMatMul"): QMatMul(),
    (OWN_DOMAIN, "QAdd"): ByteBinary("qadd"),
    (OWN_DOMAIN, "QMul"): ByteBinary("qmul"),
    (OWN_DOMAIN, "QAveragePool"): ByteAverage(whole=False),
    (OWN_DOMAIN, "QGlobalAveragePool"): ByteAverage(whole=True),
    **{(OWN_DOMAIN if name in ROUNDINGS.values() else "", name): op for name, op in ELEMENTWISE.items()},
    **{("", name): op for name, op in REDUCTIONS.items()},
    **{("", name): op for name, op in RECURRENT.items()},
    **{("", name): op for name, op in SELECTION.items()},
    **{("", name): op for name, op in SCATTER.items()},
}
