"""What the fusions of this room ask of a 1x1 convolution."""
from __future__ import annotations

from fastcnn.plan.bind import BoundNode


def is_pointwise(b: BoundNode, inputs: int = 5) -> bool:
    """A native dense 1x1 Conv of images, weights constant, skipping nothing, with at most so many inputs (4th: residual, 5th: slope)."""
    if b.op is None or b.node.op_type != "Conv" or b.node.domain or len(b.node.inputs) > inputs:
        return False
    if b.args.spec(0).rank != 4 or b.args.values[1] is None or b.args.spec(1).shape[2:] != (1, 1):
        return False
    attrs = b.node.attrs
    return set(attrs.get("strides", ())) <= {1} and set(attrs.get("pads", ())) <= {0} and attrs.get("group", 1) == 1
