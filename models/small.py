"""The small networks of courses and examples.

cs231n_cifar   [conv-relu-conv-relu-pool] x 3 - fc, 3x3 convolutions of 10 channels: the network that runs in the page of Stanford's course
               CS231n, which says "17 layers and 7000 parameters"; here 6,440.  (N, 3, 32, 32).
keras_cifar10  `cifar10_cnn.py` of Keras 2: 1,250,858 parameters.  (N, 3, 32, 32).
keras_mnist    "Simple MNIST convnet" of keras.io: 34,826 parameters.  (N, 1, 28, 28).
mnist_cnn      `mnist_cnn.py` of Keras 2: 1,199,882 parameters.  (N, 1, 28, 28).
All end in logits; images are (N, C, H, W), so that flattened features have another order than Keras'.
"""
from __future__ import annotations

from models.layers import flatten_maps
from models.writer import Writer

CLASSES = 10


def _conv(net: Writer, name: str, x: str, oc: int, pad: int = 0) -> str:
    """3x3 -> ReLU."""
    return net.relu(net.conv(name, x, oc, 3, pad=pad))


def cs231n_cifar(net: Writer, x: str) -> str:
    """Six convolutions of 10 channels, one linear layer."""
    for stage in range(3):
        for layer in range(2):
            x = _conv(net, f"conv{2 * stage + layer + 1}", x, 10, pad=1)
        x = net.max_pool(x, 2, 2)
    return net.gemm("fc", flatten_maps(net, x), CLASSES, gain=1.0)


def keras_cifar10(net: Writer, x: str) -> str:
    """32, 32, pool, 64, 64, pool, 512."""
    for stage, channels in enumerate((32, 64), start=1):
        x = _conv(net, f"conv{stage}a", x, channels, pad=1)
        x = net.dropout(net.max_pool(_conv(net, f"conv{stage}b", x, channels), 2, 2), 0.25)
    x = net.dropout(net.relu(net.gemm("fc1", flatten_maps(net, x), 512)), 0.5)
    return net.gemm("fc2", x, CLASSES, gain=1.0)


def keras_mnist(net: Writer, x: str) -> str:
    """32, pool, 64, pool."""
    for index, channels in enumerate((32, 64), start=1):
        x = net.max_pool(_conv(net, f"conv{index}", x, channels), 2, 2)
    return net.gemm("fc", net.dropout(flatten_maps(net, x), 0.5), CLASSES, gain=1.0)


def mnist_cnn(net: Writer, x: str) -> str:
    """32, 64, pool, 128."""
    x = net.max_pool(_conv(net, "conv2", _conv(net, "conv1", x, 32), 64), 2, 2)
    x = net.relu(net.gemm("fc1", flatten_maps(net, net.dropout(x, 0.25)), 128))
    return net.gemm("fc2", net.dropout(x, 0.5), CLASSES, gain=1.0)
