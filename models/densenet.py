"""DenseNet-121: Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", CVPR 2017.

Input (N, 3, 224, 224).  Growth rate 32, bottleneck 4 x 32, compression 0.5.  Parameters and MACs as torchvision gives them: 7,978,856
and 2.834 G.  BatchNormalization comes before the convolutions here, so most of it cannot be folded into them.  Weight names are
torchvision's.
"""
from __future__ import annotations

from models.writer import Writer

GROWTH = 32
LAYERS_PER_BLOCK = (6, 12, 24, 16)


def _dense_layer(net: Writer, prefix: str, features: list[str]) -> str:
    """Concat of all features so far -> BN, ReLU, 1x1 to 128 -> BN, ReLU, 3x3 to 32."""
    x = net.concat(features) if len(features) > 1 else features[0]
    x = net.relu(net.batch_norm(f"{prefix}.norm1", x))
    x = net.conv(f"{prefix}.conv1", x, 4 * GROWTH, 1, bias=False)
    x = net.relu(net.batch_norm(f"{prefix}.norm2", x))
    return net.conv(f"{prefix}.conv2", x, GROWTH, 3, pad=1, bias=False)


def densenet121(net: Writer, x: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    x = net.conv("features.conv0", x, 64, 7, stride=2, pad=3, bias=False)
    x = net.max_pool(net.relu(net.batch_norm("features.norm0", x)), 3, 2, pad=1)
    for block, layers in enumerate(LAYERS_PER_BLOCK, start=1):
        features = [x]
        for layer in range(1, layers + 1):
            features.append(_dense_layer(net, f"features.denseblock{block}.denselayer{layer}", features))
        x = net.concat(features)
        if block < len(LAYERS_PER_BLOCK):
            prefix = f"features.transition{block}"
            x = net.relu(net.batch_norm(f"{prefix}.norm", x))
            x = net.avg_pool(net.conv(f"{prefix}.conv", x, net.channels[x] // 2, 1, bias=False), 2, 2)
    x = net.relu(net.batch_norm("features.norm5", x))
    return net.gemm("classifier", net.flatten(net.global_avg_pool(x)), 1000, gain=1.0)
