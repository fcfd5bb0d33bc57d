"""Inception-v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for computer vision", CVPR 2016.

Input (N, 3, 299, 299).  torchvision: 27,161,264 parameters with the auxiliary head, 23,834,568 without, 5.713 G MACs without.
Weight names are torchvision's.
"""
from __future__ import annotations

from models.layers import average, classifier, conv_bn
from models.writer import Extent, Writer

EPS = 1e-3


def _conv(net: Writer, name: str, x: str, oc: int, kernel: Extent, *, stride: int = 1, pad: Extent = 0) -> str:
    """Convolution, BatchNormalization, ReLU."""
    return net.relu(conv_bn(net, f"{name}.conv", f"{name}.bn", x, oc, kernel, stride=stride, pad=pad, eps=EPS))


def _row(net: Writer, name: str, x: str, oc: int) -> str:
    """1x7."""
    return _conv(net, name, x, oc, (1, 7), pad=(0, 3))


def _column(net: Writer, name: str, x: str, oc: int) -> str:
    """7x1."""
    return _conv(net, name, x, oc, (7, 1), pad=(3, 0))


def _pooled(net: Writer, prefix: str, x: str, oc: int) -> str:
    """Average of 3x3, zeros around the image included, -> 1x1."""
    return _conv(net, f"{prefix}.branch_pool", average(net, x, 3, 1, 1, count_include_pad=True), oc, 1)


def _block_a(net: Writer, prefix: str, x: str, pool: int) -> str:
    """Figure 5: 1x1; 1x1 -> 5x5; 1x1 -> 3x3 -> 3x3; pool -> 1x1."""
    y1 = _conv(net, f"{prefix}.branch1x1", x, 64, 1)
    y5 = _conv(net, f"{prefix}.branch5x5_2", _conv(net, f"{prefix}.branch5x5_1", x, 48, 1), 64, 5, pad=2)
    y3 = _conv(net, f"{prefix}.branch3x3dbl_2", _conv(net, f"{prefix}.branch3x3dbl_1", x, 64, 1), 96, 3, pad=1)
    y3 = _conv(net, f"{prefix}.branch3x3dbl_3", y3, 96, 3, pad=1)
    return net.concat([y1, y5, y3, _pooled(net, prefix, x, pool)])


def _shrink_a(net: Writer, prefix: str, x: str) -> str:
    """Figure 10, 35 -> 17: 3x3; 1x1 -> 3x3 -> 3x3; max pool."""
    y3 = _conv(net, f"{prefix}.branch3x3", x, 384, 3, stride=2)
    y = _conv(net, f"{prefix}.branch3x3dbl_2", _conv(net, f"{prefix}.branch3x3dbl_1", x, 64, 1), 96, 3, pad=1)
    y = _conv(net, f"{prefix}.branch3x3dbl_3", y, 96, 3, stride=2)
    return net.concat([y3, y, net.max_pool(x, 3, 2)])


def _block_b(net: Writer, prefix: str, x: str, inner: int) -> str:
    """Figure 6: 1x1; 1x1 -> 1x7 -> 7x1; 1x1 -> twice 7x1 -> 1x7; pool -> 1x1."""
    y1 = _conv(net, f"{prefix}.branch1x1", x, 192, 1)
    y7 = _row(net, f"{prefix}.branch7x7_2", _conv(net, f"{prefix}.branch7x7_1", x, inner, 1), inner)
    y7 = _column(net, f"{prefix}.branch7x7_3", y7, 192)
    y = _column(net, f"{prefix}.branch7x7dbl_2", _conv(net, f"{prefix}.branch7x7dbl_1", x, inner, 1), inner)
    y = _column(net, f"{prefix}.branch7x7dbl_4", _row(net, f"{prefix}.branch7x7dbl_3", y, inner), inner)
    y = _row(net, f"{prefix}.branch7x7dbl_5", y, 192)
    return net.concat([y1, y7, y, _pooled(net, prefix, x, 192)])


def _shrink_b(net: Writer, prefix: str, x: str) -> str:
    """17 -> 8: 1x1 -> 3x3; 1x1 -> 1x7 -> 7x1 -> 3x3; max pool."""
    y3 = _conv(net, f"{prefix}.branch3x3_2", _conv(net, f"{prefix}.branch3x3_1", x, 192, 1), 320, 3, stride=2)
    y7 = _row(net, f"{prefix}.branch7x7x3_2", _conv(net, f"{prefix}.branch7x7x3_1", x, 192, 1), 192)
    y7 = _column(net, f"{prefix}.branch7x7x3_3", y7, 192)
    y7 = _conv(net, f"{prefix}.branch7x7x3_4", y7, 192, 3, stride=2)
    return net.concat([y3, y7, net.max_pool(x, 3, 2)])


def _cross(net: Writer, prefix: str, x: str) -> str:
    """1x3 beside 3x1."""
    return net.concat([_conv(net, f"{prefix}a", x, 384, (1, 3), pad=(0, 1)), _conv(net, f"{prefix}b", x, 384, (3, 1), pad=(1, 0))])


def _block_c(net: Writer, prefix: str, x: str) -> str:
    """Figure 7: 1x1; 1x1 -> 1x3 beside 3x1; 1x1 -> 3x3 -> 1x3 beside 3x1; pool -> 1x1."""
    y1 = _conv(net, f"{prefix}.branch1x1", x, 320, 1)
    y3 = _cross(net, f"{prefix}.branch3x3_2", _conv(net, f"{prefix}.branch3x3_1", x, 384, 1))
    y = _conv(net, f"{prefix}.branch3x3dbl_2", _conv(net, f"{prefix}.branch3x3dbl_1", x, 448, 1), 384, 3, pad=1)
    y = _cross(net, f"{prefix}.branch3x3dbl_3", y)
    return net.concat([y1, y3, y, _pooled(net, prefix, x, 192)])


def _auxiliary(net: Writer, x: str) -> str:
    """Figure 8: the head on the 17x17 maps."""
    y = _conv(net, "AuxLogits.conv0", net.avg_pool(x, 5, 3), 128, 1)
    return classifier(net, "AuxLogits.fc", _conv(net, "AuxLogits.conv1", y, 768, 5))


def _inception_v3(net: Writer, x: str) -> tuple[str, str]:
    """(N, 3, 299, 299) -> (N, 2048, 8, 8) maps at the end, (N, 768, 17, 17) maps for the auxiliary head."""
    x = _conv(net, "Conv2d_1a_3x3", x, 32, 3, stride=2)
    x = _conv(net, "Conv2d_2a_3x3", x, 32, 3)
    x = net.max_pool(_conv(net, "Conv2d_2b_3x3", x, 64, 3, pad=1), 3, 2)
    x = _conv(net, "Conv2d_3b_1x1", x, 80, 1)
    x = net.max_pool(_conv(net, "Conv2d_4a_3x3", x, 192, 3), 3, 2)
    for name, pool in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = _block_a(net, name, x, pool)
    x = _shrink_a(net, "Mixed_6a", x)
    for name, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = _block_b(net, name, x, inner)
    y = _shrink_b(net, "Mixed_7a", x)
    return _block_c(net, "Mixed_7c", _block_c(net, "Mixed_7b", y)), x


def _head(net: Writer, x: str) -> str:
    x = net.dropout(net.flatten(net.global_avg_pool(x)), 0.5)
    return net.gemm("fc", x, 1000, gain=1.0)


def inception_v3(net: Writer, x: str) -> str:
    """(N, 3, 299, 299) -> (N, 1000) logits."""
    return _head(net, _inception_v3(net, x)[0])


def inception_v3_aux(net: Writer, x: str) -> None:
    """(N, 3, 299, 299) -> outputs "y" and "auxiliary", (N, 1000) logits each: as in training."""
    last, middle = _inception_v3(net, x)
    batch = net.graph.input[0].type.tensor_type.shape.dim[0]
    dims = [batch.dim_param or batch.dim_value, 1000]
    net.output(_head(net, last), "y", dims)
    net.output(_auxiliary(net, middle), "auxiliary", dims)
