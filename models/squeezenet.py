"""SqueezeNet 1.1: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", arXiv 1602.07360.

Input (N, 3, 224, 224).  Version 1.1 is the authors' later release with 2.4x less computation than the paper's 1.0.  Parameters and MACs
as torchvision gives them: 1,235,496 and 0.349 G.  Weight names are torchvision's.
"""
from __future__ import annotations

from models.writer import Writer

# torchvision's index in `features`: (squeeze, expand) channels of a fire module, or None for a pool
LAYERS: dict[int, tuple[int, int] | None] = {
    2: None,
    3: (16, 64), 4: (16, 64),
    5: None,
    6: (32, 128), 7: (32, 128),
    8: None,
    9: (48, 192), 10: (48, 192), 11: (64, 256), 12: (64, 256),
}


def _fire(net: Writer, prefix: str, x: str, squeeze: int, expand: int) -> str:
    """1x1 squeeze, then 1x1 and 3x3 expand side by side."""
    x = net.relu(net.conv(f"{prefix}.squeeze", x, squeeze, 1))
    narrow = net.relu(net.conv(f"{prefix}.expand1x1", x, expand, 1))
    wide = net.relu(net.conv(f"{prefix}.expand3x3", x, expand, 3, pad=1))
    return net.concat([narrow, wide])


def squeezenet1_1(net: Writer, x: str) -> str:
    """(N, 3, 224, 224) -> (N, 1000) logits, after a ReLU as published."""
    x = net.relu(net.conv("features.0", x, 64, 3, stride=2))
    for index, fire in LAYERS.items():
        x = _fire(net, f"features.{index}", x, *fire) if fire else net.max_pool(x, 3, 2, ceil=True)
    x = net.relu(net.conv("classifier.1", net.dropout(x, 0.5), 1000, 1))
    return net.flatten(net.global_avg_pool(x))
