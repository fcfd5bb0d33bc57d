"""Networks of 3-D convolutions over video.

c3d: Tran, Bourdev, Fergus, Torresani, Paluri, "Learning spatiotemporal features with 3D convolutional networks", ICCV 2015.  Input
(N, 3, 16, 112, 112).  78,409,573 parameters for UCF-101's classes, as in OpenMMLab's model zoo, and 79,991,015 for Sports-1M's 487.
38,547,378,176 MACs; the model zoo says 38,615,475,200 by adding one for every number that gets a
bias in a convolution and that ReLU and pooling read.

r3d_18: Tran, Wang, Torresani, Ray, LeCun, Paluri, "A closer look at spatiotemporal convolutions for action recognition", CVPR 2018.
Input (N, 3, 16, 112, 112), 400 classes.  torchvision's network with its weight names: 33,371,472 parameters and 40.697 G MACs.
"""
from __future__ import annotations

from math import prod

from models.resnet import RESIDUAL_SCALE
from models.vgg_trunk import scaled
from models.writer import Writer

C3D_STAGES = (("1", 64), ("2", 128), ("3a", 256), ("3b", 256), ("4a", 512), ("4b", 512), ("5a", 512), ("5b", 512))
C3D_POOLED = ("1", "2", "3b", "4b", "5b")


def _max_pool3(net: Writer, x: str, depth: int, pad: int) -> str:
    """Maxima over depth x 2 x 2; the last pooling of C3D pads rows and columns by one at both ends."""
    return net.node("MaxPool", [x], net.channels[x], kernel_shape=[depth, 2, 2], strides=[depth, 2, 2], pads=[0, pad, pad] * 2)


def c3d(net: Writer, x: str, width: float = 1.0, classes: int = 101) -> str:
    """(N, 3, D, H, W) -> (N, classes) logits: eight 3x3x3 convolutions, five poolings, three linear layers."""
    extents = net.extents()
    for name, channels in C3D_STAGES:
        x = net.relu(net.conv(f"conv{name}", x, scaled(channels, width), (3, 3, 3), pad=1))
        if name in C3D_POOLED:
            depth, pad = 1 if name == "1" else 2, 1 if name == "5b" else 0
            x = _max_pool3(net, x, depth, pad)
            extents = [extents[0] // depth, *((extent + 2 * pad) // 2 for extent in extents[1:])]
    x = net.flatten(x, net.channels[x] * prod(extents))
    x = net.dropout(net.relu(net.gemm("fc6", x, scaled(4096, width))), 0.5)
    x = net.dropout(net.relu(net.gemm("fc7", x, scaled(4096, width))), 0.5)
    return net.gemm("fc8", x, classes, gain=1.0)


def _block(net: Writer, prefix: str, x: str, planes: int, stride: int) -> str:
    """3x3x3 -> 3x3x3, plus x."""
    y = net.conv(f"{prefix}.conv1.0", x, planes, (3, 3, 3), stride=stride, pad=1, bias=False)
    y = net.relu(net.batch_norm(f"{prefix}.conv1.1", y))
    y = net.conv(f"{prefix}.conv2.0", y, planes, (3, 3, 3), pad=1, bias=False)
    y = net.batch_norm(f"{prefix}.conv2.1", y, scale=RESIDUAL_SCALE)
    if stride != 1:
        x = net.conv(f"{prefix}.downsample.0", x, planes, (1, 1, 1), stride=stride, bias=False, gain=1.0)
        x = net.batch_norm(f"{prefix}.downsample.1", x)
    return net.relu(net.add(y, x))


def r3d_18(net: Writer, x: str, width: float = 1.0, classes: int = 400) -> str:
    """(N, 3, D, H, W) -> (N, classes) logits: ResNet-18 with kernels of three extents."""
    base = scaled(64, width)
    x = net.conv("stem.0", x, base, (3, 7, 7), stride=(1, 2, 2), pad=(1, 3, 3), bias=False)
    x = net.relu(net.batch_norm("stem.1", x))
    for stage in range(4):
        for i in range(2):
            x = _block(net, f"layer{stage + 1}.{i}", x, base << stage, 2 if stage > 0 and i == 0 else 1)
    return net.gemm("fc", net.flatten(net.global_avg_pool(x)), classes, gain=1.0)
