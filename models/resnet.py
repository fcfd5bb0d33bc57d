"""ResNet: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.

Input (N, 3, 224, 224).  Parameters and MACs as torchvision gives them: resnet18 11,689,512 and 1.814 G; resnet34 21,797,672 and 3.664 G;
resnet50 25,557,032 and 4.089 G.  As in torchvision the bottleneck strides in its 3x3 ("v1.5"; the paper strides in the first 1x1 and
counts 3.8 G).  Weight names are torchvision's.
"""
from __future__ import annotations

from models.writer import Writer

RESIDUAL_SCALE = 0.3  # of the last BatchNormalization of a branch: keeps sums over up to 16 blocks of order one


def _basic(net: Writer, prefix: str, x: str, planes: int, stride: int) -> tuple[str, int]:
    """3x3 -> 3x3; returns the branch before the sum and its channels."""
    y = net.conv(f"{prefix}.conv1", x, planes, 3, stride=stride, pad=1, bias=False)
    y = net.relu(net.batch_norm(f"{prefix}.bn1", y))
    y = net.conv(f"{prefix}.conv2", y, planes, 3, pad=1, bias=False)
    return net.batch_norm(f"{prefix}.bn2", y, scale=RESIDUAL_SCALE), planes


def _bottleneck(net: Writer, prefix: str, x: str, planes: int, stride: int) -> tuple[str, int]:
    """1x1 -> 3x3 -> 1x1 with four times the channels; returns the branch before the sum and its channels."""
    y = net.relu(net.batch_norm(f"{prefix}.bn1", net.conv(f"{prefix}.conv1", x, planes, 1, bias=False)))
    y = net.conv(f"{prefix}.conv2", y, planes, 3, stride=stride, pad=1, bias=False)
    y = net.relu(net.batch_norm(f"{prefix}.bn2", y))
    y = net.conv(f"{prefix}.conv3", y, 4 * planes, 1, bias=False)
    return net.batch_norm(f"{prefix}.bn3", y, scale=RESIDUAL_SCALE), 4 * planes


BLOCKS = {"basic": _basic, "bottleneck": _bottleneck}


def _resnet(net: Writer, x: str, block: str, repeats: tuple[int, int, int, int]) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    x = net.relu(net.batch_norm("bn1", net.conv("conv1", x, 64, 7, stride=2, pad=3, bias=False)))
    x = net.max_pool(x, 3, 2, pad=1)
    for stage, count in enumerate(repeats):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            prefix = f"layer{stage + 1}.{i}"
            y, oc = BLOCKS[block](net, prefix, x, 64 << stage, stride)
            if stride != 1 or net.channels[x] != oc:
                x = net.conv(f"{prefix}.downsample.0", x, oc, 1, stride=stride, bias=False, gain=1.0)
                x = net.batch_norm(f"{prefix}.downsample.1", x)
            x = net.relu(net.add(y, x))
    return net.gemm("fc", net.flatten(net.global_avg_pool(x)), 1000, gain=1.0)


def resnet18(net: Writer, x: str) -> str:
    """Basic blocks, 2 2 2 2."""
    return _resnet(net, x, "basic", (2, 2, 2, 2))


def resnet34(net: Writer, x: str) -> str:
    """Basic blocks, 3 4 6 3."""
    return _resnet(net, x, "basic", (3, 4, 6, 3))


def resnet50(net: Writer, x: str) -> str:
    """Bottleneck blocks, 3 4 6 3."""
    return _resnet(net, x, "bottleneck", (3, 4, 6, 3))
