"""DeepFace: Taigman, Yang, Ranzato, Wolf, "DeepFace: closing the gap to human-level performance in face verification", CVPR 2014.

Input (N, 3, 152, 152), output (N, 4030) logits.  Two convolutions, three locally connected layers (a filter of its own at every place),
two linear layers: C1 M2 C3 L4 L5 L6 F7 F8.  The paper states "more than 120 million parameters"; its layers have 118,923,774 with 4030
people, and 137,774,071 with the 8631 of VGGFace2 that the open copy github.com/swghosh/DeepFace was trained on (`people=8631`).

The locally connected layers are written as torch exports `unfold` and a product per place: rows and columns gathered, transposed to
(places, N, patch), MatMul with weights (places, patch, oc).
"""
from __future__ import annotations

from math import prod

import numpy as np

from models.layers import extents
from models.vgg_trunk import scaled
from models.writer import Writer, he_spread


def _windows(extent: int, kernel: int, stride: int) -> np.ndarray:
    """(kernel, places): which row tap k of place i is."""
    places = (extent - kernel) // stride + 1
    return (np.arange(kernel)[:, None] + stride * np.arange(places)).astype(np.int64)


def locally_connected(net: Writer, name: str, x: str, oc: int, kernel: int, stride: int = 1) -> str:
    """y[n,o,p] = b[o,p] + sum over the patch at place p of w[p,patch,o] x.  w: (places, ic * kernel^2, oc); b: (oc, rows, columns)."""
    ic = net.channels[x]
    rows, columns = (_windows(extent, kernel, stride) for extent in extents(net, x))
    height, width = rows.shape[1], columns.shape[1]
    patch = ic * kernel * kernel
    y = net.node("Gather", [x, net.constant(f"{name}.rows", rows)], axis=2)                   # (N, ic, k, height, W)
    y = net.node("Gather", [y, net.constant(f"{name}.columns", columns)], axis=4)             # (N, ic, k, height, k, width)
    y = net.node("Transpose", [y], perm=[0, 1, 2, 4, 3, 5])
    y = net.node("Reshape", [y, net.ints(0, patch, height * width)])                          # what torch's unfold gives
    y = net.node("Transpose", [y], perm=[2, 0, 1])
    w = net.weight(f"{name}.weight", (height * width, patch, oc), 0.0, he_spread(patch, 2.0))
    y = net.node("Transpose", [net.node("MatMul", [y, w])], perm=[1, 2, 0])
    y = net.node("Reshape", [y, net.ints(0, oc, height, width)], oc)
    return net.node("Add", [y, net.weight(f"{name}.bias", (oc, height, width), 0.0, 0.1)], oc)


def deepface(net: Writer, x: str, width: float = 1.0, people: int = 4030) -> str:
    """(N, 3, H, W) -> (N, people) logits."""
    x = net.relu(net.conv("c1", x, scaled(32, width), 11))
    x = net.node("MaxPool", [x], net.channels[x], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    x = net.relu(net.conv("c3", x, scaled(16, width), 9))
    x = net.relu(locally_connected(net, "l4", x, scaled(16, width), 9))
    x = net.relu(locally_connected(net, "l5", x, scaled(16, width), 7, stride=2))
    x = net.relu(locally_connected(net, "l6", x, scaled(16, width), 5))
    x = net.flatten(x, net.channels[x] * prod(extents(net, x)))
    x = net.dropout(net.relu(net.gemm("f7", x, scaled(4096, width))), 0.5)
    return net.gemm("f8", x, people, gain=1.0)
