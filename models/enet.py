"""ENet: Paszke, Chaurasia, Kim, Culurciello, "ENet: a deep neural network architecture for real-time semantic segmentation", 2016
(arXiv 1606.02147).

Input (N, 3, 360, 640), output (N, 20, 360, 640) logits (Cityscapes with its unlabelled class).  Layers as in the authors' release
(github.com/e-lab/ENet-training): max pooling whose indices come back in MaxUnpool, dilated and asymmetric 5x1 and 1x5 convolutions,
PReLU per channel in the encoder and ReLU in the decoder, BatchNormalization with epsilon 1e-3.  The paper states 0.37 M parameters and
3.83 GFLOPs for 640x360.  Here 364,376 learnt ones, 372,728 with the running statistics; and 1.73 G multiply-adds, 3.45 GFLOPs at two
each (the paper does not say how it counts: as if every output of a transposed convolution saw the whole kernel it would be 3.96).
"""
from __future__ import annotations

from models.writer import Writer

CLASSES = 20
EPSILON = 1e-3
RESIDUAL_SCALE = 0.3  # of the last BatchNormalization of a branch: sums over up to 16 blocks stay of order one
STAGE = ("regular", "dilated 2", "asymmetric 5", "dilated 4", "regular", "dilated 8", "asymmetric 5", "dilated 16")


def _norm(net: Writer, name: str, x: str, scale: float = 1.0) -> str:
    return net.batch_norm(f"{name}.bn", x, scale=scale, eps=EPSILON)


def _prelu(net: Writer, name: str, x: str) -> str:
    """y = x where x > 0, else slope[c] x."""
    c = net.channels[x]
    return net.node("PRelu", [x, net.weight(f"{name}.prelu", (c, 1, 1), 0.25, 0.1)], c)


def _middle(net: Writer, name: str, x: str, kind: str) -> str:
    """The convolution in the middle of a bottleneck, with as many channels out as in."""
    c = net.channels[x]
    what, _, value = kind.partition(" ")
    if what == "asymmetric":
        k, pad = int(value), int(value) // 2
        x = net.conv(f"{name}.conv2_column", x, c, (1, k), pad=(0, pad), bias=False, gain=1.0)
        return net.conv(f"{name}.conv2", x, c, (k, 1), pad=(pad, 0), gain=1.0)
    dilation = int(value or 1)
    return net.conv(f"{name}.conv2", x, c, 3, pad=dilation, dilation=dilation)


def _bottleneck(net: Writer, name: str, x: str, kind: str) -> str:
    """x + 1x1 -> middle -> 1x1 of a quarter of the channels, then PReLU."""
    c = net.channels[x]
    y = net.conv(f"{name}.conv1", x, c // 4, 1, bias=False)
    y = _prelu(net, f"{name}.1", _norm(net, f"{name}.1", y))
    y = _prelu(net, f"{name}.2", _norm(net, f"{name}.2", _middle(net, name, y, kind)))
    y = net.dropout(_norm(net, f"{name}.3", net.conv(f"{name}.conv3", y, c, 1, bias=False), RESIDUAL_SCALE), 0.1)
    return _prelu(net, name, net.add(y, x))


def _downsample(net: Writer, name: str, x: str, oc: int) -> tuple[str, str]:
    """Max pooling filled up with channels of zeros + 2x2 stride 2 -> 3x3 -> 1x1; returns the sum and the indices of the pooling."""
    ic = net.channels[x]
    y = net.conv(f"{name}.conv1", x, oc // 4, 2, stride=2, bias=False)
    y = _prelu(net, f"{name}.1", _norm(net, f"{name}.1", y))
    y = _prelu(net, f"{name}.2", _norm(net, f"{name}.2", _middle(net, name, y, "regular")))
    y = net.dropout(_norm(net, f"{name}.3", net.conv(f"{name}.conv3", y, oc, 1, bias=False), RESIDUAL_SCALE), 0.1)
    pooled, indices = net.nodes("MaxPool", [x], (ic, ic), f"{name}.pool", kernel_shape=[2, 2], strides=[2, 2])
    filled = net.node("Pad", [pooled, net.ints(0, 0, 0, 0, 0, oc - ic, 0, 0)], oc)
    return _prelu(net, name, net.add(y, filled)), indices


def _decode(net: Writer, name: str, x: str, oc: int, indices: str | None) -> str:
    """A bottleneck with ReLU; with indices it enlarges: a 3x3 transposed convolution beside 1x1 -> MaxUnpool."""
    q = oc // 4
    y = net.relu(_norm(net, f"{name}.1", net.conv(f"{name}.conv1", x, q, 1, bias=False)))
    if indices is None:
        y = net.conv(f"{name}.conv2", y, q, 3, pad=1)
    else:
        inputs = [y, net.weight(f"{name}.conv2.weight", (q, q, 3, 3), 0.0, (6 / (q * 9 / 4)) ** 0.5),
                  net.weight(f"{name}.conv2.bias", (q,), 0.0, 0.1)]
        y = net.node("ConvTranspose", inputs, q, f"{name}.conv2", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                     output_padding=[1, 1])
        x = _norm(net, f"{name}.main", net.conv(f"{name}.main", x, oc, 1, bias=False))
        x = net.node("MaxUnpool", [x, indices], oc, kernel_shape=[2, 2], strides=[2, 2])
    y = net.relu(_norm(net, f"{name}.2", y))
    y = _norm(net, f"{name}.3", net.conv(f"{name}.conv3", y, oc, 1, bias=False), RESIDUAL_SCALE)
    return net.relu(net.add(y, x))


def enet(net: Writer, x: str) -> str:
    """(N, 3, H, W) -> (N, 20, H, W), H and W multiples of 8."""
    first = net.conv("initial.conv", x, 13, 3, stride=2, pad=1)
    x = _prelu(net, "initial", _norm(net, "initial", net.concat([first, net.max_pool(x, 2, 2)])))
    x, fine = _downsample(net, "bottleneck1.0", x, 64)
    for i in range(1, 5):
        x = _bottleneck(net, f"bottleneck1.{i}", x, "regular")
    x, coarse = _downsample(net, "bottleneck2.0", x, 128)
    for stage in (2, 3):
        for i, kind in enumerate(STAGE):
            x = _bottleneck(net, f"bottleneck{stage}.{i + (stage == 2)}", x, kind)
    x = _decode(net, "bottleneck4.0", x, 64, coarse)
    x = _decode(net, "bottleneck4.1", x, 64, None)
    x = _decode(net, "bottleneck4.2", x, 64, None)
    x = _decode(net, "bottleneck5.0", x, 16, fine)
    x = _decode(net, "bottleneck5.1", x, 16, None)
    return net.conv_transpose("fullconv", x, CLASSES, 2, stride=2)
