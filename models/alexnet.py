"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012.

Input (N, 3, 227, 227) (the paper says 224; 55x55 maps need 227).  The two-GPU network of the paper: groups of two in conv2, conv4 and
conv5, local response normalisation, overlapping pooling.  60 million parameters in the paper, 60,965,224 in Caffe's bvlc_alexnet;
724 M MACs (Sze et al., "Efficient processing of deep neural networks", Proc. IEEE 2017, table II).
"""
from __future__ import annotations

from models.layers import alexnet_lrn, flatten_maps
from models.writer import Writer


def alexnet(net: Writer, x: str, *, hidden: int = 4096) -> str:
    """(N, 3, 227, 227) -> (N, 1000) logits; hidden: channels of the linear layers."""
    x = alexnet_lrn(net, net.relu(net.conv("conv1", x, 96, 11, stride=4)))
    x = net.max_pool(x, 3, 2)
    x = alexnet_lrn(net, net.relu(net.conv("conv2", x, 256, 5, pad=2, group=2)))
    x = net.max_pool(x, 3, 2)
    x = net.relu(net.conv("conv3", x, 384, 3, pad=1))
    x = net.relu(net.conv("conv4", x, 384, 3, pad=1, group=2))
    x = net.relu(net.conv("conv5", x, 256, 3, pad=1, group=2))
    x = flatten_maps(net, net.max_pool(x, 3, 2))
    x = net.dropout(net.relu(net.gemm("fc6", x, hidden)), 0.5)
    x = net.dropout(net.relu(net.gemm("fc7", x, hidden)), 0.5)
    return net.gemm("fc8", x, 1000, gain=1.0)
