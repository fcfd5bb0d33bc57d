"""ZFNet: Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (arXiv 1311.2901), figure 3.

Input (N, 3, 224, 224).  AlexNet on one GPU with a first layer of 7x7 and stride 2: 110x110x96, then 26x26x256, 13x13x384, 13x13x384 and
13x13x256, two linear layers of 4096.  62,357,608 parameters (table 1.4 of "Computational analysis and deep learning for medical care",
Wiley 2021; the paper gives none).  The contrast normalisation across maps is AlexNet's.
"""
from __future__ import annotations

from models.layers import alexnet_lrn, flatten_maps
from models.writer import Writer


def zfnet(net: Writer, x: str, *, hidden: int = 4096) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits; hidden: channels of the linear layers."""
    x = net.relu(net.conv("conv1", x, 96, 7, stride=2, pad=1))
    x = alexnet_lrn(net, net.max_pool(x, 3, 2, ceil=True))
    x = net.relu(net.conv("conv2", x, 256, 5, stride=2))
    x = alexnet_lrn(net, net.max_pool(x, 3, 2, ceil=True))
    x = net.relu(net.conv("conv3", x, 384, 3, pad=1))
    x = net.relu(net.conv("conv4", x, 384, 3, pad=1))
    x = net.relu(net.conv("conv5", x, 256, 3, pad=1))
    x = flatten_maps(net, net.max_pool(x, 3, 2))
    x = net.dropout(net.relu(net.gemm("fc6", x, hidden)), 0.5)
    x = net.dropout(net.relu(net.gemm("fc7", x, hidden)), 0.5)
    return net.gemm("fc8", x, 1000, gain=1.0)
