"""EfficientNet: Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019, B0 to B8.

Input (N, 3, R, R), R = 224 .. 672.  B0 is the network of table 1; Bn has its channels times `width`, rounded to multiples of 8, and its
repeats times `depth`, rounded up (compound scaling; the coefficients are those of the TensorFlow reference).  Parameters as torchvision
gives them for B0 to B7; B8 (Xie et al., "Adversarial examples improve image recognition", CVPR 2020) 87,413,142 in timm.  MACs are
torchvision's, but for B2 (the paper's 1.0 G at 260x260; torchvision runs it at 288x288) and B8 (timm's).  Strides pad symmetrically as in
torchvision; TensorFlow's "same" pads right and bottom first, which gives the same extents.  Weight names are torchvision's.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from models.layers import conv_bn, mul, silu
from models.mobilenet_v3 import divisible
from models.writer import Writer

RESIDUAL_SCALE = 0.3  # of the last BatchNormalization of B0's residual branches; smaller where there are more of them


@dataclass(frozen=True)
class Stage:
    """One row of table 1: expansion, depthwise kernel, stride of the first, output channels, repeats."""

    expansion: int
    kernel: int
    stride: int
    oc: int
    repeats: int


B0 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
STEM, HEAD = 32, 1280


@dataclass(frozen=True)
class Scaling:
    """width and depth coefficients, dropout before the classifier, epsilon of BatchNormalization in torchvision."""

    width: float
    depth: float
    dropout: float
    eps: float


SCALINGS = {
    "b0": Scaling(1.0, 1.0, 0.2, 1e-5),
    "b1": Scaling(1.0, 1.1, 0.2, 1e-5),
    "b2": Scaling(1.1, 1.2, 0.3, 1e-5),
    "b3": Scaling(1.2, 1.4, 0.3, 1e-5),
    "b4": Scaling(1.4, 1.8, 0.4, 1e-5),
    "b5": Scaling(1.6, 2.2, 0.4, 1e-3),
    "b6": Scaling(1.8, 2.6, 0.5, 1e-3),
    "b7": Scaling(2.0, 3.1, 0.5, 1e-3),
    "b8": Scaling(2.2, 3.6, 0.5, 1e-3),
}


def _excite(net: Writer, prefix: str, x: str, squeezed: int) -> str:
    """y = x * sigmoid(fc2(silu(fc1(mean of x)))); a quarter of the block's input channels between."""
    y = silu(net, net.conv(f"{prefix}.fc1", net.global_avg_pool(x), squeezed, 1))
    return mul(net, x, net.sigmoid(net.conv(f"{prefix}.fc2", y, net.channels[x], 1, gain=1.0)))


def _block(net: Writer, prefix: str, x: str, stage: Stage, oc: int, stride: int, scale: float, eps: float) -> str:
    """MBConv: 1x1 expand -> depthwise -> squeeze and excitation -> 1x1 linear projection, plus x where shapes agree."""
    ic = net.channels[x]
    hidden, y, layer = divisible(ic * stage.expansion), x, 0
    if hidden != ic:
        y = silu(net, conv_bn(net, f"{prefix}.0.0", f"{prefix}.0.1", y, hidden, 1, eps=eps, gain=1.0))
        layer = 1
    y = silu(net, conv_bn(net, f"{prefix}.{layer}.0", f"{prefix}.{layer}.1", y, hidden, stage.kernel, stride=stride,
                          pad=stage.kernel // 2, group=hidden, eps=eps))
    y = _excite(net, f"{prefix}.{layer + 1}", y, max(1, ic // 4))
    residual = stride == 1 and ic == oc
    y = conv_bn(net, f"{prefix}.{layer + 2}.0", f"{prefix}.{layer + 2}.1", y, oc, 1, eps=eps,
                scale=scale if residual else 1.0, gain=6.0)
    return net.add(y, x) if residual else y


def _efficientnet(net: Writer, x: str, name: str, width: float | None = None) -> str:
    """(N, 3, R, R) -> (N, 1000) logits; width: another coefficient than the published one."""
    scaling = SCALINGS[name]
    factor = scaling.width if width is None else width
    eps, scale = scaling.eps, RESIDUAL_SCALE / scaling.depth**0.5
    x = silu(net, conv_bn(net, "features.0.0", "features.0.1", x, divisible(STEM * factor), 3, stride=2, pad=1, eps=eps))
    for index, stage in enumerate(B0, start=1):
        for i in range(ceil(stage.repeats * scaling.depth)):
            stride = stage.stride if i == 0 else 1
            x = _block(net, f"features.{index}.{i}.block", x, stage, divisible(stage.oc * factor), stride, scale, eps)
    last = f"features.{len(B0) + 1}"
    x = silu(net, conv_bn(net, f"{last}.0", f"{last}.1", x, divisible(HEAD * factor), 1, eps=eps))
    x = net.dropout(net.flatten(net.global_avg_pool(x)), scaling.dropout)
    return net.gemm("classifier.1", x, 1000, gain=1.0)


def efficientnet_b0(net: Writer, x: str, **sizes: float) -> str:
    """16 blocks, 224x224."""
    return _efficientnet(net, x, "b0", **sizes)


def efficientnet_b1(net: Writer, x: str, **sizes: float) -> str:
    """Depth 1.1, 240x240."""
    return _efficientnet(net, x, "b1", **sizes)


def efficientnet_b2(net: Writer, x: str, **sizes: float) -> str:
    """Width 1.1, depth 1.2, 260x260."""
    return _efficientnet(net, x, "b2", **sizes)


def efficientnet_b3(net: Writer, x: str, **sizes: float) -> str:
    """Width 1.2, depth 1.4, 300x300."""
    return _efficientnet(net, x, "b3", **sizes)


def efficientnet_b4(net: Writer, x: str, **sizes: float) -> str:
    """Width 1.4, depth 1.8, 380x380."""
    return _efficientnet(net, x, "b4", **sizes)


def efficientnet_b5(net: Writer, x: str, **sizes: float) -> str:
    """Width 1.6, depth 2.2, 456x456."""
    return _efficientnet(net, x, "b5", **sizes)


def efficientnet_b6(net: Writer, x: str, **sizes: float) -> str:
    """Width 1.8, depth 2.6, 528x528."""
    return _efficientnet(net, x, "b6", **sizes)


def efficientnet_b7(net: Writer, x: str, **sizes: float) -> str:
    """Width 2.0, depth 3.1, 600x600."""
    return _efficientnet(net, x, "b7", **sizes)


def efficientnet_b8(net: Writer, x: str, **sizes: float) -> str:
    """Width 2.2, depth 3.6, 672x672."""
    return _efficientnet(net, x, "b8", **sizes)
