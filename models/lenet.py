"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.

Input (N, 1, 32, 32).  The paper: 60,000 parameters, 340,908 connections.  Here 61,706 parameters and 416,520 MACs, as in the usual
reimplementation: C3 sees all six maps (the paper's table of connections is sparse), subsampling has no weights, F6 feeds a plain
linear layer instead of radial basis functions.
"""
from __future__ import annotations

from models.writer import Writer


def lenet5(net: Writer, x: str) -> str:
    """(N, 1, 32, 32) -> (N, 10) logits; tanh and average pooling."""
    x = net.tanh(net.conv("conv1", x, 6, 5, gain=1.0))
    x = net.avg_pool(x, 2, 2)
    x = net.tanh(net.conv("conv2", x, 16, 5, gain=1.0))
    x = net.avg_pool(x, 2, 2)
    x = net.tanh(net.conv("conv3", x, 120, 5, gain=1.0))
    x = net.tanh(net.gemm("fc1", net.flatten(x, 120), 84, gain=1.0))
    return net.gemm("fc2", x, 10, gain=1.0)
