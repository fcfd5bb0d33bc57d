"""ESPCN x3: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural network",
CVPR 2016.

Input (N, 1, 360, 640) luminance, output (N, 1, 1080, 1920), the paper's full-HD case.  Layers as in its section 3.2: (f1, n1) = (5, 64),
(f2, n2) = (3, 32), f3 = 3, tanh, then the sub-pixel shuffle.  22,729 parameters and 5.21 G MACs by count; the paper states neither.
"""
from __future__ import annotations

from models.writer import Writer

SCALE = 3


def espcn(net: Writer, x: str) -> str:
    """(N, 1, H, W) -> (N, 1, 3 H, 3 W)."""
    x = net.tanh(net.conv("conv1", x, 64, 5, pad=2, gain=1.0))
    x = net.tanh(net.conv("conv2", x, 32, 3, pad=1, gain=1.0))
    x = net.conv("conv3", x, SCALE**2, 3, pad=1, gain=1.0)
    return net.depth_to_space(x, SCALE)
