"""Multi-scale context by dilated convolutions: Yu, Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016.

context_basic, context_large: input (N, 21, 64, 64) class scores, output the same; table 1 of the paper: dilations 1 1 2 4 8 16 1, then
1x1, with C channels in every layer, or 2C 2C 4C 8C 16C 32C 32C C.  The paper states 64 C^2 parameters for the basic module; here 64 C^2
+ 8 C with the biases: 28,392 for 21 classes.  Of the large one it gives the channels: 15,422 C^2 + 97 C, 6,803,139.

dilation8: input (N, 3, 900, 900), output (N, 21, 66, 66) probabilities: the authors' network for Pascal VOC (github.com/fyu/dilation):
VGG-16 without padding and without its last two poolings, dilation 2 in its fifth stage and 4 in fc6, then the large module, padded by
33 once.  141,149,720 parameters by structure.
"""
from __future__ import annotations

from models.vgg_trunk import scaled, vgg_stage
from models.writer import Writer

CLASSES = 21
DILATIONS = (1, 1, 2, 4, 8, 16, 1)
BASIC = (1, 1, 1, 1, 1, 1, 1)
LARGE = (2, 2, 4, 8, 16, 32, 32)
PROBABILITY_GAIN = 30.0  # of the scores before softmax: a probability that stands out
MARGIN = 33  # pixels that a context module consumes on each side


def _context(net: Writer, x: str, multiples: tuple[int, ...], *, gain: float = 1.0, pad_once: bool = False) -> str:
    """Seven dilated 3x3 convolutions with ReLU, then 1x1; padded in every layer, or once for all."""
    c = net.channels[x]
    for i, (dilation, multiple) in enumerate(zip(DILATIONS, multiples)):
        pad = (MARGIN if i == 0 else 0) if pad_once else dilation
        x = net.relu(net.conv(f"context{i + 1}", x, multiple * c, 3, pad=pad, dilation=dilation))
    return net.conv("context8", x, c, 1, gain=gain)


def context_basic(net: Writer, x: str) -> str:
    """(N, C, H, W) -> (N, C, H, W), C channels throughout."""
    return _context(net, x, BASIC)


def context_large(net: Writer, x: str) -> str:
    """(N, C, H, W) -> (N, C, H, W), up to 32 C channels inside."""
    return _context(net, x, LARGE)


def dilation8(net: Writer, x: str, width: float = 1.0) -> str:
    """(N, 3, H, W) -> (N, 21, H', W'), H' = H / 8 - 46.5."""
    for stage in range(3):
        x = net.max_pool(vgg_stage(net, x, stage, width=width, pad=0), 2, 2)
    x = vgg_stage(net, x, 3, width=width, pad=0)
    x = vgg_stage(net, x, 4, width=width, pad=0, dilation=2)
    x = net.dropout(net.relu(net.conv("fc6", x, scaled(4096, width), 7, dilation=4)), 0.5)
    x = net.dropout(net.relu(net.conv("fc7", x, scaled(4096, width), 1)), 0.5)
    x = net.conv("final", x, CLASSES, 1, gain=1.0)
    return net.softmax(_context(net, x, LARGE, gain=PROBABILITY_GAIN, pad_once=True))
