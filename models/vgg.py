"""VGG: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015: all six configurations.

Input (N, 3, 224, 224).  Table 2 of the paper gives 133 million parameters for A, A-LRN and B, 134 for C, 138 for D and 144 for E;
torchvision has A, B, D and E as vgg11, vgg13, vgg16, vgg19 (without BatchNormalization, as in the paper): 132,863,336 and 7.609 G MACs;
133,047,848 and 11.308 G; 138,357,544 and 15.470 G; 143,667,240 and 19.632 G.  Weight names are torchvision's.
"""
from __future__ import annotations

from typing import Any

from models.layers import alexnet_lrn, flatten_maps
from models.writer import Writer

STAGE_WIDTHS = (1, 2, 4, 8, 8)  # times 64

# Table 1: kernels of the convolutions of each stage
CONFIGURATIONS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


def _vgg(net: Writer, x: str, configuration: str, *, width: int = 64, hidden: int = 4096, lrn: bool = False) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; width: channels of the first stage, hidden: of the linear layers."""
    index = 0  # torchvision counts convolutions, ReLUs and pools in one sequence
    for stage, kernels in zip(STAGE_WIDTHS, CONFIGURATIONS[configuration]):
        for kernel in kernels:
            x = net.relu(net.conv(f"features.{index}", x, width * stage, kernel, pad=kernel // 2))
            if lrn and index == 0:
                x = alexnet_lrn(net, x)
            index += 2
        x = net.max_pool(x, 2, 2)
        index += 1
    x = flatten_maps(net, x)
    x = net.dropout(net.relu(net.gemm("classifier.0", x, hidden)), 0.5)
    x = net.dropout(net.relu(net.gemm("classifier.3", x, hidden)), 0.5)
    return net.gemm("classifier.6", x, 1000, gain=1.0)


def vgg11(net: Writer, x: str, **sizes: Any) -> str:
    """Configuration A: 8 convolutions, 3 linear layers."""
    return _vgg(net, x, "A", **sizes)


def vgg11_lrn(net: Writer, x: str, **sizes: Any) -> str:
    """Configuration A-LRN: A with local response normalisation after the first convolution."""
    return _vgg(net, x, "A", lrn=True, **sizes)


def vgg13(net: Writer, x: str, **sizes: Any) -> str:
    """Configuration B: 10 convolutions, 3 linear layers."""
    return _vgg(net, x, "B", **sizes)


def vgg16_c(net: Writer, x: str, **sizes: Any) -> str:
    """Configuration C: 13 convolutions, three of them 1x1, 3 linear layers."""
    return _vgg(net, x, "C", **sizes)


def vgg16(net: Writer, x: str, **sizes: Any) -> str:
    """Configuration D: 13 convolutions, 3 linear layers."""
    return _vgg(net, x, "D", **sizes)


def vgg19(net: Writer, x: str, **sizes: Any) -> str:
    """Configuration E: 16 convolutions, 3 linear layers."""
    return _vgg(net, x, "E", **sizes)
