"""Neocognitron: Fukushima, "Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition unaffected by shift
in position", Biological Cybernetics 1980.

Input (N, 1, 16, 16), as in the paper's simulation: cells U0 16x16, S1 16x16x24, C1 10x10x24, S2 8x8x24, C2 6x6x24, S3 2x2x24, C3 24, and
connecting areas of 5x5, 2x2 for C3.  Parameters: 29,400 weights a, 72 inhibitory b and 625 fixed c; the paper states no sum.

S-cell   u = r relu((1 + conv(u', a)) / (1 + 2 r / (1 + r) b v) - 1),  v = sqrt(conv(u'^2, c)): shared weights, divided by the inhibition v
C-cell   u = w / (alpha + w),  w = relu((1 + pool(u')) / (1 + mean of pool(u') over the planes) - 1): pool is the L2 norm of each window
c falls off with the distance to the centre and sums to one.  The a that the paper learns are positive; random ones of both signs stand for
them here, so that every cell prefers something else.  The paper adds up the window of a C-cell with weights such as c; the norm is what
later networks made of that.  C1 and C2 see every other S-cell and reach over the border: 5x5 with stride 2.
"""
from __future__ import annotations

import numpy as np

from models.layers import mul
from models.writer import Writer, he_spread

PLANES = 24
SELECTIVITY = (4.0, 1.5, 1.5)  # r of S1, S2, S3
ALPHA = 0.5                    # saturation of the C-cells
GAIN = 8.0                     # variance of the excitation over that of the input
FALL_OFF = 0.9                 # per unit of distance, of the fixed weights c

# (padding of the S-layer; window, stride and padding (begin, end) of the C-layer)
LAYERS = ((2, 5, 2, (3, 4)), (1, 5, 2, (3, 4)), (0, 2, 1, (0, 0)))


def _offset(net: Writer, x: str, value: float) -> str:
    """y = x + value."""
    return net.node("Add", [x, net.scalar(value)], net.channels[x])


def window(planes: int) -> np.ndarray:
    """c: (1, planes, 5, 5), falling off with the distance to the centre, of sum 1."""
    i, j = np.mgrid[-2:3, -2:3]
    c = np.broadcast_to(FALL_OFF ** np.hypot(i, j), (1, planes, 5, 5))
    return (c / c.sum()).astype(np.float32)


def _shunted(net: Writer, excitation: str, inhibition: str) -> str:
    """y = relu((1 + excitation) / (1 + inhibition) - 1)."""
    ratio = net.node("Div", [_offset(net, excitation, 1.0), _offset(net, inhibition, 1.0)], net.channels[excitation])
    return net.relu(_offset(net, ratio, -1.0))


def _simple(net: Writer, name: str, x: str, pad: int, r: float) -> str:
    """S-cells: a excites, b v inhibits."""
    ic = net.channels[x]
    a = net.weight(f"{name}.a_weight", (PLANES, ic, 5, 5), 0.0, he_spread(25 * ic, GAIN))
    b = net.weight(f"{name}.b_weight", (1, PLANES, 1, 1), 0.3, 0.1)
    attributes = {"kernel_shape": [5, 5], "pads": [pad] * 4}
    excitation = net.node("Conv", [x, a], PLANES, name, **attributes)
    c = net.constant(f"c_{ic}", window(ic))
    v = net.node("Sqrt", [net.node("Conv", [mul(net, x, x), c], 1, f"{name}.v", **attributes)], 1)
    inhibition = net.node("Mul", [net.node("Mul", [b, v]), net.scalar(2 * r / (1 + r))], PLANES)
    return mul(net, _shunted(net, excitation, inhibition), net.scalar(r))


def _complex(net: Writer, x: str, kernel: int, stride: int, pads: tuple[int, int]) -> str:
    """C-cells: any S-cell of the window excites, those of all planes together inhibit, and the answer saturates."""
    begin, end = pads
    pooled = net.node("LpPool", [x], net.channels[x], p=2, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[begin, begin, end, end])
    total = net.node("ReduceSum", [pooled, net.ints(1)], 1, keepdims=1)
    w = _shunted(net, pooled, mul(net, total, net.scalar(1 / PLANES)))
    return net.node("Div", [w, _offset(net, w, ALPHA)], net.channels[w])


def neocognitron(net: Writer, x: str) -> str:
    """(N, 1, 16, 16) -> (N, 24): the C-cells of the last layer."""
    for index, ((pad, kernel, stride, pads), r) in enumerate(zip(LAYERS, SELECTIVITY), start=1):
        x = _complex(net, _simple(net, f"s{index}", x, pad, r), kernel, stride, pads)
    return net.flatten(x)
