"""Checks inputs that must be vectors (sizes, starts, pads) or have a fixed number of elements, where rank and sizes are known."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node, Shape

# Operator -> which of its inputs. Not here is what onnxruntime takes with other ranks too and what is read flat: Expand's shape, pads,
# axes, the scales and sizes of Resize.
VECTORS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,), "CenterCropPad": (1,), "Col2Im": (1, 2), "ConstantOfShape": (0,), "Reshape": (1,), "Slice": (1, 2, 3, 4),
    "Split": (1,), "Tile": (1,), "TopK": (1,)}

# Operator -> how many elements which of its inputs have. Steps read so many of them, whatever the tensor's shape.
COUNTS: dict[str, dict[int, int]] = {
    "Clip": {1: 1, 2: 1}, "CumProd": {1: 1}, "CumSum": {1: 1}, "Dropout": {1: 1, 2: 1}, "NonMaxSuppression": {2: 1, 3: 1, 4: 1},
    "OneHot": {1: 1, 2: 2}, "Pad": {2: 1}, "Range": {0: 1, 1: 1, 2: 1}, "TopK": {1: 1}, "Trilu": {1: 1}}

# Operator -> which of its inputs have elements for axes of the first: none where that is a number. No shape waits for those.
OF_AXES: dict[str, tuple[int, ...]] = {
    "Pad": (1, 3), "Slice": (1, 2, 3, 4), "Tile": (1,),
    **{f"Reduce{kind}": (1,) for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")}}

# Operator -> (input, elements that it has for each, of this other input). Without axes a shape does not wait for what there is for each.
PER_ELEMENT: dict[str, tuple[tuple[int, int, int], ...]] = {"Pad": ((1, 2, 3),), "Slice": ((2, 1, 1), (3, 1, 1), (4, 1, 1))}

COUNTED = COUNTS.keys() | OF_AXES.keys() | PER_ELEMENT.keys()


def wrong_count(node: Node, shape_of: Callable[[int], Shape | None]) -> str | None:
    """The error text for an input with more or fewer elements than the tables say; None where no input is known to have."""
    if node.op_type not in COUNTED or node.domain:
        return None
    counts = dict(COUNTS.get(node.op_type, {}))
    if node.op_type in OF_AXES and shape_of(0) == ():
        counts.update(dict.fromkeys(OF_AXES[node.op_type], 0))
    for i, each, other in PER_ELEMENT.get(node.op_type, ()):
        if (count := _count(node, other, shape_of)) is not None:
            counts.setdefault(i, each * count)
    for i, count in counts.items():
        if _count(node, i, shape_of) not in (None, count):
            return f"input {i} ({node.inputs[i]!r}) has shape {list(shape_of(i) or ())}, not {count} element{'s' * (count != 1)}"
    return None


def _count(node: Node, i: int, shape_of: Callable[[int], Shape | None]) -> int | None:
    """Elements of an input; None where it is not given or they are not known."""
    shape = shape_of(i) if node.input(i) else None
    sizes = [size for size in shape or () if isinstance(size, int)]
    return prod(sizes) if shape is not None and len(sizes) == len(shape) else None


def check_vectors(node: Node, ranks: Sequence[int | None]) -> None:
    """Raises ModelError naming the node and the input where a list has no axis, or several.

    ranks  of the inputs, None where unknown
    """
    for i in VECTORS.get(node.op_type, ()) if not node.domain else ():
        rank = ranks[i] if i < len(ranks) else None
        if rank is not None and rank != 1:
            raise ModelError(f"{node.where()}: input {i} ({node.inputs[i]!r}) has to be of one axis, it has {rank}")
