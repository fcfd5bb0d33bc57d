"""ResNet: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, and ResNeXt: Xie, Girshick, Dollar, Tu, He,
"Aggregated residual transformations for deep neural networks", CVPR 2017.

Input (N, 3, 224, 224).  Parameters and MACs as torchvision gives them: resnet18 11,689,512 and 1.814 G; resnet34 21,797,672 and 3.664 G;
resnet50 25,557,032 and 4.089 G; resnet101 44,549,160 and 7.801 G; resnet152 60,192,808 and 11.514 G; resnext101_64x4d 83,455,272 and
15.460 G.  plain34 is resnet34 without shortcuts: 3.6 G in the paper.  As in torchvision the bottleneck strides in its 3x3 ("v1.5"; the
paper strides in the first 1x1 and counts 3.8 G for resnet50).  Weight names are torchvision's.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from models.layers import classifier, conv_bn
from models.writer import Writer

RESIDUAL_SCALE = 0.3  # of the last BatchNormalization of a branch: keeps sums over up to 16 blocks of order one


@dataclass(frozen=True)
class Config:
    """One network of the family.

    branch    the layers of a block before the sum
    repeats   blocks of each of the four stages
    width     channels of the first stage, before the expansion of a bottleneck
    groups    of the 3x3 of a bottleneck, each `base` channels wide in the first stage
    shortcut  False: the plain network
    """

    branch: Callable[[Writer, str, str, int, int, Config], str]
    repeats: tuple[int, int, int, int]
    width: int = 64
    groups: int = 1
    base: int = 64
    shortcut: bool = True

    @property
    def last_scale(self) -> float:
        """Weights of the last BatchNormalization of a branch; the deeper the network, the smaller."""
        return RESIDUAL_SCALE * min(1.0, 16 / sum(self.repeats)) ** 0.5 if self.shortcut else 1.0


def _basic(net: Writer, prefix: str, x: str, planes: int, stride: int, config: Config) -> str:
    """3x3 -> 3x3: the branch before the sum."""
    y = net.relu(conv_bn(net, f"{prefix}.conv1", f"{prefix}.bn1", x, planes, 3, stride=stride, pad=1))
    return conv_bn(net, f"{prefix}.conv2", f"{prefix}.bn2", y, planes, 3, pad=1, scale=config.last_scale)


def _bottleneck(net: Writer, prefix: str, x: str, planes: int, stride: int, config: Config) -> str:
    """1x1 -> 3x3 -> 1x1 with four times the channels: the branch before the sum."""
    inner = planes * config.base // 64 * config.groups
    y = net.relu(conv_bn(net, f"{prefix}.conv1", f"{prefix}.bn1", x, inner, 1))
    y = net.relu(conv_bn(net, f"{prefix}.conv2", f"{prefix}.bn2", y, inner, 3, stride=stride, pad=1, group=config.groups))
    return conv_bn(net, f"{prefix}.conv3", f"{prefix}.bn3", y, 4 * planes, 1, scale=config.last_scale)


def _resnet(net: Writer, x: str, config: Config, **sizes: Any) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; sizes: fields of the configuration to replace."""
    config = replace(config, **sizes)
    x = net.relu(conv_bn(net, "conv1", "bn1", x, config.width, 7, stride=2, pad=3))
    x = net.max_pool(x, 3, 2, pad=1)
    for stage, count in enumerate(config.repeats):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            prefix = f"layer{stage + 1}.{i}"
            y = config.branch(net, prefix, x, config.width << stage, stride, config)
            if config.shortcut:
                if stride != 1 or net.channels[x] != net.channels[y]:
                    x = conv_bn(net, f"{prefix}.downsample.0", f"{prefix}.downsample.1", x, net.channels[y], 1, stride=stride, gain=1.0)
                y = net.add(y, x)
            x = net.relu(y)
    return classifier(net, "fc", x)


RESNET18 = Config(_basic, (2, 2, 2, 2))
RESNET34 = Config(_basic, (3, 4, 6, 3))
RESNET50 = Config(_bottleneck, (3, 4, 6, 3))
RESNET101 = Config(_bottleneck, (3, 4, 23, 3))
RESNET152 = Config(_bottleneck, (3, 8, 36, 3))


def resnet18(net: Writer, x: str, **sizes: Any) -> str:
    """Basic blocks, 2 2 2 2."""
    return _resnet(net, x, RESNET18, **sizes)


def resnet34(net: Writer, x: str, **sizes: Any) -> str:
    """Basic blocks, 3 4 6 3."""
    return _resnet(net, x, RESNET34, **sizes)


def plain34(net: Writer, x: str, **sizes: Any) -> str:
    """resnet34 without its shortcuts: the network that residual learning was compared with."""
    return _resnet(net, x, replace(RESNET34, shortcut=False), **sizes)


def resnet50(net: Writer, x: str, **sizes: Any) -> str:
    """Bottleneck blocks, 3 4 6 3."""
    return _resnet(net, x, RESNET50, **sizes)


def resnet101(net: Writer, x: str, **sizes: Any) -> str:
    """Bottleneck blocks, 3 4 23 3."""
    return _resnet(net, x, RESNET101, **sizes)


def resnet152(net: Writer, x: str, **sizes: Any) -> str:
    """Bottleneck blocks, 3 8 36 3."""
    return _resnet(net, x, RESNET152, **sizes)


def resnext101_64x4d(net: Writer, x: str, **sizes: Any) -> str:
    """ResNet-101 whose 3x3 convolutions have 64 groups of 4, 8, 16 and 32 channels."""
    return _resnet(net, x, replace(RESNET101, groups=64, base=4), **sizes)
