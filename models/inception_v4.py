"""Inception-v4: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the impact of residual connections on learning",
AAAI 2017.

Input (N, 3, 299, 299).  42,679,816 parameters in timm, 12.3 G MACs on timm's model card.  Weight names are timm's.
"""
from __future__ import annotations

from models.layers import average, conv_bn
from models.writer import Extent, Writer

EPS = 1e-3
Layer = tuple[int, Extent, int, Extent]  # output channels, kernel, stride, pad


def _same(oc: int, kernel: Extent) -> Layer:
    """A convolution with stride 1 whose output is as large as its input."""
    return oc, kernel, 1, tuple(k // 2 for k in kernel) if isinstance(kernel, tuple) else kernel // 2


def _valid(oc: int, kernel: int, stride: int = 1) -> Layer:
    """A convolution without padding."""
    return oc, kernel, stride, 0


# Figures 3 to 8: the convolutions of every branch, in the order of the concatenation; pools are written by the blocks
STEM_4A = ((_same(64, 1), _valid(96, 3)),
           (_same(64, 1), _same(64, (1, 7)), _same(64, (7, 1)), _valid(96, 3)))
BLOCK_A = ((_same(96, 1),),
           (_same(64, 1), _same(96, 3)),
           (_same(64, 1), _same(96, 3), _same(96, 3)))
SHRINK_A = ((_valid(384, 3, 2),),
            (_same(192, 1), _same(224, 3), _valid(256, 3, 2)))
BLOCK_B = ((_same(384, 1),),
           (_same(192, 1), _same(224, (1, 7)), _same(256, (7, 1))),
           (_same(192, 1), _same(192, (7, 1)), _same(224, (1, 7)), _same(224, (7, 1)), _same(256, (1, 7))))
SHRINK_B = ((_same(192, 1), _valid(192, 3, 2)),
            (_same(256, 1), _same(256, (1, 7)), _same(320, (7, 1)), _valid(320, 3, 2)))


def _conv(net: Writer, name: str, x: str, layer: Layer) -> str:
    """Convolution, BatchNormalization, ReLU."""
    oc, kernel, stride, pad = layer
    return net.relu(conv_bn(net, f"{name}.conv", f"{name}.bn", x, oc, kernel, stride=stride, pad=pad, eps=EPS))


def _branches(net: Writer, prefix: str, x: str, branches: tuple[tuple[Layer, ...], ...]) -> list[str]:
    """The outputs of branches of convolutions side by side; a branch of one has no number inside."""
    outputs = []
    for index, layers in enumerate(branches):
        y = x
        for k, layer in enumerate(layers):
            y = _conv(net, f"{prefix}.branch{index}" + (f".{k}" if len(layers) > 1 else ""), y, layer)
        outputs.append(y)
    return outputs


def _pooled(net: Writer, prefix: str, x: str, oc: int) -> str:
    """Average of 3x3 within the image -> 1x1."""
    return _conv(net, f"{prefix}.branch3.1", average(net, x, 3, 1, 1, count_include_pad=False), _same(oc, 1))


def _cross(net: Writer, prefix: str, x: str) -> list[str]:
    """1x3 beside 3x1."""
    return [_conv(net, f"{prefix}a", x, _same(256, (1, 3))), _conv(net, f"{prefix}b", x, _same(256, (3, 1)))]


def _block_c(net: Writer, prefix: str, x: str) -> str:
    """Figure 6: 1x1; 1x1 -> 1x3 beside 3x1; 1x1 -> 3x1 -> 1x3 -> 1x3 beside 3x1; pool -> 1x1."""
    y0 = _conv(net, f"{prefix}.branch0", x, _same(256, 1))
    y1 = _cross(net, f"{prefix}.branch1_1", _conv(net, f"{prefix}.branch1_0", x, _same(384, 1)))
    y2 = _conv(net, f"{prefix}.branch2_1", _conv(net, f"{prefix}.branch2_0", x, _same(384, 1)), _same(448, (3, 1)))
    y2 = _conv(net, f"{prefix}.branch2_2", y2, _same(512, (1, 3)))
    return net.concat([y0, net.concat(y1), net.concat(_cross(net, f"{prefix}.branch2_3", y2)), _pooled(net, prefix, x, 256)])


def _stem(net: Writer, x: str) -> str:
    """Figure 3: (N, 3, 299, 299) -> (N, 384, 35, 35)."""
    for k, layer in enumerate((_valid(32, 3, 2), _valid(32, 3), _same(64, 3))):
        x = _conv(net, f"features.{k}", x, layer)
    x = net.concat([net.max_pool(x, 3, 2), _conv(net, "features.3.conv", x, _valid(96, 3, 2))])
    x = net.concat(_branches(net, "features.4", x, STEM_4A))
    return net.concat([_conv(net, "features.5.conv", x, _valid(192, 3, 2)), net.max_pool(x, 3, 2)])


def inception_v4(net: Writer, x: str) -> str:
    """(N, 3, 299, 299) -> (N, 1000) logits."""
    x, index = _stem(net, x), 6
    for branches, pooled, repeats, shrink in ((BLOCK_A, 96, 4, SHRINK_A), (BLOCK_B, 128, 7, SHRINK_B)):
        for _ in range(repeats):
            prefix = f"features.{index}"
            x = net.concat([*_branches(net, prefix, x, branches), _pooled(net, prefix, x, pooled)])
            index += 1
        x = net.concat([*_branches(net, f"features.{index}", x, shrink), net.max_pool(x, 3, 2)])
        index += 1
    for _ in range(3):
        x = _block_c(net, f"features.{index}", x)
        index += 1
    x = net.dropout(net.flatten(net.global_avg_pool(x)), 0.2)
    return net.gemm("last_linear", x, 1000, gain=1.0)
