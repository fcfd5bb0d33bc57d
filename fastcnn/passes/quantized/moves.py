"""Rewrites operators that move elements, or pick the largest: they give the same result on bytes."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.passes.quantized.bytes import Region, Scale, on_bytes

MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Expand", "Tile", "Identity", "Dropout",
                   "DepthToSpace", "SpaceToDepth", "Split", "Pad", "Resize", "Upsample", "Concat", "MaxPool"})


def is_move(node: Node) -> bool:
    """Whether a node of floats can be one of bytes."""
    if node.op_type not in MOVES or node.domain or node.captures or node.activation is not None:
        return False
    if node.op_type in ("Resize", "Upsample"):
        return node.attrs.get("mode", "nearest") == "nearest" and node.attrs.get("coordinate_transformation_mode") != "tf_crop_and_resize"
    if node.op_type == "MaxPool":
        return not any(node.outputs[1:])
    if node.op_type == "Dropout":
        return not node.input(2) and not any(node.outputs[1:])
    return node.op_type != "Pad" or (node.version >= 11 and node.attrs.get("mode", "constant") in ("constant", "edge", "reflect", "wrap"))


def move(region: Region, node: Node) -> bool:
    """The node on bytes: of a float that is made of bytes, or of signed bytes whose unsigned ones are at hand."""
    if not is_move(node) or (node.op_type == "MaxPool" and region.rank(node.inputs[0]) not in (3, 4)):
        return False
    data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    if all(v in region.unsigned for v in data):
        moved = _filled(region, node, 128)
        return moved is not None and _give(region, moved, {i: region.unsigned[v] for i, v in enumerate(data)}, None)
    operands = [region.operand(v) for v in data]
    first = operands[0] if operands else None
    if first is None or all(v.name in region.graph.constants for v in operands if v is not None):
        return False
    if any(other is None or other.at != first.at for other in operands):
        return False
    moved = _filled(region, node, first.at.zero)
    return moved is not None and _give(region, moved, {i: v.name for i, v in enumerate(operands) if v is not None}, first.at)


def _filled(region: Region, node: Node, zero: int) -> Node | None:
    """The node, a Pad with the zero point where it is 0 that it writes; None where it writes something else."""
    if node.op_type != "Pad" or node.attrs.get("mode", "constant") != "constant":
        return node
    given = region.graph.constants.get(node.input(2))
    if node.input(2) and (given is None or given.size != 1 or given.reshape(-1)[0] != 0):
        return None
    filler = region.constant(f"{node.name}/zero", np.array(zero, np.uint8))
    return replace(node, inputs=(node.inputs[0], node.input(1), filler, *node.inputs[3:]))


def _give(region: Region, node: Node, data: dict[int, str], at: Scale | None) -> bool:
    """Appends the node on bytes, and what its outputs stand for: signed bytes, or floats at a scale."""
    names = {v: region.fresh(f"{v}/bytes") for v in node.outputs if v}
    region.put(on_bytes(node, data, [names.get(v, "") for v in node.outputs]), *names)
    for value, name in names.items():
        if at is None:
            region.give(value, "int8", name)
        else:
            region.add("DequantizeBytes", [name], value, value, "float", scale=at.scale, zero=at.zero)
    return True
