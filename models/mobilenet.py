"""MobileNet V1 and V2, width 1.0.

V1: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", arXiv 1704.04861:
    4.2 million parameters, 569 M multiply-adds.
V2: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018: 3.4 million and 300 M in the paper,
    3,504,872 and 0.301 G in torchvision, whose weight names are used.
Input (N, 3, 224, 224).
"""
from __future__ import annotations

from models.writer import Writer

# V1, table 1: (output channels, stride) of each depthwise separable block
V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
             (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1))

# V2, table 2: (expansion, output channels, repeats, stride of the first)
V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
V2_RESIDUAL_SCALE = 0.7


def mobilenet_v1(net: Writer, x: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; BatchNormalization and ReLU after every convolution."""
    x = net.relu(net.batch_norm("stem.bn", net.conv("stem.conv", x, 32, 3, stride=2, pad=1, bias=False)))
    for i, (oc, stride) in enumerate(V1_BLOCKS):
        prefix = f"block{i}"
        ic = net.channels[x]
        x = net.conv(f"{prefix}.depthwise", x, ic, 3, stride=stride, pad=1, group=ic, bias=False)
        x = net.relu(net.batch_norm(f"{prefix}.bn1", x))
        x = net.relu(net.batch_norm(f"{prefix}.bn2", net.conv(f"{prefix}.pointwise", x, oc, 1, bias=False)))
    return net.gemm("classifier", net.flatten(net.global_avg_pool(x)), 1000, gain=1.0)


def _inverted_residual(net: Writer, prefix: str, x: str, expansion: int, oc: int, stride: int) -> str:
    """1x1 expand -> 3x3 depthwise -> 1x1 linear projection, plus x where shapes agree."""
    ic = net.channels[x]
    hidden, y, layer = ic * expansion, x, 0
    if expansion != 1:
        y = net.conv(f"{prefix}.conv.0.0", y, hidden, 1, bias=False)
        y = net.relu6(net.batch_norm(f"{prefix}.conv.0.1", y))
        layer = 1
    y = net.conv(f"{prefix}.conv.{layer}.0", y, hidden, 3, stride=stride, pad=1, group=hidden, bias=False)
    y = net.relu6(net.batch_norm(f"{prefix}.conv.{layer}.1", y))
    y = net.conv(f"{prefix}.conv.{layer + 1}", y, oc, 1, bias=False)
    residual = stride == 1 and ic == oc
    y = net.batch_norm(f"{prefix}.conv.{layer + 2}", y, scale=V2_RESIDUAL_SCALE if residual else 1.0)
    return net.add(x, y) if residual else y


def mobilenet_v2(net: Writer, x: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; BatchNormalization and ReLU6."""
    x = net.conv("features.0.0", x, 32, 3, stride=2, pad=1, bias=False)
    x = net.relu6(net.batch_norm("features.0.1", x))
    index = 1
    for expansion, oc, repeats, first_stride in V2_STAGES:
        for i in range(repeats):
            x = _inverted_residual(net, f"features.{index}", x, expansion, oc, first_stride if i == 0 else 1)
            index += 1
    x = net.conv(f"features.{index}.0", x, 1280, 1, bias=False)
    x = net.relu6(net.batch_norm(f"features.{index}.1", x))
    x = net.dropout(net.flatten(net.global_avg_pool(x)), 0.2)
    return net.gemm("classifier.1", x, 1000, gain=1.0)
