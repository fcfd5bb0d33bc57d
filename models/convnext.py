"""ConvNeXt-T: Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", CVPR 2022.

Input (N, 3, 224, 224).  28,589,128 parameters and 4.456 G MACs as torchvision gives them (the paper: 29 million, 4.5 G).  Opset 17, for
LayerNormalization.  Weight names are torchvision's; the form is what torch exports: linear layers as MatMul and Add on (N, H, W, C), GELU
by Erf.
"""
from __future__ import annotations

from models.layers import mul
from models.writer import Writer, he_spread

STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))  # channels, blocks
EPS = 1e-6


def _to_last(net: Writer, x: str) -> str:
    """(N, C, H, W) -> (N, H, W, C)."""
    return net.node("Transpose", [x], net.channels[x], perm=[0, 2, 3, 1])


def _to_first(net: Writer, x: str) -> str:
    """(N, H, W, C) -> (N, C, H, W)."""
    return net.node("Transpose", [x], net.channels[x], perm=[0, 3, 1, 2])


def _norm(net: Writer, name: str, x: str) -> str:
    """LayerNormalization over the last axis, the channels."""
    c = net.channels[x]
    inputs = [x, net.weight(f"{name}.weight", (c,), 1.0, 0.3), net.weight(f"{name}.bias", (c,), 0.0, 0.2)]
    return net.node("LayerNormalization", inputs, c, axis=-1, epsilon=EPS)


def _image_norm(net: Writer, name: str, x: str) -> str:
    """LayerNormalization over the channels of (N, C, H, W)."""
    return _to_first(net, _norm(net, name, _to_last(net, x)))


def _linear(net: Writer, name: str, x: str, features: int, gain: float) -> str:
    """y = x w^T + b over the last axis, with w^T stored as exporters do."""
    c = net.channels[x]
    w = net.weight(f"{name}.weight", (features, c), 0.0, he_spread(c, gain))
    transposed = net.node("Transpose", [w], perm=[1, 0])
    y = net.node("MatMul", [x, transposed], features)
    return net.node("Add", [net.weight(f"{name}.bias", (features,), 0.0, 0.1), y], features)


def _gelu(net: Writer, x: str) -> str:
    """y = x (1 + erf(x / sqrt(2))) / 2 (Hendrycks, Gimpel 2016)."""
    scaled = net.node("Div", [x, net.scalar(2**0.5)])
    gate = net.node("Add", [net.node("Erf", [scaled]), net.scalar(1.0)])
    return net.node("Mul", [mul(net, x, gate), net.scalar(0.5)], net.channels[x])


def _block(net: Writer, prefix: str, x: str) -> str:
    """7x7 depthwise -> LayerNormalization -> four times the channels -> GELU -> back, scaled, plus x."""
    c = net.channels[x]
    y = _to_last(net, net.conv(f"{prefix}.block.0", x, c, 7, pad=3, group=c))
    y = _gelu(net, _linear(net, f"{prefix}.block.3", _norm(net, f"{prefix}.block.2", y), 4 * c, 2.0))
    y = _to_first(net, _linear(net, f"{prefix}.block.5", y, c, 2.0))
    return net.add(net.node("Mul", [net.weight(f"{prefix}.layer_scale", (c, 1, 1), 0.3, 0.1), y], c), x)


def convnext_tiny(net: Writer, x: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; 3, 3, 9, 3 blocks of 96, 192, 384, 768 channels."""
    x = _image_norm(net, "features.0.1", net.conv("features.0.0", x, STAGES[0][0], 4, stride=4))
    for stage, (channels, blocks) in enumerate(STAGES):
        if stage > 0:
            x = _image_norm(net, f"features.{2 * stage}.0", x)
            x = net.conv(f"features.{2 * stage}.1", x, channels, 2, stride=2, gain=1.0)
        for block in range(blocks):
            x = _block(net, f"features.{2 * stage + 1}.{block}", x)
    x = net.flatten(_image_norm(net, "classifier.0", net.global_avg_pool(x)))
    return net.gemm("classifier.2", x, 1000, gain=1.0)
