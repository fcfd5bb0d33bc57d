"""AmoebaNet-D: Real, Aggarwal, Huang, Le, "Regularized evolution for image classifier architecture search", AAAI 2019, in the form of
GPipe: Huang et al., "GPipe: efficient training of giant neural networks using pipeline parallelism", NeurIPS 2019.

Input (N, 3, 224, 224).  (L, D): L normal cells, in three groups, and D filters.  GPipe's table 1 gives the parameters: (18, 208) 82
million, (18, 416) 318 million, (18, 544) 542 million, (36, 544) 1.05 billion, (72, 512) 1.80 billion; torchgpipe found that a normal cell
must concatenate the states 0, 3, 4, 6, as in Google's TPU code, to give these counts (the paper says 4, 5, 6).
"""
from __future__ import annotations

from models.layers import average, classifier, conv_bn
from models.pnasnet import factorized_reduction
from models.writer import Writer

# Pairs that are summed, each (state, operation); states 0 and 1 are the last two cells, each sum is one more
NORMAL = (
    ((1, "conv_1x1"), (1, "max_pool_3x3")),
    ((1, "none"), (0, "conv_1x7_7x1")),
    ((0, "conv_1x1"), (0, "conv_1x7_7x1")),
    ((2, "max_pool_3x3"), (2, "none")),
    ((1, "avg_pool_3x3"), (5, "conv_1x1")),
)
NORMAL_CONCAT = (0, 3, 4, 6)
REDUCTION = (
    ((0, "max_pool_2x2"), (0, "max_pool_3x3")),
    ((2, "none"), (1, "conv_3x3")),
    ((2, "conv_1x7_7x1"), (2, "max_pool_3x3")),
    ((3, "none"), (1, "max_pool_2x2")),
    ((2, "avg_pool_3x3"), (3, "conv_1x1")),
)
REDUCTION_CONCAT = (4, 5, 6)
EPS = 1e-5
SCALE = 0.35  # of the BatchNormalizations that end an operation: states are sums of up to four others


def _narrow(net: Writer, prefix: str, x: str, kernels: tuple[tuple[tuple[int, int], tuple[int, int]], ...]) -> str:
    """1x1 to a quarter of the channels -> (kernel, stride) each -> 1x1 back; ReLU before every convolution."""
    c = net.channels[x]
    x = conv_bn(net, f"{prefix}.conv0", f"{prefix}.bn0", net.relu(x), c // 4, 1)
    for index, (kernel, stride) in enumerate(kernels, start=1):
        pad = (kernel[0] // 2, kernel[1] // 2)
        x = conv_bn(net, f"{prefix}.conv{index}", f"{prefix}.bn{index}", net.relu(x), c // 4, kernel, stride=stride, pad=pad)
    last = len(kernels) + 1
    return conv_bn(net, f"{prefix}.conv{last}", f"{prefix}.bn{last}", net.relu(x), c, 1, scale=SCALE)


def _operation(net: Writer, prefix: str, x: str, name: str, stride: int) -> str:
    """One operation of the genotype; all keep the channels."""
    if name == "none":
        return x
    if name == "avg_pool_3x3":
        return average(net, x, 3, stride, 1, count_include_pad=False)
    if name.startswith("max_pool"):
        kernel = int(name[-1])
        return net.max_pool(x, kernel, stride, pad=kernel // 2 if kernel % 2 else 0)
    if name == "conv_1x1":
        return conv_bn(net, f"{prefix}.conv", f"{prefix}.bn", net.relu(x), net.channels[x], 1, stride=stride, scale=SCALE)
    if name == "conv_3x3":
        return _narrow(net, prefix, x, (((3, 3), (stride, stride)),))
    return _narrow(net, prefix, x, (((1, 7), (1, stride)), ((7, 1), (stride, 1))))  # conv_1x7_7x1


def _cell(net: Writer, prefix: str, x: str, before: str, channels: int, *, reduces: bool, reduced: bool) -> str:
    """Brings both inputs to `channels`, sums pairs of operations, concatenates; reduced: `before` is twice as large as x."""
    states = [conv_bn(net, f"{prefix}.reduce1.conv", f"{prefix}.reduce1.bn", net.relu(x), channels, 1, scale=SCALE)]
    name = f"{prefix}.reduce2"
    if reduced:
        states.append(factorized_reduction(net, before, (f"{name}.conv1", f"{name}.conv2"), f"{name}.bn", channels, EPS))
    elif net.channels[before] != channels:
        states.append(conv_bn(net, f"{name}.conv", f"{name}.bn", net.relu(before), channels, 1))
    else:
        states.append(before)
    for pair, sides in enumerate(REDUCTION if reduces else NORMAL):
        halves = [_operation(net, f"{prefix}.operations.{2 * pair + side}", states[state], operation, 2 if reduces and state < 2 else 1)
                  for side, (state, operation) in enumerate(sides)]
        states.append(net.add(*halves))
    return net.concat([states[k] for k in (REDUCTION_CONCAT if reduces else NORMAL_CONCAT)])


def amoebanet_d(net: Writer, x: str, *, layers: int = 18, filters: int = 208) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; layers: a multiple of 3, filters: a multiple of 16."""
    if layers % 3 or filters % 16:
        raise ValueError(f"amoebanet_d: layers={layers}, filters={filters} not supported (multiples of 3 and 16)")
    channels = filters // 4
    x = before = conv_bn(net, "stem1.conv", "stem1.bn", x, channels, 3, stride=2, pad=1)
    group = ["normal"] * (layers // 3)
    kinds = ["reduction", "reduction", *group, "reduction", *group, "reduction", *group]
    reduced = False
    for index, kind in enumerate(kinds):
        reduces = kind == "reduction"
        channels *= 2 if reduces else 1
        y = _cell(net, f"cell{index}_{kind}", x, before, channels, reduces=reduces, reduced=reduced)
        before, x, reduced = x, y, reduces
    return classifier(net, "classify.fc", x)


def amoebanet_d_18_208(net: Writer, x: str, **sizes: int) -> str:
    """L = 18, D = 208: the largest that one accelerator held without GPipe."""
    return amoebanet_d(net, x, **{"layers": 18, "filters": 208, **sizes})


def amoebanet_d_18_416(net: Writer, x: str, **sizes: int) -> str:
    """L = 18, D = 416: one accelerator with GPipe's recomputation."""
    return amoebanet_d(net, x, **{"layers": 18, "filters": 416, **sizes})
