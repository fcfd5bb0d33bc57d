"""MobileNetV3: Howard et al., "Searching for MobileNetV3", ICCV 2019, width 1.0.

Input (N, 3, 224, 224).  Parameters and MACs as torchvision gives them: large 5,483,032 and 0.217 G, small 2,542,856 and 0.057 G (the
paper: 5.4 million and 219 M, 2.5 million and 56 M).  Weight names are torchvision's.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.layers import conv_bn, hard_sigmoid, hard_swish, mul
from models.writer import Writer

EPS = 1e-3
RESIDUAL_SCALE = 0.7


@dataclass(frozen=True)
class Bottleneck:
    """One row of tables 1 and 2: depthwise kernel, channels inside and out, squeeze-and-excitation, activation, stride."""

    kernel: int
    hidden: int
    oc: int
    excite: bool
    swish: bool
    stride: int


LARGE = (
    Bottleneck(3, 16, 16, False, False, 1),
    Bottleneck(3, 64, 24, False, False, 2),
    Bottleneck(3, 72, 24, False, False, 1),
    Bottleneck(5, 72, 40, True, False, 2),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(3, 240, 80, False, True, 2),
    Bottleneck(3, 200, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 480, 112, True, True, 1),
    Bottleneck(3, 672, 112, True, True, 1),
    Bottleneck(5, 672, 160, True, True, 2),
    Bottleneck(5, 960, 160, True, True, 1),
    Bottleneck(5, 960, 160, True, True, 1),
)
SMALL = (
    Bottleneck(3, 16, 16, True, False, 2),
    Bottleneck(3, 72, 24, False, False, 2),
    Bottleneck(3, 88, 24, False, False, 1),
    Bottleneck(5, 96, 40, True, True, 2),
    Bottleneck(5, 240, 40, True, True, 1),
    Bottleneck(5, 240, 40, True, True, 1),
    Bottleneck(5, 120, 48, True, True, 1),
    Bottleneck(5, 144, 48, True, True, 1),
    Bottleneck(5, 288, 96, True, True, 2),
    Bottleneck(5, 576, 96, True, True, 1),
    Bottleneck(5, 576, 96, True, True, 1),
)


def divisible(channels: float, by: int = 8) -> int:
    """`channels` rounded to a multiple of `by`, never below 0.9 of it (TensorFlow's _make_divisible)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def _excite(net: Writer, prefix: str, x: str) -> str:
    """y = x * hard_sigmoid(fc2(relu(fc1(mean of x)))), a quarter of the channels between."""
    squeezed = net.relu(net.conv(f"{prefix}.fc1", net.global_avg_pool(x), divisible(net.channels[x] / 4), 1))
    return mul(net, x, hard_sigmoid(net, net.conv(f"{prefix}.fc2", squeezed, net.channels[x], 1, gain=1.0)))


def _bottleneck(net: Writer, prefix: str, x: str, b: Bottleneck) -> str:
    """1x1 expand -> depthwise -> squeeze and excitation -> 1x1 linear projection, plus x where shapes agree."""
    act: Callable[[Writer, str], str] = hard_swish if b.swish else Writer.relu
    y, layer = x, 0
    if b.hidden != net.channels[x]:
        y = act(net, conv_bn(net, f"{prefix}.0.0", f"{prefix}.0.1", y, b.hidden, 1, eps=EPS, gain=1.0))
        layer = 1
    y = act(net, conv_bn(net, f"{prefix}.{layer}.0", f"{prefix}.{layer}.1", y, b.hidden, b.kernel, stride=b.stride, pad=b.kernel // 2,
                         group=b.hidden, eps=EPS))
    if b.excite:
        layer += 1
        y = _excite(net, f"{prefix}.{layer}", y)
    layer += 1
    residual = b.stride == 1 and net.channels[x] == b.oc
    y = conv_bn(net, f"{prefix}.{layer}.0", f"{prefix}.{layer}.1", y, b.oc, 1, eps=EPS, scale=RESIDUAL_SCALE if residual else 1.0,
                gain=3.0)
    return net.add(y, x) if residual else y


def _mobilenet_v3(net: Writer, x: str, blocks: tuple[Bottleneck, ...], hidden: int) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    x = hard_swish(net, conv_bn(net, "features.0.0", "features.0.1", x, 16, 3, stride=2, pad=1, eps=EPS))
    for index, block in enumerate(blocks, start=1):
        x = _bottleneck(net, f"features.{index}.block", x, block)
    last = f"features.{len(blocks) + 1}"
    x = hard_swish(net, conv_bn(net, f"{last}.0", f"{last}.1", x, 6 * blocks[-1].oc, 1, eps=EPS))
    x = hard_swish(net, net.gemm("classifier.0", net.flatten(net.global_avg_pool(x)), hidden, gain=4.0))
    return net.gemm("classifier.3", net.dropout(x, 0.2), 1000, gain=1.0)


def mobilenet_v3_large(net: Writer, x: str) -> str:
    """Table 1: 15 bottlenecks."""
    return _mobilenet_v3(net, x, LARGE, 1280)


def mobilenet_v3_small(net: Writer, x: str) -> str:
    """Table 2: 11 bottlenecks."""
    return _mobilenet_v3(net, x, SMALL, 1024)
