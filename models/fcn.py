"""FCN: Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015.

fcn32s, fcn16s, fcn8s: input (N, 3, 500, 500), output (N, 21, 500, 500) scores; the authors' networks on VGG-16
(github.com/shelhamer/fcn.berkeleyvision.org): padding 100 before the first convolution, fully connected layers as convolutions of 7x7
and 1x1, scores of earlier stages cropped and added, transposed convolutions without bias.  The paper states 134 M parameters; by
structure 134,346,581 without the scores of earlier stages and the transposed convolutions that start as bilinear interpolation, and
136,152,917, 134,815,994 and 134,489,759 with them, which are the figures here.

fcn_resnet50: input (N, 3, 520, 520), torchvision's network with its weight names: 35,322,218 parameters and 152.717 G MACs with the
auxiliary head (`aux=True`, a second output), which only training needs; 32,957,013 without.
"""
from __future__ import annotations

from models.resnet import RESIDUAL_SCALE
from models.vgg_trunk import scaled, vgg_stage
from models.writer import Writer, he_spread

CLASSES = 21
BORDER = 100
CROPS = {"score_pool4": 5, "score_pool3": 9}  # pixels of the finer map before the first of the coarser one
LAST_CROP = {32: 19, 16: 27, 8: 31}


def _crop(net: Writer, x: str, offset: int, extents: list[int]) -> str:
    """x[:, :, offset : offset + extent, ...] along both axes of the image."""
    ends = [offset + extent for extent in extents]
    return net.node("Slice", [x, net.ints(offset, offset), net.ints(*ends), net.ints(2, 3)], net.channels[x])


def _upsample(net: Writer, name: str, x: str, kernel: int, stride: int) -> str:
    """Transposed convolution between all 21 classes, without bias."""
    w = net.weight(f"{name}.weight", (CLASSES, CLASSES, kernel, kernel), 0.0, he_spread(CLASSES * (kernel // stride) ** 2, 1.0))
    return net.node("ConvTranspose", [x, w], CLASSES, name, kernel_shape=[kernel] * 2, strides=[stride] * 2)


def _fcn(net: Writer, x: str, stride: int, width: float) -> str:
    image = net.extents()
    extents = [extent + 2 * BORDER - 2 for extent in image]
    pools = []
    for stage in range(5):
        x = vgg_stage(net, x, stage, width=width, first_pad=BORDER if stage == 0 else None)
        x = net.max_pool(x, 2, 2, ceil=True)
        extents = [(extent + 1) // 2 for extent in extents]
        pools.append(x)
    x = net.dropout(net.relu(net.conv("fc6", x, scaled(4096, width), 7)), 0.5)
    x = net.dropout(net.relu(net.conv("fc7", x, scaled(4096, width), 1)), 0.5)
    x = net.conv("score_fr", x, CLASSES, 1, gain=1.0)
    extents = [extent - 6 for extent in extents]
    scale = 32
    for pool, name in ((3, "score_pool4"), (2, "score_pool3")):
        if scale > stride:
            x = _upsample(net, "upscore2" if pool == 3 else "upscore_pool4", x, 4, 2)
            extents = [2 * extent + 2 for extent in extents]
            finer = net.conv(name, pools[pool], CLASSES, 1, gain=1.0)
            x = net.add(x, _crop(net, finer, CROPS[name], extents))
            scale //= 2
    x = _upsample(net, "upscore" if stride == 32 else f"upscore{stride}", x, 2 * stride, stride)
    return _crop(net, x, LAST_CROP[stride], image)


def fcn32s(net: Writer, x: str, width: float = 1.0) -> str:
    """Scores of the last stage enlarged 32 times."""
    return _fcn(net, x, 32, width)


def fcn16s(net: Writer, x: str, width: float = 1.0) -> str:
    """Scores of the last two stages, enlarged 16 times."""
    return _fcn(net, x, 16, width)


def fcn8s(net: Writer, x: str, width: float = 1.0) -> str:
    """Scores of the last three stages, enlarged 8 times."""
    return _fcn(net, x, 8, width)


def _bottleneck(net: Writer, prefix: str, x: str, planes: int, stride: int, dilation: int) -> str:
    """1x1 -> 3x3 -> 1x1 with four times the channels, plus x."""
    y = net.relu(net.batch_norm(f"{prefix}.bn1", net.conv(f"{prefix}.conv1", x, planes, 1, bias=False)))
    y = net.conv(f"{prefix}.conv2", y, planes, 3, stride=stride, pad=dilation, dilation=dilation, bias=False)
    y = net.relu(net.batch_norm(f"{prefix}.bn2", y))
    y = net.batch_norm(f"{prefix}.bn3", net.conv(f"{prefix}.conv3", y, 4 * planes, 1, bias=False), scale=RESIDUAL_SCALE)
    if prefix.endswith(".0"):
        x = net.conv(f"{prefix}.downsample.0", x, 4 * planes, 1, stride=stride, bias=False, gain=1.0)
        x = net.batch_norm(f"{prefix}.downsample.1", x)
    return net.relu(net.add(y, x))


def _head(net: Writer, prefix: str, x: str, inner: int) -> str:
    """3x3 to a quarter of the channels -> 1x1 to the classes -> eight times as large."""
    y = net.relu(net.batch_norm(f"{prefix}.1", net.conv(f"{prefix}.0", x, inner, 3, pad=1, bias=False)))
    return net.resize_linear(net.conv(f"{prefix}.4", net.dropout(y, 0.1), CLASSES, 1, gain=1.0), 8)


def fcn_resnet50(net: Writer, x: str, width: float = 1.0, aux: bool = False) -> str | None:
    """(N, 3, H, W) -> (N, 21, H, W), H and W multiples of 8; the last two stages dilate instead of striding."""
    batch = net.graph.input[0].type.tensor_type.shape.dim[0]
    base = scaled(64, width)
    x = net.relu(net.batch_norm("backbone.bn1", net.conv("backbone.conv1", x, base, 7, stride=2, pad=3, bias=False)))
    x = net.max_pool(x, 3, 2, pad=1)
    stages = []
    for stage, (blocks, first, later) in enumerate(((3, 1, 1), (4, 1, 1), (6, 1, 2), (3, 2, 4))):
        for i in range(blocks):
            stride = 2 if stage == 1 and i == 0 else 1
            x = _bottleneck(net, f"backbone.layer{stage + 1}.{i}", x, base << stage, stride, later if i else first)
        stages.append(x)
    y = _head(net, "classifier", x, 8 * base)
    if not aux:
        return y
    shape = (batch.dim_param or batch.dim_value, CLASSES, *net.extents())
    net.output(y, "y", shape)
    net.output(_head(net, "aux_classifier", stages[2], 4 * base), "aux", shape)
    return None
