"""Types and shapes of plain networks, node by node: what every model needs at load, without onnx."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from fastcnn.epilogue import onnx_arity
from fastcnn.graph import Dim, Graph, Node, Shape
from fastcnn.inference import symbolic

Types = dict[str, str]
Shapes = dict[str, Shape]
Rule = Callable[[Node, list[Shape], Mapping[str, np.ndarray]], list[Dim]]

# What says at most how many elements a shape or a list of axes has.
MAX_SHAPE_ELEMENTS = 64


class Unknown(Exception):
    """A case for onnx's shape inference."""


def infer_plain(graph: Graph, types: Types, shapes: Shapes) -> tuple[Types, Shapes] | None:
    """(types, shapes) of all values from those of inputs and constants; None where an operator, a type or a shape is not plain."""
    types, shapes = dict(types), dict(shapes)
    try:
        for node in graph.nodes:
            rule = RULES.get(node.op_type)
            if rule is None or node.domain or any(node.outputs[1:]):
                return None
            inputs = [shapes[v] for v in node.inputs[:onnx_arity(node)] if v]
            found = rule(node, inputs, graph.constants)
            if not all(isinstance(d, str) or (isinstance(d, int) and d >= 0) for d in found):
                return None
            types[node.outputs[0]], shapes[node.outputs[0]] = types[node.inputs[0]], tuple(found)
    except (Unknown, KeyError, IndexError, TypeError, ValueError, ZeroDivisionError):     # what contradicts itself, too, is onnx's to judge
        return None
    return types, shapes


def _ints(node: Node, name: str, i: int, constants: Mapping[str, np.ndarray]) -> list[int]:
    """Integers that are an attribute in some versions of the operator and input i, here a constant, in others."""
    if name in node.attrs:
        return list(node.attrs[name])
    array = constants[node.input(i)]
    if array.dtype != np.int64 or array.size > MAX_SHAPE_ELEMENTS:
        raise Unknown
    return [int(v) for v in array.reshape(-1)]


def _axes(node: Node, i: int, constants: Mapping[str, np.ndarray], rank: int) -> set[int]:
    axes = _ints(node, "axes", i, constants)
    if any(not -rank <= axis < rank for axis in axes):
        raise Unknown
    return {axis % rank for axis in axes}


def _window(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """Convolutions and pooling: (N, M, windows along each axis)."""
    x, kernel = inputs[0], node.attrs.get("kernel_shape") or list(inputs[1][2:])
    rank, auto = len(kernel), node.attrs.get("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID") or len(x) != rank + 2:
        raise Unknown
    strides, dilations = node.attrs.get("strides") or [1] * rank, node.attrs.get("dilations") or [1] * rank
    pads = [0] * 2 * rank if auto == "VALID" else node.attrs.get("pads") or [0] * 2 * rank
    if any(len(v) != n for v, n in ((strides, rank), (dilations, rank), (pads, 2 * rank))) or min(*strides, *dilations) < 1:
        raise Unknown
    ceil_mode = bool(node.attrs.get("ceil_mode", 0)) and auto == "NOTSET"
    sizes: list[Dim] = [x[0], inputs[1][0] if node.op_type == "Conv" else x[1]]
    for axis, size in enumerate(x[2:]):
        span, around = (kernel[axis] - 1) * dilations[axis] + 1, pads[axis] + pads[axis + rank]
        if isinstance(size, int):
            sizes.append(_windows(size, span, strides[axis], pads[axis], around, ceil_mode))
        else:
            sizes.append(symbolic.window_count(size, span, strides[axis], around, ceil_mode))
    return sizes


def _windows(size: int, span: int, stride: int, before: int, around: int, ceil_mode: bool) -> int:
    """How many windows; rounded up, one that would start in the padding after the last element does not count."""
    room = size + around - span
    if room < 0:
        raise Unknown
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + before else count


def _transposed(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """stride * (in - 1) + output_padding + dilation * (kernel - 1) + 1 - pads of numbers."""
    (x, w), rank, attrs = inputs[:2], len(inputs[1]) - 2, node.attrs
    if "output_shape" in attrs or attrs.get("auto_pad", "NOTSET") != "NOTSET" or not all(isinstance(d, int) for d in x[2:]):
        raise Unknown
    strides, dilations, extra = (attrs.get(k) or [n] * rank for k, n in (("strides", 1), ("dilations", 1), ("output_padding", 0)))
    pads = attrs.get("pads") or [0] * 2 * rank
    sizes = [s * (n - 1) + e + d * (k - 1) + 1 - pads[a] - pads[a + rank]      # type: ignore[operator]
             for a, (s, n, e, d, k) in enumerate(zip(strides, x[2:], extra, dilations, w[2:], strict=True))]
    return [x[0], w[1] * attrs.get("group", 1), *sizes]      # type: ignore[operator]


def _first(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    return list(inputs[0])


def _broadcast(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """Equal sizes stay and 1 gives way."""
    rank = max(map(len, inputs))
    result: list[Dim] = []
    for column in zip(*((1,) * (rank - len(s)) + s for s in inputs)):
        sizes = set(column) - {1}
        if len(sizes) > 1:
            raise Unknown
        result.append(sizes.pop() if sizes else 1)
    return result


def _concat(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """All axes but one agree, that one is added up."""
    axis, rank = node.attrs["axis"], len(inputs[0])
    if not -rank <= axis < rank or {len(s) for s in inputs} != {rank}:
        raise Unknown
    axis %= rank
    result: list[Dim] = []
    for k, column in enumerate(zip(*inputs)):
        numbers = [d for d in column if isinstance(d, int)]
        if (len(numbers) < len(column) or k != axis) and len(set(column)) > 1:
            raise Unknown
        result.append(sum(numbers) if k == axis and len(numbers) == len(column) else column[0])
    if not isinstance(result[axis], int):
        raise Unknown
    return result


def _transpose(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    perm = node.attrs.get("perm") or range(len(inputs[0]))[::-1]
    if sorted(perm) != list(range(len(inputs[0]))):
        raise Unknown
    return [inputs[0][p] for p in perm]


def _global_pool(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    return [*inputs[0][:2], *[1] * (len(inputs[0]) - 2)]


def _reduce(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """The axes at 1 or gone; all of them when none is named."""
    x = inputs[0]
    named = "axes" in node.attrs or bool(node.input(1))
    axes = _axes(node, 1, constants, len(x)) if named else set(range(len(x)))
    if not axes:
        raise Unknown
    keep = node.attrs.get("keepdims", 1)
    return [1 if k in axes else d for k, d in enumerate(x) if keep or k not in axes]


def _product(sizes: Shape) -> Dim:
    """Of numbers, or of ones and one symbol."""
    if all(isinstance(d, int) for d in sizes):
        return math.prod(sizes)      # type: ignore[arg-type]
    others = [d for d in sizes if d != 1]
    if len(others) != 1:
        raise Unknown
    return others[0]


def _flatten(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    axis, rank = node.attrs.get("axis", 1), len(inputs[0])
    if not -rank <= axis <= rank:
        raise Unknown
    axis = axis + rank if axis < 0 else axis
    return [_product(inputs[0][:axis]), _product(inputs[0][axis:])]


def _reshape(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """Sizes in a constant: 0 copies one, -1 is what is left."""
    x, target = inputs[0], _ints(node, "shape", 1, constants)
    if node.attrs.get("allowzero", 0) or target.count(-1) > 1 or 0 in x:
        raise Unknown
    shape: list[Dim] = [x[k] if d == 0 else d for k, d in enumerate(target)]
    left = [d for k, d in enumerate(x) if k >= len(target) or target[k] != 0]
    numbers, given = math.prod(d for d in left if isinstance(d, int)), math.prod(d for d in target if d > 0)
    if numbers % given or (-1 not in target and [numbers, *(d for d in left if isinstance(d, str))] != [given]):
        raise Unknown
    if -1 in target:
        shape[target.index(-1)] = _product((numbers // given, *(d for d in left if isinstance(d, str))))
    return shape


def _squeeze(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    x = inputs[0]
    axes = _axes(node, 1, constants, len(x))
    if any(x[axis] != 1 for axis in axes):
        raise Unknown
    return [d for k, d in enumerate(x) if k not in axes]


def _unsqueeze(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    rank = len(inputs[0]) + len(_ints(node, "axes", 1, constants))
    axes = _axes(node, 1, constants, rank)
    if len(inputs[0]) + len(axes) != rank:
        raise Unknown
    rest = iter(inputs[0])
    return [1 if k in axes else next(rest) for k in range(rank)]


def _gemm(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    a, b = inputs[0][::-1] if node.attrs.get("transA", 0) else inputs[0], inputs[1][::-1] if node.attrs.get("transB", 0) else inputs[1]
    if len(a) != 2 or len(b) != 2 or a[1] != b[0]:
        raise Unknown
    return [a[0], b[1]]


def _matmul(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    """Of matrices and stacks of them."""
    a, b = inputs[:2]
    if min(len(a), len(b)) < 2 or a[-1] != b[-2]:
        raise Unknown
    return [*_broadcast(node, [a[:-2], b[:-2]], constants), a[-2], b[-1]] if len(a) > 2 or len(b) > 2 else [a[0], b[1]]


def _depth_to_space(node: Node, inputs: list[Shape], constants: Mapping[str, np.ndarray]) -> list[Dim]:
    (n, c, h, w), block = inputs[0], node.attrs["blocksize"]
    if not all(isinstance(d, int) for d in (c, h, w)) or c % block ** 2:      # type: ignore[operator]
        raise Unknown
    return [n, c // block ** 2, h * block, w * block]      # type: ignore[operator]


# Operator -> the shape of its output from those of its inputs. What is here has one output of the type of its first input.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool"), _window),
    "ConvTranspose": _transposed,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum", "Max", "Min"), _broadcast),
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Selu", "Softplus", "Mish",
                     "Gelu", "Exp", "Log", "Sqrt", "Neg", "Erf", "Identity", "Dropout", "BatchNormalization", "InstanceNormalization",
                     "LayerNormalization", "LRN", "Softmax"), _first),
    "Concat": _concat,
    "Transpose": _transpose,
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceSum"), _reduce),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "DepthToSpace": _depth_to_space,
}
