"""The table of inference: for each operator the rule for its output shapes and, for operators of shape arithmetic, for its elements."""
from __future__ import annotations

from fastcnn.inference import (
    contents,
    from_sizes,
    images,
    indexing,
    layout,
    pointwise,
    products,
    quantized,
    recurrent,
    windows,
)
from fastcnn.inference.site import Rule
from fastcnn.operators.card import MANY
from fastcnn.operators.cards import CARDS
from fastcnn.operators.elementwise import OWN_DOMAIN, ROUNDINGS

LIKE_INPUT = Rule(pointwise.same)
BROADCAST = Rule(pointwise.broadcasting)
BINARY = Rule(pointwise.binary)
COMPUTED = Rule(pointwise.binary, contents.computed, plain=True, alike=True)
WINDOWED = Rule(windows.pool, plain=True, alike=True)
REDUCED = Rule(indexing.reduced)
BY_OPERANDS = {1: LIKE_INPUT, 2: BINARY, 3: BROADCAST, MANY: BROADCAST}

# By operator of the default domain.
RULES: dict[str, Rule] = {
    # element by element
    **{name: BY_OPERANDS[card.operands] for (domain, name), card in CARDS.items() if card.operands and not domain},
    **dict.fromkeys(("LRN", "CastLike", "Dropout", "DequantizeLinear", "QuantizeLinear", "RegexFullMatch", "RotaryEmbedding",
                      "SwiGLU", "TensorScatter"), LIKE_INPUT),
    "StringConcat": BINARY,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), COMPUTED),
    **dict.fromkeys(("Max", "Min"), Rule(pointwise.broadcasting, contents.computed)),
    "PRelu": Rule(pointwise.parametric_relu),
    "Cast": Rule(pointwise.same, contents.cast),
    "Identity": Rule(pointwise.same, contents.kept),
    # normalisation
    "BatchNormalization": Rule(pointwise.batch_normalized, plain=True, alike=True),
    "InstanceNormalization": Rule(pointwise.channel_normalized),
    "GroupNormalization": Rule(pointwise.group_normalized),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), Rule(pointwise.normalized)),
    "MeanVarianceNormalization": Rule(pointwise.over_axes),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), Rule(pointwise.along_axis)),
    **dict.fromkeys(("CumSum", "CumProd"), Rule(pointwise.cumulative)),
    "Trilu": Rule(pointwise.triangle),
    # convolution, pooling, regions
    "Conv": Rule(windows.fused_convolution, plain=True, alike=True),
    "ConvTranspose": Rule(windows.transposed, plain=True, alike=True),
    "DeformConv": Rule(windows.deformed),
    "ConvInteger": Rule(windows.integer_convolution, plain=True),
    "QLinearConv": Rule(windows.quantized_convolution, plain=True),
    "Col2Im": Rule(windows.blocks_to_image),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), WINDOWED),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), Rule(windows.global_pool)),
    "MaxUnpool": Rule(windows.unpool),
    "RoiAlign": Rule(indexing.rows_of_regions),
    "MaxRoiPool": Rule(indexing.pooled_regions),
    **dict.fromkeys(("Resize", "Upsample"), Rule(images.resize)),
    "GridSample": Rule(images.grid_sample),
    "AffineGrid": Rule(images.affine_grid),
    "CenterCropPad": Rule(layout.center_fit),
    # products
    "Gemm": Rule(products.gemm, plain=True, alike=True),
    "MatMul": Rule(products.matmul, plain=True, alike=True),
    "Einsum": Rule(products.einsum),
    "MatMulInteger": Rule(products.integer_matmul),
    "QLinearMatMul": Rule(products.quantized_matmul),
    "Attention": Rule(products.attention),
    "Det": Rule(from_sizes.determinant),
    # recurrent
    **dict.fromkeys(("LSTM", "GRU", "RNN"), Rule(recurrent.recurrent)),
    # reductions and selection
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
                     "ReduceLogSumExp"), REDUCED),
    "ReduceProd": Rule(indexing.reduced, contents.multiplied),
    **dict.fromkeys(("ArgMax", "ArgMin"), Rule(indexing.arg)),
    "TopK": Rule(indexing.top_k),
    "NonZero": Rule(indexing.non_zero),
    "NonMaxSuppression": Rule(indexing.non_max_suppression),
    "Compress": Rule(layout.compress),
    "Unique": Rule(indexing.unique),
    # indexing
    "Gather": Rule(layout.gather, contents.gathered),
    "GatherElements": Rule(indexing.gather_elements),
    "GatherND": Rule(indexing.gather_nd),
    **dict.fromkeys(("Scatter", "ScatterElements"), Rule(indexing.scatter_elements)),
    "ScatterND": Rule(indexing.scatter_nd),
    "OneHot": Rule(indexing.one_hot),
    "ReverseSequence": Rule(indexing.reversed_sequences),
    # shapes, slicing, joining
    "Reshape": Rule(layout.reshape, contents.recut),
    "Flatten": Rule(layout.flatten),
    "Squeeze": Rule(layout.squeeze, contents.recut),
    "Unsqueeze": Rule(layout.unsqueeze, contents.recut),
    "Transpose": Rule(layout.transpose, plain=True, alike=True),
    "Expand": Rule(layout.expand),
    "Tile": Rule(layout.tile),
    "Concat": Rule(layout.concat, contents.joined, plain=True, alike=True),
    "Split": Rule(layout.split),
    "Slice": Rule(layout.slice_, contents.sliced),
    "Pad": Rule(layout.pad),
    "DepthToSpace": Rule(layout.depth_to_space),
    "SpaceToDepth": Rule(layout.space_to_depth),
    # made of sizes, or of nothing
    "Shape": Rule(from_sizes.shape_of, contents.shape),
    "Size": Rule(from_sizes.scalar, contents.size),
    "ConstantOfShape": Rule(from_sizes.filled, contents.filled),
    "Range": Rule(from_sizes.range_),
    "EyeLike": Rule(from_sizes.like),
    **dict.fromkeys(("RandomNormal", "RandomUniform"), Rule(from_sizes.of_attribute)),
    **dict.fromkeys(("RandomNormalLike", "RandomUniformLike", "Bernoulli"), Rule(from_sizes.like)),
    "Multinomial": Rule(from_sizes.multinomial),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), Rule(from_sizes.window)),
    # quantisation
    "DynamicQuantizeLinear": Rule(quantized.dynamically_quantized),
    # sequences and optionals
    **dict.fromkeys(("SequenceLength", "OptionalHasElement"), Rule(from_sizes.scalar)),
}

# This package's own on bytes.
BYTES: dict[str, Rule] = {
    **dict.fromkeys(("QuantizeBytes", "QuantizeScaled", "DequantizeBytes", "ByteTable", "QAffine"), LIKE_INPUT),
    "QBatchMatMul": Rule(products.matmul, plain=True),
    **dict.fromkeys(("QAdd", "QMul", "QPRelu"), BROADCAST),
    "QConv": Rule(quantized.byte_convolution, plain=True),
    "QConvTranspose": Rule(quantized.byte_transposed),
    "QMatMul": Rule(quantized.byte_product),
    "QAveragePool": Rule(windows.pool, plain=True),
    "QGlobalAveragePool": Rule(windows.global_pool),
}
# Operators of other domains.
OTHERS: dict[tuple[str, str], Rule] = {
    ("fastcnn", "LocallyConnected"): Rule(windows.unshared),
    **dict.fromkeys(((OWN_DOMAIN, name) for name in ROUNDINGS.values()), LIKE_INPUT),
    **dict.fromkeys((("com.microsoft", "QLinearAdd"), ("com.microsoft", "QLinearMul")), Rule(quantized.quantized_binary)),
    **dict.fromkeys((("com.microsoft", name) for name in ("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax")), LIKE_INPUT),
    ("com.microsoft", "DynamicQuantizeLSTM"): Rule(recurrent.dynamic_lstm),
    **{(OWN_DOMAIN, name): rule for name, rule in BYTES.items()},
}
