"""Rewrites operators of com.microsoft, which onnxruntime's optimiser and quantiser write, into standard operators."""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.expansion import Expansion, Rule, expand_nodes
from fastcnn.ir.graph import Graph
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS

FLOAT = ELEMENT_NUMBERS["float"]
MICROSOFT, NHWC = "com.microsoft", "com.ms.internal.nhwc"
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
# Attributes that say what comes after the sum, of which the operator itself knows nothing.
ACTIVATION_ATTRS = ("activation", "activation_params", "activation_alpha", "activation_beta", "activation_gamma", "activation_axis")


def contrib_forms(graph: Graph) -> bool:
    """Rewrites the nodes of CONTRIB_FORMS."""
    return expand_nodes(graph, CONTRIB_FORMS)


def _activated(e: Expansion, y: str) -> tuple[str, ...] | None:
    """y, or activation(y) with activation_params, or activation_alpha and activation_beta."""
    name = e.attr("activation", "")
    params = e.attr("activation_params") or [e.attr(f"activation_{p}") for p in ("alpha", "beta") if e.attr(f"activation_{p}") is not None]
    names = {"": (), "Relu": (), "Sigmoid": (), "Tanh": (), "LeakyRelu": ("alpha",), "Clip": ("min", "max"),
             "HardSigmoid": ("alpha", "beta")}.get(name)
    if names is None:
        return None
    return (e.add(name, y, version=6, **dict(zip(names, params))) if name else y,)


def _own_attrs(e: Expansion) -> dict[str, Any]:
    return {name: value for name, value in e.node.attrs.items() if name not in ACTIVATION_ATTRS}


def _fused_conv(e: Expansion) -> tuple[str, ...] | None:
    """activation(Conv(X, W, B) + Z)."""
    y = e.add("Conv", *e.node.inputs[:3], **_own_attrs(e))
    return _activated(e, e.add("Add", y, e.input(3)) if e.input(3) else y)


def _fused_gemm(e: Expansion) -> tuple[str, ...] | None:
    """activation(alpha A' B' + beta C)."""
    return _activated(e, e.add("Gemm", *e.node.inputs, **_own_attrs(e)))


def _fused_matmul(e: Expansion) -> tuple[str, ...] | None:
    """activation(alpha A' B'): transBatch moves the first axis behind the other batch axes, trans swaps the last two."""
    operands = []
    for i, side in enumerate("AB"):
        rank, x = e.rank(i), e.input(i)
        swap, batch = e.attr(f"trans{side}", 0), e.attr(f"transBatch{side}", 0)
        if rank is None and (swap or batch):
            return None
        axes = list(range(rank or 0))
        if batch:
            axes = [*axes[1:-1], 0, axes[-1]]
        if swap and len(axes) > 1:
            axes[-2:] = axes[:-3:-1]
        operands.append(x if axes == sorted(axes) else e.add("Transpose", x, perm=axes))
    y, alpha = e.add("MatMul", *operands), e.attr("alpha", 1.0)
    return _activated(e, y if alpha == 1 else e.add("Mul", y, e.constant(alpha)))


def _biased(e: Expansion) -> str:
    """Input 0, plus input 1 where there is one."""
    return e.add("Add", e.input(0), e.input(1)) if e.input(1) else e.input(0)


def _gelu(e: Expansion) -> tuple[str, ...]:
    """x Phi(x) of x plus the bias of BiasGelu."""
    return e.add("Gelu", _biased(e), version=20),


def _fast_gelu(e: Expansion) -> tuple[str, ...]:
    """The tanh form of Gelu, of x plus a bias."""
    return e.add("Gelu", _biased(e), version=20, approximate="tanh"),


def _quick_gelu(e: Expansion) -> tuple[str, ...]:
    """x sigmoid(alpha x)."""
    return e.add("Swish", e.input(0), version=24, alpha=e.attr("alpha", 1.702)),


def _bias_add(e: Expansion) -> tuple[str, ...]:
    """x + bias + skip."""
    return e.add("Add", _biased(e), e.input(2)),


def _bias_split_gelu(e: Expansion) -> tuple[str, ...] | None:
    """a Gelu(b) of the halves a, b of x + bias along the last axis, whose size the bias tells."""
    bias = e.value(1)
    if bias is None:
        return None
    both, half = _biased(e), bias.size // 2
    left, right = e.slice(both, [0], [half], [2]), e.slice(both, [half], [2 * half], [2])
    return e.add("Mul", left, e.add("Gelu", right, version=20)),


def _skip_layer_norm(e: Expansion) -> tuple[str, ...]:
    """LayerNormalization(input + skip + bias) with gamma and beta; the sum as 4th output."""
    total = e.add("Add", e.input(0), e.input(1))
    total = e.add("Add", total, e.input(4)) if e.input(4) else total
    beta = (e.input(3),) if e.input(3) else ()
    statistics = 3 if any(e.node.outputs[1:3]) else 1
    y = e.add("LayerNormalization", total, e.input(2), *beta, version=17, outputs=statistics, axis=-1, epsilon=e.attr("epsilon", 1e-12))
    return y, *((f"{y}.1", f"{y}.2") if statistics > 1 else ("", "")), total


def _skip_rms_norm(e: Expansion) -> tuple[str, ...]:
    """RMSNormalization(input + skip + bias) with gamma; the sum as 4th output."""
    total = e.add("Add", e.input(0), e.input(1))
    total = e.add("Add", total, e.input(3)) if e.input(3) else total
    return e.add("RMSNormalization", total, e.input(2), version=23, axis=-1, epsilon=e.attr("epsilon", 1e-5)), "", "", total


def _rms_norm(e: Expansion) -> tuple[str, ...]:
    """SimplifiedLayerNormalization is RMSNormalization; onnxruntime writes it in ONNX's own domain."""
    return e.add("RMSNormalization", *e.node.inputs[:2], version=23, axis=e.attr("axis", -1), epsilon=e.attr("epsilon", 1e-5)),


def _group_norm(e: Expansion) -> tuple[str, ...]:
    """GroupNormalization of (N, H, W, C), or of (N, C, H, W) with channels_last=0, and x sigmoid(x) of it with activation=1."""
    last = e.attr("channels_last", 1)
    x = e.add("Transpose", e.input(0), perm=TO_NCHW) if last else e.input(0)
    y = e.add("GroupNormalization", x, e.input(1), e.input(2), version=21, num_groups=e.attr("groups"), epsilon=e.attr("epsilon", 1e-5))
    y = e.add("Swish", y, version=24, alpha=1.0) if e.attr("activation", 0) else y
    return (e.add("Transpose", y, perm=TO_NHWC) if last else y),


def _dynamic_matmul(e: Expansion) -> tuple[str, ...]:
    """(A, B, b_scale, b_zero?, bias?): A quantised by its own range, the product made a float."""
    a = e.add("DynamicQuantizeLinear", e.input(0), version=11, outputs=3)
    zeros = (f"{a}.2", e.input(3)) if e.input(3) else (f"{a}.2",)
    return _scaled_product(e, (a, e.input(1), *zeros), (f"{a}.1", e.input(2)), e.input(4))


def _matmul_to_float(e: Expansion) -> tuple[str, ...]:
    """(A, B, a_scale, b_scale, a_zero?, b_zero?, bias?)."""
    zeros = (e.input(4), e.input(5)) if e.input(5) else (e.input(4),) if e.input(4) else ()
    return _scaled_product(e, (e.input(0), e.input(1), *zeros), (e.input(2), e.input(3)), e.input(6))


def _scaled_product(e: Expansion, operands: tuple[str, ...], scales: tuple[str, str], bias: str) -> tuple[str, ...]:
    """float(integer product) * (a_scale * b_scale) + bias, scales and bias along the last axis."""
    whole = e.add("Cast", e.add("MatMulInteger", *operands, version=10), to=FLOAT)
    y = e.add("Mul", whole, e.add("Mul", *scales))
    return (e.add("Add", y, bias) if bias else y),


def _pad(e: Expansion) -> tuple[str, ...] | None:
    """Pad, whose pads may be a row of a matrix."""
    pads, value, mode = e.value(1), e.value(2), e.attr("mode", "constant")
    if e.opset >= 11:
        sizes = e.input(1) if pads is None else e.constant(pads.reshape(-1), np.int64)
        return e.add("Pad", e.input(0), sizes, *e.node.inputs[2:], mode=mode),
    if pads is None or (e.input(2) and value is None):
        return None
    filler = 0.0 if value is None else float(value.reshape(()))
    return e.add("Pad", e.input(0), version=2, pads=[int(p) for p in pads.reshape(-1)], value=filler, mode=mode),


def _unique(e: Expansion) -> tuple[str, ...]:
    """The values in the order in which they come, where each element is among them, how often each value comes."""
    y = e.add("Unique", e.input(0), version=max(11, e.opset), outputs=4, sorted=0)
    return y, f"{y}.2", f"{y}.3"


def _grid_sample(e: Expansion) -> tuple[str, ...]:
    """GridSample as opset 16 took it over; opset 20 has other words for the modes."""
    mode = e.attr("mode", "bilinear")
    newer = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return e.add("GridSample", *e.node.inputs, version=max(16, e.opset), mode=newer if e.opset >= 20 else mode,
                 padding_mode=e.attr("padding_mode"), align_corners=e.attr("align_corners")),


def _trilu(e: Expansion) -> tuple[str, ...]:
    return e.add("Trilu", *e.node.inputs, version=14, upper=e.attr("upper", 1)),


def _expand_dims(e: Expansion) -> tuple[str, ...] | None:
    """A new axis of size 1."""
    axis = e.value(1)
    if axis is None:
        return None
    at = int(axis.reshape(()))
    return (e.add("Unsqueeze", e.input(0), axes=[at]) if e.opset < 13 else e.add("Unsqueeze", e.input(0), e.constant([at], np.int64))),


def _channels_last(op_type: str) -> Rule:
    """The operator between transpositions: its data lie (N, H, W, C), its weights as ever."""
    def apply(e: Expansion) -> tuple[str, ...]:
        y = e.add(op_type, e.add("Transpose", e.input(0), perm=TO_NCHW), *e.node.inputs[1:], **e.node.attrs)
        return e.add("Transpose", y, perm=TO_NHWC),
    return apply


def _nhwc_conv(e: Expansion) -> tuple[str, ...] | None:
    """FusedConv whose X, Z and result lie (N, H, W, C); the weights are (M, C/group, kH, kW)."""
    y = e.add("Conv", e.add("Transpose", e.input(0), perm=TO_NCHW), *e.node.inputs[1:3], **_own_attrs(e))
    y = e.add("Add", y, e.add("Transpose", e.input(3), perm=TO_NCHW)) if e.input(3) else y
    made = _activated(e, y)
    return None if made is None else (e.add("Transpose", made[0], perm=TO_NHWC),)


CONTRIB_FORMS: dict[tuple[str, str], Rule] = {
    ("", "SimplifiedLayerNormalization"): _rms_norm,
    (MICROSOFT, "BiasAdd"): _bias_add,
    (MICROSOFT, "BiasGelu"): _gelu,
    (MICROSOFT, "BiasSplitGelu"): _bias_split_gelu,
    (MICROSOFT, "DynamicQuantizeMatMul"): _dynamic_matmul,
    (MICROSOFT, "ExpandDims"): _expand_dims,
    (MICROSOFT, "FastGelu"): _fast_gelu,
    (MICROSOFT, "FusedConv"): _fused_conv,
    (MICROSOFT, "FusedGemm"): _fused_gemm,
    (MICROSOFT, "FusedMatMul"): _fused_matmul,
    (MICROSOFT, "FusedMatMulActivation"): _fused_matmul,
    (MICROSOFT, "Gelu"): _gelu,
    (MICROSOFT, "GridSample"): _grid_sample,
    (MICROSOFT, "GroupNorm"): _group_norm,
    (MICROSOFT, "MatMulIntegerToFloat"): _matmul_to_float,
    (MICROSOFT, "NhwcConv"): _nhwc_conv,
    (MICROSOFT, "NhwcFusedConv"): _nhwc_conv,
    (MICROSOFT, "NhwcMaxPool"): _channels_last("MaxPool"),
    (MICROSOFT, "Pad"): _pad,
    (MICROSOFT, "QuickGelu"): _quick_gelu,
    (MICROSOFT, "SkipLayerNormalization"): _skip_layer_norm,
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): _skip_rms_norm,
    (MICROSOFT, "TransposeMatMul"): _fused_matmul,
    (MICROSOFT, "Trilu"): _trilu,
    (MICROSOFT, "Unique"): _unique,
    (NHWC, "Conv"): _nhwc_conv,
    **{(NHWC, name): _channels_last(name) for name in (
        "AveragePool", "BatchNormalization", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
        "InstanceNormalization", "LRN", "MaxPool", "SpaceToDepth")},
}
