"""Inputs that are lists of sizes, starts or pads: tensors of one axis, checked where their rank is known."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node

# Operator -> which of its inputs. Not here is what onnxruntime takes with other ranks too and what is read flat: Expand's shape, pads,
# axes, the scales and sizes of Resize.
VECTORS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,), "CenterCropPad": (1,), "Col2Im": (1, 2), "ConstantOfShape": (0,), "Reshape": (1,), "Slice": (1, 2, 3, 4),
    "Split": (1,), "Tile": (1,), "TopK": (1,)}


def check_vectors(node: Node, ranks: Sequence[int | None]) -> None:
    """Raises ModelError naming the node and the input where a list has no axis, or several.

    ranks  of the inputs, None where unknown
    """
    for i in VECTORS.get(node.op_type, ()) if not node.domain else ():
        rank = ranks[i] if i < len(ranks) else None
        if rank is not None and rank != 1:
            raise ModelError(f"{node.where()}: input {i} ({node.inputs[i]!r}) has to be of one axis, it has {rank}")
