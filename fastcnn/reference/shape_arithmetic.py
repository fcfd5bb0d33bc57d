"""The cheap operators exporters compute shapes with, directly in numpy: evaluated for every new input shape.

Each function takes (node, inputs) and returns its outputs, which may be views of the inputs, or None to leave the case
to onnx.reference. Semantics are ONNX's: integer division truncates, sizes follow the opset the node is written in.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node

Inputs = Sequence[Any]
Direct = Callable[[Node, Inputs], "list[np.ndarray] | None"]


def elementwise(ufunc: np.ufunc) -> Direct:
    """y = ufunc(x...) with numpy's broadcasting, which is ONNX's; more than two inputs are folded from the left."""
    def apply(node: Node, inputs: Inputs) -> list[np.ndarray]:
        y = inputs[0] if len(inputs) > 2 or ufunc.nin == 2 else ufunc(inputs[0])
        for x in inputs[1:]:
            y = ufunc(y, x)
        return [y]
    return apply


def divide(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """a / b, of integers truncated toward zero as in C."""
    a, b = inputs
    if a.dtype.kind not in "iu":
        return [np.divide(a, b)]
    if not np.all(b):
        raise ZeroDivisionError("integer division by zero")
    return [(a - np.fmod(a, b)) // b]


def modulo(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """a mod b with the sign of b (fmod=0) or of a (fmod=1)."""
    return [np.fmod(*inputs) if node.attrs.get("fmod", 0) else np.mod(*inputs)]


def cast(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """x as the numeric type `to`; strings, 8-bit floats and smaller go by onnx.reference."""
    dtype = _CAST_TYPES.get(node.attrs["to"])
    if dtype is None or inputs[0].dtype.kind not in "biuf":
        return None
    return [inputs[0].astype(dtype, copy=False)]


# ONNX element type number -> dtype, for casts that are numpy's.
_CAST_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
               10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64}


def shape(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Sizes of x from `start` to `end` (opset 15), as Python slices count."""
    return [np.array(inputs[0].shape[node.attrs.get("start", 0):node.attrs.get("end")], np.int64)]


def size(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Number of elements of x."""
    return [np.array(inputs[0].size, np.int64)]


def gather(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x[..., indices, ...] along `axis`; negative indices count from the end."""
    return [np.take(inputs[0], inputs[1], node.attrs.get("axis", 0))]


def concat(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The inputs one after the other along `axis`."""
    return [np.concatenate(inputs, node.attrs["axis"])]


def _axes(node: Node, inputs: Inputs, since: int) -> tuple[int, ...] | None:
    """`axes`: an attribute before opset `since`, the second input from it on; None when absent."""
    given = inputs[1] if len(inputs) > 1 else None
    axes = node.attrs.get("axes") if node.version < since else given
    return None if axes is None else tuple(int(a) for a in np.ravel(axes))


def unsqueeze(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """New axes of size 1 at `axes` of the result."""
    return [np.expand_dims(inputs[0], _axes(node, inputs, 13) or ())]


def squeeze(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Without the axes of size 1 named, or all of them."""
    return [np.squeeze(inputs[0], _axes(node, inputs, 13))]


def slice_(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x[starts:ends:steps] along `axes`; ends clamp and negative ones count from the end, as in Python."""
    x = inputs[0]
    if node.version < 10:
        starts, ends = node.attrs["starts"], node.attrs["ends"]
        axes, steps = node.attrs.get("axes"), None
    else:
        starts, ends, axes, steps = (*inputs[1:], None, None)[:4]
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps):
        index[int(axis)] = slice(int(start), int(end), int(step))
    return [x[tuple(index)]]


def reshape(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x in another shape: 0 copies a size unless allowzero=1, -1 is what is left."""
    x, target = inputs[0], [int(d) for d in inputs[1]]
    if not node.attrs.get("allowzero", 0):
        target = [x.shape[i] if d == 0 else d for i, d in enumerate(target)]
    return [x.reshape(target)]


def transpose(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Axes in the order `perm`, reversed without it."""
    return [np.transpose(inputs[0], node.attrs.get("perm"))]


def flatten(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The matrix (product of the sizes before `axis`, product of the others)."""
    x, axis = inputs[0], node.attrs.get("axis", 1)
    rows = math.prod(x.shape[:axis])
    return [x.reshape(rows, math.prod(x.shape[axis:]))]


def range_(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """start, start + delta, ... short of limit, in the type of start."""
    start, limit, delta = (np.asarray(v).reshape(()) for v in inputs)
    count = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
    return [(start + np.arange(count, dtype=start.dtype) * delta).astype(start.dtype)]


def constant_of_shape(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """A tensor of one value, float zero by default; all its elements lie in one place."""
    value = node.attrs.get("value", np.zeros(1, np.float32))
    return [np.broadcast_to(value.reshape(()), tuple(int(d) for d in inputs[0]))]


def where(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x where the condition holds, y elsewhere."""
    condition, x, y = inputs
    return [np.asarray(np.where(condition, x, y))]


def power(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x to the power of y, in the type of x."""
    return [np.power(inputs[0], inputs[1]).astype(inputs[0].dtype, copy=False)]


def expand(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x broadcast together with a shape."""
    x, target = inputs[0], [int(d) for d in np.ravel(inputs[1])]
    rank = max(x.ndim, len(target))              # numpy's broadcast_shapes knows 32 axes
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in (x.shape, target)]
    return [np.broadcast_to(x, [a if b == 1 else b for a, b in zip(*padded)])]


def tile(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x repeated repeats[i] times along axis i."""
    return [np.tile(inputs[0], tuple(int(r) for r in inputs[1]))]


def identity(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x."""
    return [inputs[0]]


def lowest(dtype: np.dtype) -> Any:
    """The largest of no numbers: what every number of the type is at least."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else False if dtype.kind == "b" else -np.inf


def highest(dtype: np.dtype) -> Any:
    """The smallest of no numbers."""
    return np.iinfo(dtype).max if dtype.kind in "iu" else True if dtype.kind == "b" else np.inf


def reduction(reduce: Callable[..., np.ndarray], since: int, of_none: Callable[[np.dtype], Any] | None = None) -> Direct:
    """reduce(x) over `axes` (an input from opset `since`), over all without them unless noop_with_empty_axes=1.

    of_none  the result over no elements where numpy has none
    """
    def apply(node: Node, inputs: Inputs) -> list[np.ndarray]:
        x, axes = inputs[0], _axes(node, inputs, since)
        if not axes and node.attrs.get("noop_with_empty_axes", 0):
            return [x]
        kept = bool(node.attrs.get("keepdims", 1))
        start = {"initial": of_none(x.dtype)} if of_none and not x.size else {}
        return [np.asarray(reduce(x, axis=axes or None, keepdims=kept, **start)).astype(x.dtype, copy=False)]
    return apply


SHAPE_ARITHMETIC: dict[str, Direct] = {
    "Abs": elementwise(np.abs),
    "Add": elementwise(np.add),
    "And": elementwise(np.logical_and),
    "Cast": cast,
    "Ceil": elementwise(np.ceil),
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "Div": divide,
    "Equal": elementwise(np.equal),
    "Exp": elementwise(np.exp),
    "Expand": expand,
    "Flatten": flatten,
    "Floor": elementwise(np.floor),
    "Gather": gather,
    "Greater": elementwise(np.greater),
    "GreaterOrEqual": elementwise(np.greater_equal),
    "Identity": identity,
    "Less": elementwise(np.less),
    "LessOrEqual": elementwise(np.less_equal),
    "Max": elementwise(np.maximum),
    "Min": elementwise(np.minimum),
    "Mod": modulo,
    "Mul": elementwise(np.multiply),
    "Neg": elementwise(np.negative),
    "Not": elementwise(np.logical_not),
    "Or": elementwise(np.logical_or),
    "Pow": power,
    "Range": range_,
    "ReduceMax": reduction(np.max, 18, lowest),
    "ReduceMin": reduction(np.min, 18, highest),
    "ReduceProd": reduction(np.prod, 18),
    "ReduceSum": reduction(np.sum, 13),
    "Reshape": reshape,
    "Shape": shape,
    "Size": size,
    "Slice": slice_,
    "Sqrt": elementwise(np.sqrt),
    "Squeeze": squeeze,
    "Sub": elementwise(np.subtract),
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "Where": where,
}
