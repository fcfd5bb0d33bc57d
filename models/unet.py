"""U-Net: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.

Input (N, 3, 256, 256).  The variant with 32 base channels, same padding and BatchNormalization of Buda, Saha, Mazurowski, "Association of
genomic subtypes of lower-grade gliomas with shape features automatically extracted by a deep learning algorithm", Computers in Biology
and Medicine 2019 (`brain-segmentation-pytorch`): 7,763,041 parameters.  The paper of 2015 has 64 base channels and valid padding.
"""
from __future__ import annotations

from models.writer import Writer

BASE = 32
DEPTH = 4


def _double_conv(net: Writer, prefix: str, x: str, oc: int) -> str:
    """Twice 3x3 -> BN -> ReLU."""
    for i in (1, 2):
        x = net.conv(f"{prefix}.conv{i}", x, oc, 3, pad=1, bias=False)
        x = net.relu(net.batch_norm(f"{prefix}.norm{i}", x))
    return x


def unet(net: Writer, x: str) -> str:
    """(N, 3, 256, 256) -> (N, 1, 256, 256) probabilities."""
    skips = []
    for level in range(DEPTH):
        skips.append(_double_conv(net, f"encoder{level + 1}", x, BASE << level))
        x = net.max_pool(skips[-1], 2, 2)
    x = _double_conv(net, "bottleneck", x, BASE << DEPTH)
    for level in reversed(range(DEPTH)):
        x = net.conv_transpose(f"upconv{level + 1}", x, BASE << level, 2, stride=2)
        x = _double_conv(net, f"decoder{level + 1}", net.concat([x, skips[level]]), BASE << level)
    return net.sigmoid(net.conv("conv", x, 1, 1, gain=1.0))
