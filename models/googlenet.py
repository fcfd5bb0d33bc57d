"""GoogLeNet: Szegedy et al., "Going deeper with convolutions", CVPR 2015 (arXiv 1409.4842), without the auxiliary heads.

Input (N, 3, 224, 224).  6,998,552 parameters in Caffe's bvlc_googlenet without its two auxiliary heads (the paper's table sums to
6.8 million).  The paper says 1.5 billion multiply-adds; here 1.58 billion: its table gives the first convolution 34 M, while 64 filters
of 7x7x3 on 112x112 positions are 118 M.  The LRN constants are Caffe's, the paper gives none.
"""
from __future__ import annotations

from dataclasses import dataclass

from models.writer import Writer


@dataclass(frozen=True)
class Inception:
    """One row of table 1 of the paper: output channels of the four branches and of their reductions."""

    name: str
    c1: int
    reduce3: int
    c3: int
    reduce5: int
    c5: int
    pool: int


STAGES = (
    (Inception("3a", 64, 96, 128, 16, 32, 32),
     Inception("3b", 128, 128, 192, 32, 96, 64)),
    (Inception("4a", 192, 96, 208, 16, 48, 64),
     Inception("4b", 160, 112, 224, 24, 64, 64),
     Inception("4c", 128, 128, 256, 24, 64, 64),
     Inception("4d", 112, 144, 288, 32, 64, 64),
     Inception("4e", 256, 160, 320, 32, 128, 128)),
    (Inception("5a", 256, 160, 320, 32, 128, 128),
     Inception("5b", 384, 192, 384, 48, 128, 128)),
)


def _conv(net: Writer, name: str, x: str, oc: int, kernel: int, stride: int = 1) -> str:
    return net.relu(net.conv(name, x, oc, kernel, stride=stride, pad=kernel // 2))


def _lrn(net: Writer, x: str) -> str:
    return net.lrn(x, size=5, alpha=1e-4, beta=0.75, k=1.0)


def _inception(net: Writer, x: str, m: Inception) -> str:
    """Concat of 1x1, 1x1 -> 3x3, 1x1 -> 5x5 and pool -> 1x1."""
    prefix = f"inception_{m.name}"
    branch1 = _conv(net, f"{prefix}.1x1", x, m.c1, 1)
    branch3 = _conv(net, f"{prefix}.3x3", _conv(net, f"{prefix}.3x3_reduce", x, m.reduce3, 1), m.c3, 3)
    branch5 = _conv(net, f"{prefix}.5x5", _conv(net, f"{prefix}.5x5_reduce", x, m.reduce5, 1), m.c5, 5)
    pooled = _conv(net, f"{prefix}.pool_proj", net.max_pool(x, 3, 1, pad=1), m.pool, 1)
    return net.concat([branch1, branch3, branch5, pooled])


def googlenet(net: Writer, x: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    x = net.max_pool(_conv(net, "conv1", x, 64, 7, stride=2), 3, 2, ceil=True)
    x = _conv(net, "conv2_reduce", _lrn(net, x), 64, 1)
    x = _lrn(net, _conv(net, "conv2", x, 192, 3))
    for stage in STAGES:
        x = net.max_pool(x, 3, 2, ceil=True)
        for module in stage:
            x = _inception(net, x, module)
    x = net.dropout(net.flatten(net.global_avg_pool(x)), 0.4)
    return net.gemm("classifier", x, 1000, gain=1.0)
