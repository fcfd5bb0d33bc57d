"""The table of operators with native kernels: the card of each, by its family in README.md's list and the module that lowers it."""
from __future__ import annotations

from collections.abc import Mapping

from fastcnn.ir.graph import Node
from fastcnn.operators import batching, elementwise
from fastcnn.operators.card import Card, Formula
from fastcnn.operators.elementwise import OWN_DOMAIN, ROUNDINGS

# Images are computed one by one from input 0; the other inputs are the same for all.
IMAGES = Card(batching.first_input)
# Not cut: an output may depend on several images of the batch.
WHOLE = Card()
CONVOLUTION, LAST_AXIS, FIRST_AXIS = Card(batching.convolution), Card(batching.along_axis(-1)), Card(batching.along_axis(0))
ELEMENTWISE = "elementwise.elementwise"

# Family -> module of fastcnn/ops that lowers its operators, or some of them -> operator -> card. The one list of native operators.
TABLE: Mapping[str, Mapping[str, Mapping[str, Card]]] = {
    "convolution, 1-D to 3-D": {
        "convolution.conv": {"Conv": CONVOLUTION},
        "convolution.conv_transpose": {"ConvTranspose": CONVOLUTION},
        "convolution.deform_conv": {"DeformConv": WHOLE},
        "convolution.local_conv": {"LocallyConnected": WHOLE},
        "movement.col2im": {"Col2Im": WHOLE},
    },
    "matrix products": {
        "products.linear": {"Gemm": Card(batching.gemm), "MatMul": Card(batching.matmul)},
        "products.einsum": {"Einsum": WHOLE},
    },
    "pooling": {
        "pooling.pool": dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), IMAGES),
        "pooling.unpool": {"MaxUnpool": WHOLE},             # its indices count through the whole batch
    },
    "regions, warping": {
        "pooling.roi": {"RoiAlign": WHOLE, "MaxRoiPool": WHOLE},
        "resampling.grid_sample": {"GridSample": WHOLE},
        "resampling.affine_grid": {"AffineGrid": WHOLE},
        "movement.center_crop_pad": {"CenterCropPad": WHOLE},
    },
    "normalisation": {
        "reduction.normalization": {
            "BatchNormalization": Card(batching.normalization),
            **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), IMAGES),
            **dict.fromkeys(("LayerNormalization", "RMSNormalization"), LAST_AXIS),
            "LRN": IMAGES,
        },
        "reduction.normalization_over_axes": {"MeanVarianceNormalization": WHOLE, "LpNormalization": WHOLE},
    },
    "activation": {ELEMENTWISE: elementwise.ACTIVATIONS},
    "softmax": {"reduction.softmax": dict.fromkeys(("Softmax", "LogSoftmax"), Card(batching.softmax))},
    "arithmetic": {ELEMENTWISE: elementwise.ARITHMETIC},
    "comparison, logic, bits": {ELEMENTWISE: elementwise.LOGIC},
    "reduction": {
        "reduction.reduce": dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                                           "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), Card(batching.reduce)),
    },
    "recurrent": {
        "recurrence.recurrent": dict.fromkeys(("LSTM", "GRU", "RNN"), WHOLE),
        "recurrence.dynamic_lstm": {"DynamicQuantizeLSTM": WHOLE},
    },
    "selection": {
        "indexing.selection": dict.fromkeys(("ArgMax", "ArgMin", "Hardmax", "TopK", "NonMaxSuppression", "NonZero", "Compress"), WHOLE),
    },
    "indexing": {
        "indexing.scatter": dict.fromkeys(("GatherElements", "GatherND", "ScatterElements", "Scatter", "ScatterND", "OneHot", "CumSum",
                                           "CumProd"), WHOLE),
        "movement.trilu": dict.fromkeys(("Trilu", "Range", "ConstantOfShape"), WHOLE),
    },
    "shape": {
        "movement.shape": {
            **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), IMAGES),
            "Transpose": Card(batching.transpose),
            **dict.fromkeys(("Expand", "Tile"), WHOLE),
            "Identity": Card(batching.broadcast, 1),
            "Dropout": IMAGES,
        },
    },
    "slicing, joining": {
        "movement.slicing": {
            "Concat": Card(batching.along_axis(0, every_input=True)),
            "Split": FIRST_AXIS,
            "Slice": Card(batching.slices),
            "Gather": FIRST_AXIS,
            "Pad": Card(batching.pad),
            **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), IMAGES),
        },
        "movement.reverse": {"ReverseSequence": WHOLE},
    },
    "resampling": {"resampling.resize": dict.fromkeys(("Resize", "Upsample"), Card(batching.resampled))},
    "types": {ELEMENTWISE: elementwise.TYPES},
    "8 bits": {
        "quantized.convert": dict.fromkeys(("QuantizeBytes", "QuantizeScaled", "DequantizeBytes", "ByteTable"), IMAGES),
        "quantized.products": dict.fromkeys(("QConv", "QMatMul"), Card(batching.byte_product)),
        "quantized.transposed_product": {"QConvTranspose": Card(batching.byte_product)},
        "quantized.binary": dict.fromkeys(("QAdd", "QMul", "QPRelu"), Card(batching.broadcast)) | {"QAffine": IMAGES},
        "quantized.computed_product": {"QBatchMatMul": Card(batching.matmul)},
        "quantized.pool": dict.fromkeys(("QAveragePool", "QGlobalAveragePool"), IMAGES),
    },
}
FAMILIES: Mapping[str, Mapping[str, Card]] = {
    family: {name: card for cards in modules.values() for name, card in cards.items()} for family, modules in TABLE.items()}
# Operator -> its domain, where that is not ONNX's.
DOMAINS: Mapping[str, str] = {**dict.fromkeys((*ROUNDINGS.values(), "LocallyConnected", *FAMILIES["8 bits"]), OWN_DOMAIN),
                              "DynamicQuantizeLSTM": "com.microsoft"}
# (domain, operator) -> its card.
CARDS: dict[tuple[str, str], Card] = {(DOMAINS.get(name, ""), name): card for family in FAMILIES.values() for name, card in family.items()}
# Kernel -> its formula.
FORMULAS: dict[str, Formula] = {}
for (_, _name), _card in CARDS.items():
    if _card.function is not None:
        FORMULAS.update({_name: _card.function.formula, **dict(_card.function.variants.values())})


def card_of(node: Node) -> Card | None:
    """The card of a node's operator, None for one that has no kernel."""
    return CARDS.get((node.domain, node.op_type))
