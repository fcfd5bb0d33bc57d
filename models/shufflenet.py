"""ShuffleNetV2: Ma, Zhang, Zheng, Sun, "ShuffleNet V2: practical guidelines for efficient CNN architecture design", ECCV 2018.

Input (N, 3, 224, 224).  Parameters and MACs as torchvision gives them: x0.5 1,366,792 and 0.040 G; x1.0 2,278,604 and 0.145 G;
x1.5 3,503,624 and 0.296 G; x2.0 7,393,996 and 0.583 G.  The paper counts 41, 146, 299 and 591 M.  Weight names are torchvision's.
"""
from __future__ import annotations

from models.layers import classifier, conv_bn, extents
from models.writer import Writer

REPEATS = (4, 8, 4)  # units of stages 2, 3, 4

# Table 5: channels of stages 2, 3, 4 and of the last convolution
CHANNELS = {
    "x0.5": (48, 96, 192, 1024),
    "x1.0": (116, 232, 464, 1024),
    "x1.5": (176, 352, 704, 1024),
    "x2.0": (244, 488, 976, 2048),
}


def _shuffle(net: Writer, x: str) -> str:
    """Channel 2 c + g of y is channel g C / 2 + c of x: Reshape, Transpose, Reshape."""
    c = net.channels[x]
    height, width = extents(net, x)
    y = net.node("Transpose", [net.node("Reshape", [x, net.ints(0, 2, c // 2, height, width)])], perm=[0, 2, 1, 3, 4])
    return net.node("Reshape", [y, net.ints(0, c, height, width)], c)


def _main(net: Writer, prefix: str, x: str, oc: int, stride: int) -> str:
    """1x1, ReLU -> 3x3 depthwise -> 1x1, ReLU."""
    y = net.relu(conv_bn(net, f"{prefix}.0", f"{prefix}.1", x, oc, 1))
    y = conv_bn(net, f"{prefix}.3", f"{prefix}.4", y, oc, 3, stride=stride, pad=1, group=oc)
    return net.relu(conv_bn(net, f"{prefix}.5", f"{prefix}.6", y, oc, 1, gain=1.0))


def _side(net: Writer, prefix: str, x: str, oc: int) -> str:
    """3x3 depthwise with stride 2 -> 1x1, ReLU."""
    ic = net.channels[x]
    y = conv_bn(net, f"{prefix}.0", f"{prefix}.1", x, ic, 3, stride=2, pad=1, group=ic)
    return net.relu(conv_bn(net, f"{prefix}.2", f"{prefix}.3", y, oc, 1, gain=1.0))


def _unit(net: Writer, prefix: str, x: str, oc: int, down: bool) -> str:
    """Figure 3 (c), and (d) where the image shrinks."""
    if down:
        left = _side(net, f"{prefix}.branch1", x, oc // 2)
        right = _main(net, f"{prefix}.branch2", x, oc // 2, 2)
    else:
        left, half = net.nodes("Split", [x, net.ints(oc // 2, oc // 2)], (oc // 2, oc // 2), axis=1)
        right = _main(net, f"{prefix}.branch2", half, oc // 2, 1)
    return _shuffle(net, net.concat([left, right]))


def _shufflenet(net: Writer, x: str, width: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    *stages, last = CHANNELS[width]
    x = net.relu(conv_bn(net, "conv1.0", "conv1.1", x, 24, 3, stride=2, pad=1))
    x = net.max_pool(x, 3, 2, pad=1)
    for stage, (channels, repeats) in enumerate(zip(stages, REPEATS), start=2):
        for i in range(repeats):
            x = _unit(net, f"stage{stage}.{i}", x, channels, down=i == 0)
    return classifier(net, "fc", net.relu(conv_bn(net, "conv5.0", "conv5.1", x, last, 1)))


def shufflenet_v2_x0_5(net: Writer, x: str) -> str:
    """48, 96, 192 channels."""
    return _shufflenet(net, x, "x0.5")


def shufflenet_v2_x1_0(net: Writer, x: str) -> str:
    """116, 232, 464 channels."""
    return _shufflenet(net, x, "x1.0")


def shufflenet_v2_x1_5(net: Writer, x: str) -> str:
    """176, 352, 704 channels."""
    return _shufflenet(net, x, "x1.5")


def shufflenet_v2_x2_0(net: Writer, x: str) -> str:
    """244, 488, 976 channels."""
    return _shufflenet(net, x, "x2.0")
