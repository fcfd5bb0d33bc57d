"""PNASNet-5: Liu et al., "Progressive neural architecture search", ECCV 2018.

Input (N, 3, 331, 331) for the large one, 86.1 million parameters and 25.0 G MACs in table 5 of the paper; (N, 3, 224, 224) for the mobile
one, 5.1 million and 588 M in table 4.  N = 4, F = 216 and N = 3, F = 54: N cells between reductions, F filters in the first of them; two
reducing stem cells with F / 4 and F / 2 filters as in TF-Slim.  timm counts 86,057,668 parameters for pnasnet5large, whose weight names
are used; padding is TensorFlow's "same", right and bottom first.
"""
from __future__ import annotations

from models.layers import classifier, conv_bn
from models.writer import Writer, he_spread

EPS = 1e-3
END = 2**63 - 1  # of a slice without one
SCALE = 0.3  # of BatchNormalizations that are summed in pairs


def _act_conv_bn(net: Writer, prefix: str, x: str, oc: int, stride: int = 1) -> str:
    """ReLU -> 1x1 -> BatchNormalization."""
    return conv_bn(net, f"{prefix}.conv", f"{prefix}.bn", net.relu(x), oc, 1, stride=stride, eps=EPS)


def _separable(net: Writer, prefix: str, x: str, oc: int, kernel: int, stride: int = 1, *, widen_first: bool = False) -> str:
    """Twice ReLU -> depthwise kernel x kernel -> 1x1 -> BatchNormalization; the first has the stride."""
    channels = (oc if widen_first else net.channels[x], oc)
    for index, (width, step, scale) in enumerate(zip(channels, (stride, 1), (1.0, SCALE)), start=1):
        ic, name = net.channels[x], f"{prefix}.separable_{index}"
        w = net.weight(f"{name}.depthwise_conv2d.weight", (ic, 1, kernel, kernel), 0.0, he_spread(kernel * kernel, 2.0))
        x = net.node("Conv", [net.relu(x), w], ic, f"{name}.depthwise_conv2d", kernel_shape=[kernel] * 2, strides=[step] * 2, group=ic,
                     auto_pad="SAME_UPPER")
        x = conv_bn(net, f"{name}.pointwise_conv2d", f"{prefix}.bn_sep_{index}", x, width, 1, eps=EPS, scale=scale, gain=1.0)
    return x


def _max_pool(net: Writer, x: str, stride: int) -> str:
    """Largest of 3x3."""
    return net.node("MaxPool", [x], net.channels[x], kernel_shape=[3, 3], strides=[stride] * 2, auto_pad="SAME_UPPER")


def factorized_reduction(net: Writer, x: str, paths: tuple[str, str], bn: str, oc: int, eps: float) -> str:
    """ReLU -> every other pixel, and those one down and right of them, through a 1x1 each, side by side -> BatchNormalization."""
    y = net.relu(x)
    shifted = net.node("Slice", [y, net.ints(1, 1), net.ints(END, END), net.ints(2, 3)], net.channels[y])
    shifted = net.node("Pad", [shifted, net.ints(0, 0, 0, 0, 0, 0, 1, 1)], net.channels[y])
    halves = [net.conv(path, z, half, 1, stride=2, bias=False) for path, z, half in zip(paths, (y, shifted), (oc // 2, oc - oc // 2))]
    return net.batch_norm(bn, net.concat(halves), eps=eps)


def _cell(net: Writer, prefix: str, left: str, right: str, oc: int, stride: int, *, shrink_left: bool = False) -> str:
    """Figure 1 on the left: five sums of two, side by side; left and right are the outputs of the last two cells."""
    before = f"{prefix}.conv_prev_1x1"
    if shrink_left:
        left = factorized_reduction(net, left, (f"{before}.path_1.conv", f"{before}.path_2.conv"), f"{before}.final_path_bn", oc, EPS)
    else:
        left = _act_conv_bn(net, before, left, oc)
    right = _act_conv_bn(net, f"{prefix}.conv_1x1", right, oc)
    first = _max_pool(net, left, stride)
    return _combine(net, prefix, left, right, first, oc, stride)


def _combine(net: Writer, prefix: str, left: str, right: str, first: str, oc: int, stride: int, *, stem: bool = False) -> str:
    """The five sums; `first` is the pooled half of sum 0."""
    name = [f"{prefix}.comb_iter_{k}" for k in range(5)]
    pooled = _max_pool(net, right, stride)
    y0 = net.add(_separable(net, f"{name[0]}_left", left, oc, 5, stride, widen_first=stem), first)
    y1 = net.add(_separable(net, f"{name[1]}_left", right, oc, 7, stride), pooled)
    y2 = net.add(_separable(net, f"{name[2]}_left", right, oc, 5, stride), _separable(net, f"{name[2]}_right", right, oc, 3, stride))
    y3 = net.add(_separable(net, f"{name[3]}_left", y2, oc, 3), pooled)
    last = _act_conv_bn(net, f"{name[4]}_right", right, oc, stride) if stride > 1 else right
    y4 = net.add(_separable(net, f"{name[4]}_left", left, oc, 3, stride, widen_first=stem), last)
    return net.concat([y0, y1, y2, y3, y4])


def _first_stem(net: Writer, prefix: str, x: str, oc: int) -> str:
    """The first cell sees one image: as it is on the left, through a 1x1 on the right."""
    right = _act_conv_bn(net, f"{prefix}.conv_1x1", x, oc)
    pooled = _max_pool(net, x, 2)
    first = conv_bn(net, f"{prefix}.comb_iter_0_right.conv", f"{prefix}.comb_iter_0_right.bn", pooled, oc, 1, eps=EPS)
    return _combine(net, prefix, x, right, first, oc, 2, stem=True)


def _pnasnet(net: Writer, x: str, cells: int, filters: int, stem: int) -> str:
    """(N, 3, R, R) -> (N, 1000) logits."""
    before = conv_bn(net, "conv_0.conv", "conv_0.bn", x, stem, 3, stride=2, eps=EPS)
    x = _first_stem(net, "cell_stem_0", before, filters // 4)
    before, x = x, _cell(net, "cell_stem_1", before, x, filters // 2, 2, shrink_left=True)
    shrunk = True  # whether the last cell had a stride: the one before it is twice as large
    for index in range(3 * cells):
        reduces = index > 0 and index % cells == 0
        y = _cell(net, f"cell_{index}", before, x, filters << index // cells, 2 if reduces else 1, shrink_left=shrunk)
        before, x, shrunk = x, y, reduces
    return classifier(net, "last_linear", net.relu(x))


def pnasnet5_mobile(net: Writer, x: str, *, cells: int = 3, filters: int = 54) -> str:
    """N = 3, F = 54, 224x224."""
    return _pnasnet(net, x, cells, filters, 32)


def pnasnet5_large(net: Writer, x: str, *, cells: int = 4, filters: int = 216) -> str:
    """N = 4, F = 216, 331x331."""
    return _pnasnet(net, x, cells, filters, 96)
