"""The thirteen convolutions of VGG-16 (Simonyan, Zisserman, ICLR 2015), which segmentation, detection and captions build on.

14,714,688 parameters at full width.
"""
from __future__ import annotations

from collections.abc import Callable

from models.writer import Extent, Writer

CHANNELS = (64, 128, 256, 512, 512)
CONVS = (2, 2, 3, 3, 3)

Names = Callable[[int, int], str]  # (stage, convolution of the stage), both from 0


def caffe_name(stage: int, index: int) -> str:
    """conv1_1 ... conv5_3."""
    return f"conv{stage + 1}_{index + 1}"


def torchvision_index(stage: int, index: int) -> int:
    """Position of a convolution in torchvision's `features`, which counts ReLUs and pools too."""
    return 2 * sum(CONVS[:stage]) + stage + 2 * index


def scaled(channels: int, width: float) -> int:
    """Channels at a fraction of the published width, at least one."""
    return max(1, round(channels * width))


def vgg_stage(net: Writer, x: str, stage: int, *, width: float = 1.0, pad: int = 1, first_pad: int | None = None, dilation: Extent = 1,
              name: Names = caffe_name) -> str:
    """The 3x3 convolutions of one stage with their ReLUs, without the pooling after them."""
    for index in range(CONVS[stage]):
        padding = first_pad if index == 0 and first_pad is not None else pad
        x = net.relu(net.conv(name(stage, index), x, scaled(CHANNELS[stage], width), 3, pad=padding, dilation=dilation))
    return x
