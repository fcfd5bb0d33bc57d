"""VGG: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015 (configurations A, D, E).

Input (N, 3, 224, 224).  Parameters and MACs as torchvision gives them for vgg11, vgg16, vgg19 (without BatchNormalization, as in the
paper): 132,863,336 and 7.609 G; 138,357,544 and 15.470 G; 143,667,240 and 19.632 G.  Weight names are torchvision's.
"""
from __future__ import annotations

from models.writer import Writer

STAGE_CHANNELS = (64, 128, 256, 512, 512)
CONVS_PER_STAGE = {"A": (1, 1, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}


def _vgg(net: Writer, x: str, configuration: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    index = 0  # torchvision counts convolutions, ReLUs and pools in one sequence
    for channels, convs in zip(STAGE_CHANNELS, CONVS_PER_STAGE[configuration]):
        for _ in range(convs):
            x = net.relu(net.conv(f"features.{index}", x, channels, 3, pad=1))
            index += 2
        x = net.max_pool(x, 2, 2)
        index += 1
    x = net.flatten(x, 512 * 7 * 7)
    x = net.dropout(net.relu(net.gemm("classifier.0", x, 4096)), 0.5)
    x = net.dropout(net.relu(net.gemm("classifier.3", x, 4096)), 0.5)
    return net.gemm("classifier.6", x, 1000, gain=1.0)


def vgg11(net: Writer, x: str) -> str:
    """Configuration A: 8 convolutions, 3 linear layers."""
    return _vgg(net, x, "A")


def vgg16(net: Writer, x: str) -> str:
    """Configuration D: 13 convolutions, 3 linear layers."""
    return _vgg(net, x, "D")


def vgg19(net: Writer, x: str) -> str:
    """Configuration E: 16 convolutions, 3 linear layers."""
    return _vgg(net, x, "E")
