"""Sizes as expressions of input sizes, where onnx's shape inference only says "unknown".

A size is an int or a string; equal strings are equal sizes: `x.2` is axis 2 of input x, `x.2[+4]` four more,
`(x.2[-1])//2[+1]` what a stride of 2 leaves of it. Enough to see that the two branches of a residual block agree when
height and width are free. Two different strings may still be equal sizes.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from fastcnn.graph import Dim, Graph, Node, Shape

Shapes = dict[str, Shape]
Rule = Callable[[Node, list["Shape | None"], Mapping[str, np.ndarray]], "list[Dim] | None"]

# The end of a slice that goes to the end: what exporters write is the largest int32 or int64.
LONGEST = 2 ** 31 - 1
_OFFSET = re.compile(r"^(.*)\[([+-]\d+)\]$")


def refine(graph: Graph, shapes: Shapes) -> None:
    """Writes expressions over the unknown sizes of `shapes`, node by node."""
    for node in graph.nodes:
        known = shapes.get(node.outputs[0]) if node.outputs[0] else ()
        if known is not None and all(isinstance(d, int) for d in known):
            continue
        found = sizes_of(node, shapes, graph.constants)
        if found is None or (known is not None and len(known) != len(found)):
            continue
        merged = tuple(
            f if not isinstance(k, int) and f is not None else k for f, k in zip(found, known or [None] * len(found))
        )
        if None not in merged:
            shapes[node.outputs[0]] = merged


def sizes_of(node: Node, shapes: Mapping[str, Shape], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """Sizes of a node's first output, None among them where they are not known; None for an operator without a rule."""
    rule = RULES.get(node.op_type) if not node.domain else None
    if rule is None:
        return None
    try:
        return rule(node, [shapes.get(v) for v in node.inputs], constants)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):     # attributes that check.py is about to refuse
        return None


def keeps_shape(node: Node) -> bool:
    """Whether the operator is one whose output has the shape of its first input, whatever the rest."""
    return not node.domain and RULES.get(node.op_type) is _first


def shifted(size: Dim, by: int) -> Dim:
    """size + by."""
    if size is None or isinstance(size, int):
        return None if size is None else size + by
    match = _OFFSET.match(size)
    base, offset = (match[1], int(match[2]) + by) if match else (size, by)
    return f"{base}[{offset:+d}]" if offset else base


def window_count(size: Dim, kernel: int, stride: int, before_and_after: int, ceil_mode: bool) -> Dim:
    """(size + pads - kernel) / stride + 1, rounded down, or up as ceil_mode has it; kernel as dilated."""
    if stride == 1:
        return shifted(size, before_and_after - kernel + 1)
    room = shifted(size, before_and_after - kernel)
    if room is None or isinstance(room, int):
        return None
    return f"ceil({room},{stride},{before_and_after})" if ceil_mode else shifted(f"({room})//{stride}", 1)


def _window(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """Convolutions and pooling: (N, M, windows along each axis)."""
    x, w = inputs[0], inputs[1] if len(inputs) > 1 else None
    kernel = node.attrs.get("kernel_shape") or (list(w[2:]) if w is not None else None)
    if x is None or kernel is None or not all(isinstance(k, int) for k in kernel) or len(x) != len(kernel) + 2:
        return None
    rank, auto = len(kernel), node.attrs.get("auto_pad", "NOTSET")
    strides, dilations = node.attrs.get("strides") or [1] * rank, node.attrs.get("dilations") or [1] * rank
    pads = [0] * 2 * rank if auto == "VALID" else node.attrs.get("pads") or [0] * 2 * rank
    channels = x[1] if node.op_type != "Conv" else w[0] if w is not None else None
    sizes: list[Dim] = []
    for axis, size in enumerate(x[2:]):
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            sizes.append(size if strides[axis] == 1 else f"same({size},{strides[axis]})")
        else:
            span = (kernel[axis] - 1) * dilations[axis] + 1
            sizes.append(
                window_count(
                    size, span, strides[axis], pads[axis] + pads[axis + rank], bool(node.attrs.get("ceil_mode", 0))
                )
            )
    return [x[0], channels, *sizes]


def _first(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    return None if inputs[0] is None else list(inputs[0])


def _broadcast(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """Equal sizes stay, 1 gives way, a number gives way to no symbol (which then is 1 or that number)."""
    if any(s is None for s in inputs):
        return None
    rank = max(len(s) for s in inputs if s is not None)
    result: list[Dim] = []
    for column in zip(*((1,) * (rank - len(s)) + s for s in inputs if s is not None)):
        result.append(_agreed(set(column)))
    return result


def _concat(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """All axes but `axis` are those of any input: a number where there is one."""
    shapes = [s for s in inputs if s is not None]
    if not shapes or len({len(s) for s in shapes}) != 1:
        return None
    axis = node.attrs.get("axis", 0) % len(shapes[0])
    columns = list(zip(*shapes))
    result = [next((d for d in column if isinstance(d, int)), column[0]) for column in columns]
    numbers = [d for d in columns[axis] if isinstance(d, int)]
    result[axis] = sum(numbers) if len(numbers) == len(inputs) else None
    return result


def _transpose(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    x, perm = inputs[0], node.attrs.get("perm")
    return None if x is None else [x[p] for p in perm] if perm is not None else list(x[::-1])


def _slice(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """Axes cut by constants: what is left of a symbol is an expression of its own, unless all of it is."""
    x = inputs[0]
    if x is None:
        return None
    if node.version < 10:
        parameters = [node.attrs["starts"], node.attrs["ends"], node.attrs.get("axes"), None]
    elif any(v and v not in constants for v in node.inputs[1:]):
        return [None] * len(x)
    else:
        parameters = [constants[v].reshape(-1).tolist() if v else None for v in (node.input(i) for i in range(1, 5))]
    starts, ends, axes, steps = parameters
    sizes = list(x)
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=True):
        size = sizes[axis]
        if isinstance(size, int):
            sizes[axis] = len(range(*slice(start, end, step).indices(size)))
        elif size is not None and (start != 0 or step != 1 or end < LONGEST):
            sizes[axis] = f"slice({size},{start},{end},{step})"
    return sizes


def _einsum(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """Each letter has the size that its places come to; the places of an ellipsis are counted from its end."""
    left, arrow, right = node.attrs["equation"].replace(" ", "").partition("->")
    shapes = [shape for shape in inputs if shape is not None]
    if len(shapes) < len(inputs):
        return None
    if not arrow:
        right = "..." * ("..." in left) + "".join(sorted(c for c in set(left) - {",", "."} if left.count(c) == 1))
    places: dict[str | int, set[Dim]] = {}
    for term, shape in zip(left.split(","), shapes, strict=True):
        for place, size in zip(_places(term, len(shape)), shape, strict=True):
            places.setdefault(place, set()).add(size)
    spread = -min([k for k in places if isinstance(k, int)], default=0)
    return [_agreed(places[place]) for place in _places(right, len(right.replace("...", "")) + spread)]


def _places(term: str, rank: int) -> list[str | int]:
    """A letter an axis, -1, -2 ... for those of the ellipsis from its last one on."""
    before, dots, after = term.partition("...")
    return [*before, *range(len(before) + len(after) - rank, 0), *after] if dots else list(term)


def _agreed(sizes: set[Dim]) -> Dim:
    """What equal or broadcast sizes come to: the number other than one if there is any, the symbol if there is but one."""
    others = sizes - {1}
    number = next((d for d in others if isinstance(d, int)), None)
    return 1 if not others else number if number is not None else others.pop() if len(others) == 1 else None


def _resize(node: Node, inputs: list[Shape | None], constants: Mapping[str, np.ndarray]) -> list[Dim] | None:
    """Scaled axes, where the scales are constants."""
    scales = node.attrs.get("scales")
    if scales is None:
        scales = constants.get(node.input(1 if node.version < 11 else 2))
    x = inputs[0]
    if x is None or scales is None or len(scales) != len(x) or node.attrs.get("axes"):
        return None
    return [
        d if s == 1 else None if d is None else f"({d})*{float(s)}" if isinstance(d, str) else None
        for d, s in zip(x, scales)
    ]


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool", "LpPool"), _window),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Where"), _broadcast),
    **dict.fromkeys(
        (
            "Relu",
            "LeakyRelu",
            "PRelu",
            "Clip",
            "Sigmoid",
            "Tanh",
            "HardSigmoid",
            "HardSwish",
            "Elu",
            "Selu",
            "Celu",
            "Softplus",
            "Softsign",
            "Mish",
            "Gelu",
            "Swish",
            "ThresholdedRelu",
            "Exp",
            "Log",
            "Sqrt",
            "Abs",
            "Neg",
            "Erf",
            "Floor",
            "Ceil",
            "Round",
            "Reciprocal",
            "Identity",
            "Dropout",
            "Cast",
            "BatchNormalization",
            "InstanceNormalization",
            "LayerNormalization",
            "GroupNormalization",
            "LRN",
            "Softmax",
            "LogSoftmax",
            "LpNormalization",
            "MeanVarianceNormalization",
            "RMSNormalization",
            "Trilu",
        ),
        _first,
    ),
    "Concat": _concat,
    "Transpose": _transpose,
    "Slice": _slice,
    "Einsum": _einsum,
    "Resize": _resize,
    "Upsample": _resize,
}
