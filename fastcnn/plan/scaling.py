"""A Mul by one number per channel taken into the 1x1 Conv after it: squeeze-and-excitation scales weights instead of a whole map."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fastcnn.fusions.scaled_conv import SCALE, ScaledConv
from fastcnn.ir.spec import Args
from fastcnn.plan.bind import BoundNode
from fastcnn.plan.pointwise import is_pointwise

SCALED_CONV = ScaledConv()
# The weights are read and written once more, C*M numbers, instead of the map, C*H*W: worth it up to this many times the pixels.
MOST_OUTPUTS_A_PIXEL = 2


def fold_scales(nodes: Sequence[BoundNode], outputs: Sequence[str]) -> list[BoundNode]:
    """The nodes of a stage with every Mul by (N, C, 1, 1) that only a dense 1x1 Conv reads taken into that Conv."""
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    folded: dict[int, BoundNode] = {}
    gone: set[int] = set()
    for b in nodes:
        mul = makers.get(b.node.input(0))
        if mul is None or readers[b.node.input(0)] != 1 or b.node.input(0) in outputs:
            continue
        operands = _scaled(mul)
        if operands is not None and _takes_scale(b):
            folded[id(b)] = _with_scale(b, mul, *operands)
            gone.add(id(mul))
    return [folded.get(id(b), b) for b in nodes if id(b) not in gone]


def _scaled(b: BoundNode) -> tuple[int, int] | None:
    """Which input of a Mul is the map (N, C, H, W) and which the scale (N, C, 1, 1)."""
    if b.op is None or b.node.op_type != "Mul" or b.node.domain or b.node.activation is not None or None in b.args.specs:
        return None
    shapes = [b.args.spec(i).shape for i in (0, 1)]
    for x, scale in ((0, 1), (1, 0)):
        if len(shapes[x]) == 4 and shapes[scale] == (*shapes[x][:2], 1, 1) != shapes[x] and b.args.values[scale] is None:
            return x, scale
    return None


def _takes_scale(b: BoundNode) -> bool:
    if not is_pointwise(b):
        return False
    (_, _, height, width), outputs = b.args.spec(0).shape, b.args.spec(1).shape[0]
    return outputs <= MOST_OUTPUTS_A_PIXEL * height * width


def _with_scale(conv: BoundNode, mul: BoundNode, x: int, scale: int) -> BoundNode:
    names = (mul.node.input(x), *(conv.node.input(i) for i in range(1, SCALE)), mul.node.input(scale))
    kept = range(1, min(SCALE, len(conv.args.specs)))
    missing = (None,) * (SCALE - 1 - len(kept))
    specs = (mul.args.specs[x], *(conv.args.specs[i] for i in kept), *missing, mul.args.specs[scale])
    values = (None, *(conv.args.values[i] for i in kept), *missing, None)
    node = replace(conv.node, inputs=names, name=f"{mul.node.name} + {conv.node.name}")
    return BoundNode(node, SCALED_CONV, Args(node, specs, values))
