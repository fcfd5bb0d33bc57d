"""Deformable ResNet: Dai et al., "Deformable convolutional networks", ICCV 2017.

Input (N, 3, 512, 512), output (N, 21, 512, 512) scores.  The paper's feature extractor for segmentation: ResNet whose last stage
strides no more and dilates by 2, its three 3x3 convolutions deformable (DeformConv of opset 19, four offset groups, offsets by a 3x3
convolution dilated as well); then 1x1 to 1024 channels and 1x1 to the classes, 16 times enlarged.  By structure: torchvision's ResNet
without its classifier, 3 x (9 x 512 x 72 + 72) for the offsets, 2,098,176 and 21,525 for the head: 26,623,277 for ResNet-50, 45,615,405
for ResNet-101, MACs likewise by count. Weight names of the ResNet are torchvision's, `conv2_offset` comes beside `conv2`.
"""
from __future__ import annotations

from models.resnet import RESIDUAL_SCALE
from models.vgg_trunk import scaled
from models.writer import Writer, he_spread

CLASSES = 21
OFFSET_GROUPS = 4
DILATION = 2
OFFSET_SPREAD = 0.02  # of the weights that offsets are made with: they come out around one pixel


def deform_conv(net: Writer, name: str, x: str, oc: int, *, dilation: int, groups: int) -> str:
    """3x3 convolution that samples where another 3x3 convolution of x points: offsets are (N, groups * 9 * 2, H, W), y before x."""
    ic = net.channels[x]
    inputs = [x, net.weight(f"{name}_offset.weight", (groups * 18, ic, 3, 3), 0.0, OFFSET_SPREAD * (512 / ic) ** 0.5),
              net.weight(f"{name}_offset.bias", (groups * 18,), 0.0, 0.5)]
    window = {"kernel_shape": [3, 3], "pads": [dilation] * 4, "dilations": [dilation] * 2}
    offsets = net.node("Conv", inputs, groups * 18, f"{name}_offset", **window)
    w = net.weight(f"{name}.weight", (oc, ic, 3, 3), 0.0, he_spread(9 * ic, 2.0))
    return net.node("DeformConv", [x, w, offsets], oc, name, offset_group=groups, **window)


def _bottleneck(net: Writer, prefix: str, x: str, planes: int, stride: int, deformable: bool) -> str:
    """1x1 -> 3x3, deformable or not -> 1x1 with four times the channels, plus x."""
    y = net.relu(net.batch_norm(f"{prefix}.bn1", net.conv(f"{prefix}.conv1", x, planes, 1, bias=False)))
    if deformable:
        y = deform_conv(net, f"{prefix}.conv2", y, planes, dilation=DILATION, groups=OFFSET_GROUPS)
    else:
        y = net.conv(f"{prefix}.conv2", y, planes, 3, stride=stride, pad=1, bias=False)
    y = net.relu(net.batch_norm(f"{prefix}.bn2", y))
    y = net.batch_norm(f"{prefix}.bn3", net.conv(f"{prefix}.conv3", y, 4 * planes, 1, bias=False), scale=RESIDUAL_SCALE)
    if prefix.endswith(".0"):
        x = net.conv(f"{prefix}.downsample.0", x, 4 * planes, 1, stride=stride, bias=False, gain=1.0)
        x = net.batch_norm(f"{prefix}.downsample.1", x)
    return net.relu(net.add(y, x))


def _deformable_resnet(net: Writer, x: str, repeats: tuple[int, int, int, int], width: float) -> str:
    """(N, 3, H, W) -> (N, 21, H, W), H and W multiples of 16."""
    base = scaled(64, width)
    x = net.relu(net.batch_norm("bn1", net.conv("conv1", x, base, 7, stride=2, pad=3, bias=False)))
    x = net.max_pool(x, 3, 2, pad=1)
    for stage, blocks in enumerate(repeats):
        for i in range(blocks):
            stride = 2 if stage in (1, 2) and i == 0 else 1
            x = _bottleneck(net, f"layer{stage + 1}.{i}", x, base << stage, stride, deformable=stage == 3)
    x = net.relu(net.conv("feat_conv", x, scaled(1024, width), 1))
    return net.resize_linear(net.conv("score", x, CLASSES, 1, gain=1.0), 16)


def deformable_resnet50(net: Writer, x: str, width: float = 1.0) -> str:
    """Bottleneck blocks, 3 4 6 3."""
    return _deformable_resnet(net, x, (3, 4, 6, 3), width)


def deformable_resnet101(net: Writer, x: str, width: float = 1.0) -> str:
    """Bottleneck blocks, 3 4 23 3."""
    return _deformable_resnet(net, x, (3, 4, 23, 3), width)
