"""The operators with native kernels: (domain, ONNX name) -> Op. Everything else runs in the fallback."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from fastcnn.operators.cards import FAMILIES, OWN
from fastcnn.operators.elementwise import ACTIVATIONS, ARITHMETIC, LOGIC, OWN_DOMAIN, TYPES
from fastcnn.ops.base import Op

# Module -> the operators of its table OPERATORS.
MODULES: Mapping[str, tuple[str, ...]] = {
    "convolution.conv": ("Conv",),
    "convolution.conv_transpose": ("ConvTranspose",),
    "convolution.deform_conv": ("DeformConv",),
    "convolution.local_conv": ("LocallyConnected",),
    "movement.col2im": ("Col2Im",),
    "products.linear": ("Gemm", "MatMul"),
    "products.einsum": ("Einsum",),
    "pooling.pool": ("MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"),
    "pooling.unpool": ("MaxUnpool",),
    "pooling.roi": ("RoiAlign", "MaxRoiPool"),
    "resampling.grid_sample": ("GridSample",),
    "resampling.affine_grid": ("AffineGrid",),
    "reduction.normalization": ("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization",
                                "RMSNormalization", "LRN"),
    "reduction.normalization_over_axes": ("MeanVarianceNormalization", "LpNormalization"),
    "resampling.resize": ("Resize", "Upsample"),
    "movement.shape": ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Expand", "Tile"),
    "movement.slicing": ("Concat", "Split", "Slice", "Gather", "Pad", "DepthToSpace", "SpaceToDepth"),
    "movement.center_crop_pad": ("CenterCropPad",),
    "movement.trilu": ("Trilu", "Range", "ConstantOfShape"),
    "movement.reverse": ("ReverseSequence",),
    "reduction.softmax": ("Softmax", "LogSoftmax"),
    "quantized.convert": ("QuantizeBytes", "DequantizeBytes", "ByteTable"),
    "quantized.products": ("QConv", "QConvTranspose", "QMatMul"),
    "quantized.binary": ("QAdd", "QMul"),
    "quantized.pool": ("QAveragePool", "QGlobalAveragePool"),
    "elementwise.elementwise": (*ACTIVATIONS, *ARITHMETIC, *LOGIC, *TYPES),
    "indexing.scatter": ("GatherElements", "GatherND", "ScatterElements", "Scatter", "ScatterND", "OneHot", "CumSum", "CumProd"),
    "indexing.selection": tuple(FAMILIES["selection"]),
    "recurrence.recurrent": tuple(FAMILIES["recurrent"]),
    "reduction.reduce": tuple(FAMILIES["reduction"]),
}


class Operators(Mapping[tuple[str, str], Op]):
    """The table. A module is imported when one of its operators is first asked for: a network has a few of all of them."""

    def __init__(self, modules: Mapping[str, tuple[str, ...]]) -> None:
        self._module = {(OWN_DOMAIN if name in OWN else "", name): module for module, names in modules.items() for name in names}
        self._found: dict[tuple[str, str], Op] = {}

    def __getitem__(self, key: tuple[str, str]) -> Op:
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = import_module(f"fastcnn.ops.{self._module[key]}").OPERATORS[key[1]]
        return found

    def __contains__(self, key: object) -> bool:
        return key in self._module

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._module)

    def __len__(self) -> int:
        return len(self._module)


OPS = Operators(MODULES)
