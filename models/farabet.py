"""Multi-scale scene labelling: Farabet, Couprie, Najman, LeCun, "Learning hierarchical features for scene labeling", PAMI 2013.

Input (N, 3, 240, 320) YUV, output (N, 8, 240, 320) probabilities (Stanford background).  A Laplacian pyramid of three scales, each with
zero mean and unit variance in windows of 15x15, goes through the same three stages: 7x7 filters to 16, 64 and 256 maps, tanh and 2x2
max pooling after the first two; the coarse scales are enlarged and all 768 features of a pixel classified linearly.  All in the graph;
the three scales share their weights, written once.

Connections are sparse as in the paper, with regular tables in the place of its random ones: 10 maps of the first stage see Y and 6 see
U and V; every map of the second sees 8 of 16 and every one of the third 32 of 64, as two groups with the channels interleaved in
between.  434,062 parameters (the paper gives no number): 1,094, 25,152 and 401,664 of the stages and 6,152 of the classifier; the count
says 75 more, the fixed kernel that blurs.
"""
from __future__ import annotations

import numpy as np

from models.layers import mul
from models.writer import Writer, he_spread

CLASSES = 8
SCALES = 3
MAPS = (16, 64, 256)
LUMA_MAPS = 10
KERNEL, WINDOW = 7, 15
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
TANH_GAIN = 3.0
EPSILON = 1e-3


def _smaller(net: Writer, x: str) -> str:
    """Every second pixel of x blurred with the binomial 5x5 kernel (Burt, Adelson 1983)."""
    c = net.channels[x]
    kernel = net.constant("binomial", np.tile(np.outer(BINOMIAL, BINOMIAL), (c, 1, 1, 1)).astype(np.float32))
    return net.node("Conv", [x, kernel], c, kernel_shape=[5, 5], strides=[2, 2], pads=[2] * 4, group=c)


def _pyramid(net: Writer, x: str) -> list[str]:
    """Details of every scale, and what remains of the image at the last."""
    levels = []
    for _ in range(SCALES - 1):
        below = _smaller(net, x)
        levels.append(net.node("Sub", [x, net.resize_linear(below, 2)], net.channels[x]))
        x = below
    return [*levels, x]


def _local_mean(net: Writer, x: str) -> str:
    """Mean over 15x15 windows, of those pixels that are inside."""
    return net.node("AveragePool", [x], net.channels[x], kernel_shape=[WINDOW] * 2, pads=[WINDOW // 2] * 4, count_include_pad=0)


def _normalise(net: Writer, x: str) -> str:
    """(x - local mean) / sqrt(local variance + epsilon)."""
    c = net.channels[x]
    x = net.node("Sub", [x, _local_mean(net, x)], c)
    variance = net.node("Add", [_local_mean(net, mul(net, x, x)), net.scalar(EPSILON)], c)
    return net.node("Div", [x, net.node("Sqrt", [variance], c)], c)


def _weights(net: Writer) -> dict[str, str]:
    """The filters of the three stages, which every scale uses."""
    shapes = {"luma": (LUMA_MAPS, 1), "chroma": (MAPS[0] - LUMA_MAPS, 2),
              "stage2": (MAPS[1], MAPS[0] // 2), "stage3": (MAPS[2], MAPS[1] // 2)}
    weights = {}
    for name, (oc, ic) in shapes.items():
        weights[f"{name}.weight"] = net.weight(f"{name}.weight", (oc, ic, KERNEL, KERNEL), 0.0, he_spread(ic * KERNEL**2, TANH_GAIN))
        weights[f"{name}.bias"] = net.weight(f"{name}.bias", (oc,), 0.0, 0.1)
    return weights


def _filter(net: Writer, x: str, weights: dict[str, str], name: str, oc: int, group: int) -> str:
    return net.node("Conv", [x, weights[f"{name}.weight"], weights[f"{name}.bias"]], oc, kernel_shape=[KERNEL] * 2, pads=[KERNEL // 2] * 4,
                    group=group)


def _interleave(net: Writer, x: str) -> str:
    """Channels a0 a1 ... b0 b1 ... -> a0 b0 a1 b1 ...: each group of the next stage sees both of this one."""
    c = net.channels[x]
    order = np.arange(c).reshape(2, -1).T.ravel()
    return net.node("Gather", [x, net.constant(f"interleaved_{c}", order)], c, axis=1)


def _features(net: Writer, x: str, weights: dict[str, str]) -> str:
    """(N, 3, H, W) -> (N, 256, H / 4, W / 4)."""
    luma, chroma = net.nodes("Split", [x, net.ints(1, 2)], (1, 2), axis=1)
    x = net.concat([_filter(net, luma, weights, "luma", LUMA_MAPS, 1), _filter(net, chroma, weights, "chroma", MAPS[0] - LUMA_MAPS, 1)])
    x = net.max_pool(net.tanh(x), 2, 2)
    x = _filter(net, _interleave(net, x), weights, "stage2", MAPS[1], 2)
    x = net.max_pool(net.tanh(x), 2, 2)
    return _filter(net, _interleave(net, x), weights, "stage3", MAPS[2], 2)


def farabet(net: Writer, x: str) -> str:
    """(N, 3, H, W) -> (N, 8, H, W), H and W multiples of 16."""
    weights = _weights(net)
    features = []
    for scale, level in enumerate(_pyramid(net, x)):
        y = _features(net, _normalise(net, level), weights)
        features.append(y if scale == 0 else net.resize_linear(y, 2**scale))
    y = net.softmax(net.conv("classifier", net.concat(features), CLASSES, 1, gain=1.0))
    return net.resize_linear(y, 4)
