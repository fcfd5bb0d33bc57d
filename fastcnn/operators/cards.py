"""The table of operators with native kernels, by family, in the order of README.md's list: the card of each."""
from __future__ import annotations

from collections.abc import Mapping

from fastcnn.ir.graph import Node
from fastcnn.operators import batching, elementwise, quantized
from fastcnn.operators.card import Card, Formula
from fastcnn.operators.elementwise import OWN_DOMAIN, ROUNDINGS

# Images are computed one by one from input 0; the other inputs are the same for all.
IMAGES = Card(batching.first_input)
# Not cut: an output may depend on several images of the batch.
WHOLE = Card()
LAST_AXIS, FIRST_AXIS = Card(batching.along_axis(-1)), Card(batching.along_axis(0))
SOFTMAX, REDUCED = Card(batching.softmax), Card(batching.reduce)

FAMILIES: Mapping[str, Mapping[str, Card]] = {
    "convolution, 1-D to 3-D": {
        **dict.fromkeys(("Conv", "ConvTranspose"), Card(batching.convolution)),
        **dict.fromkeys(("DeformConv", "LocallyConnected", "Col2Im"), WHOLE),
    },
    "matrix products": {"Gemm": Card(batching.gemm), "MatMul": Card(batching.matmul), "Einsum": WHOLE},
    "pooling": {
        **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), IMAGES),
        "MaxUnpool": WHOLE,                                 # its indices count through the whole batch
    },
    "regions, warping": dict.fromkeys(("RoiAlign", "MaxRoiPool", "GridSample", "AffineGrid", "CenterCropPad"), WHOLE),
    "normalisation": {
        "BatchNormalization": Card(batching.normalization),
        **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "LRN"), IMAGES),
        **dict.fromkeys(("LayerNormalization", "RMSNormalization"), LAST_AXIS),
        **dict.fromkeys(("MeanVarianceNormalization", "LpNormalization"), WHOLE),
    },
    "activation": elementwise.ACTIVATIONS,
    "softmax": dict.fromkeys(("Softmax", "LogSoftmax"), SOFTMAX),
    "arithmetic": elementwise.ARITHMETIC,
    "comparison, logic, bits": elementwise.LOGIC,
    "reduction": dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                                "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), REDUCED),
    "recurrent": dict.fromkeys(("LSTM", "GRU", "RNN"), WHOLE),
    "selection": dict.fromkeys(("ArgMax", "ArgMin", "Hardmax", "TopK", "NonMaxSuppression", "NonZero", "Compress"), WHOLE),
    "indexing": dict.fromkeys(("GatherElements", "GatherND", "ScatterElements", "Scatter", "ScatterND", "OneHot", "CumSum", "CumProd",
                               "Trilu", "Range", "ConstantOfShape"), WHOLE),
    "shape": {
        **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), IMAGES),
        "Transpose": Card(batching.transpose),
        **dict.fromkeys(("Expand", "Tile"), WHOLE),
        "Identity": Card(batching.broadcast, 1),
        "Dropout": IMAGES,
    },
    "slicing, joining": {
        "Concat": Card(batching.along_axis(0, every_input=True)),
        "Split": FIRST_AXIS,
        "Slice": Card(batching.slices),
        "Gather": FIRST_AXIS,
        "Pad": Card(batching.pad),
        **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), IMAGES),
        "ReverseSequence": WHOLE,
    },
    "resampling": dict.fromkeys(("Resize", "Upsample"), Card(batching.resampled)),
    "types": elementwise.TYPES,
    "8 bits": quantized.BYTES,
}
OWN = frozenset((*ROUNDINGS.values(), "LocallyConnected", *quantized.BYTES))
# (domain, operator) -> its card.
CARDS: dict[tuple[str, str], Card] = {(OWN_DOMAIN if name in OWN else "", name): card
                                      for family in FAMILIES.values() for name, card in family.items()}
# Kernel -> its formula.
FORMULAS: dict[str, Formula] = {}
for (_, _name), _card in CARDS.items():
    if _card.function is not None:
        FORMULAS.update({_name: _card.function.formula, **dict(_card.function.variants.values())})


def card_of(node: Node) -> Card | None:
    """The card of a node's operator, None for one that has no kernel."""
    return CARDS.get((node.domain, node.op_type))
