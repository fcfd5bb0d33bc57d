"""Checks attributes of nodes against the shapes of their weights and, where they are inferred, of their inputs."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Graph, Node, Shape
from fastcnn.schema.axes import NAMED, check_axes
from fastcnn.schema.vectors import VECTORS, check_vectors

Shapes = Mapping[str, Shape]

# Attributes with one entry (pads two) a spatial axis, and the least value of one.
LENGTHS: tuple[tuple[str, int, int | None], ...] = (
    ("kernel_shape", 1, 1), ("strides", 1, 1), ("dilations", 1, 1), ("pads", 2, None), ("output_padding", 1, 0))


NUMBERS = frozenset({int})


def check_graph(graph: Graph) -> None:
    """Raises ModelError naming the first node whose attributes, weights and inputs contradict each other."""
    shapes = graph.shapes
    for node in graph.nodes:
        if node.op_type in NAMED or node.op_type in VECTORS:
            ranks = [len(shapes[v]) if v in shapes else None for v in node.inputs]
            check_axes(node, ranks)
            check_vectors(node, ranks)
        check = CHECKS.get(node.op_type)
        if check is not None and not node.domain:
            check(node, shapes)


def _shape(node: Node, i: int, shapes: Shapes) -> Shape | None:
    inputs = node.inputs
    return shapes.get(inputs[i]) if i < len(inputs) else None


def _refuse(node: Node, what: str) -> None:
    raise ModelError(f"{node.where()}: {what}")


def _check_vector(node: Node, i: int, name: str, size: int | None, shapes: Shapes, of: str) -> None:
    """Input i, when its shape is known, is a vector of `size` elements."""
    shape = _shape(node, i, shapes)
    if shape is None or size is None:
        return
    if len(shape) != 1 or (isinstance(shape[0], int) and shape[0] != size):
        _refuse(node, f"{name} has shape {list(shape)}, {of} needs [{size}]")


def _check_lengths(node: Node, rank: int) -> None:
    """kernel_shape, strides, dilations and pads have one entry (pads two) a spatial axis, in range."""
    attrs = node.attrs
    for name, per_axis, least in LENGTHS:
        value = attrs.get(name)
        if value is None:
            continue
        if len(value) != per_axis * rank:
            _refuse(node, f"{name}={value} for {rank} spatial axes")
        if least is not None and min(value, default=least) < least:
            _refuse(node, f"{name}={value} out of range")


def _filter(node: Node, i: int, shapes: Shapes) -> tuple[int, ...] | None:
    """The shape of the filter when fully known, checked against kernel_shape and the number of axes of x."""
    shape = _shape(node, i, shapes)
    if shape is None or not NUMBERS.issuperset(map(type, shape)):
        return None
    sizes: tuple[int, ...] = shape                              # type: ignore[assignment]
    if len(shape) < 3:
        _refuse(node, f"W has shape {list(shape)}, at least 3 axes are needed")
    kernel = node.attrs.get("kernel_shape")
    if kernel is not None and list(kernel) != list(shape[2:]):
        _refuse(node, f"kernel_shape={kernel} but W has shape {list(shape)}")
    x = _shape(node, 0, shapes)
    if x is not None and len(x) != len(shape):
        _refuse(node, f"x has {len(x)} axes, W has shape {list(shape)}")
    _check_lengths(node, len(shape) - 2)
    return sizes


def _group(node: Node) -> int:
    group = node.attrs.get("group", 1)
    if group < 1:
        _refuse(node, f"group={group}")
    return group


def _check_conv(node: Node, shapes: Shapes, weight: int = 1, bias: int = 2) -> None:
    """W (M, C/group, k...): x has C channels, group divides C and M, the bias has M elements."""
    w, group = _filter(node, weight, shapes), _group(node)
    if w is None:
        return
    if w[0] % group:
        _refuse(node, f"group={group} does not divide the {w[0]} output channels of W {list(w)}")
    channels = _channels(node, shapes)
    if channels is not None and channels != w[1] * group:
        _refuse(node, f"x has {channels} channels, W {list(w)} with group={group} needs {w[1] * group}")
    _check_vector(node, bias, "bias", w[0], shapes, f"W {list(w)}")


def _check_conv_integer(node: Node, shapes: Shapes) -> None:
    _check_conv(node, shapes, bias=len(node.inputs))


def _check_qlinear_conv(node: Node, shapes: Shapes) -> None:
    _check_conv(node, shapes, weight=3, bias=8)


def _check_conv_transpose(node: Node, shapes: Shapes) -> None:
    """W (C, M/group, k...): x has C channels, group divides C, the bias has M elements."""
    w, group = _filter(node, 1, shapes), _group(node)
    if w is None:
        return
    if w[0] % group:
        _refuse(node, f"group={group} does not divide the {w[0]} input channels of W {list(w)}")
    channels = _channels(node, shapes)
    if channels is not None and channels != w[0]:
        _refuse(node, f"x has {channels} channels, W {list(w)} needs {w[0]}")
    _check_vector(node, 2, "bias", w[1] * group, shapes, f"W {list(w)} with group={group}")
    rank, wanted = len(w) - 2, node.attrs.get("output_shape")
    if wanted and len(wanted) not in (rank, rank + 2):
        _refuse(node, f"output_shape={wanted} for {rank} spatial axes")


def _channels(node: Node, shapes: Shapes) -> int | None:
    x = _shape(node, 0, shapes)
    return x[1] if x is not None and len(x) > 1 and isinstance(x[1], int) else None


def _check_pool(node: Node, shapes: Shapes) -> None:
    """kernel_shape has one entry a spatial axis; pads are smaller than the window, dilated where it is."""
    kernel = node.attrs.get("kernel_shape", [])
    if not kernel:
        _refuse(node, f"kernel_shape={kernel}")
    _check_lengths(node, len(kernel))
    x = _shape(node, 0, shapes)
    if x is not None and len(x) != len(kernel) + 2:
        _refuse(node, f"kernel_shape={kernel} but x has {len(x)} axes")


def _check_channel_vectors(names: tuple[str, ...]) -> Callable[[Node, Shapes], None]:
    """Inputs 1, 2, ... are vectors of as many elements as x has channels."""
    def check(node: Node, shapes: Shapes) -> None:
        size, of = _channels(node, shapes), "x"
        for i, name in enumerate(names, start=1):
            vector = _shape(node, i, shapes)
            if size is None and vector is not None and len(vector) == 1 and isinstance(vector[0], int):
                size, of = vector[0], names[i - 1]
            _check_vector(node, i, name, size, shapes, f"{of} with {size} channels")
    return check


def _check_gemm(node: Node, shapes: Shapes) -> None:
    """A' (M, K) by B' (K, N); C broadcasts to (M, N)."""
    a, b, c = (_shape(node, i, shapes) for i in range(3))
    for name, shape in (("A", a), ("B", b)):
        if shape is not None and len(shape) != 2:
            _refuse(node, f"{name} has shape {list(shape)}, a matrix is needed")
    m, ka = (None, None) if a is None else a[::-1] if node.attrs.get("transA", 0) else a
    kb, n = (None, None) if b is None else b[::-1] if node.attrs.get("transB", 0) else b
    if isinstance(ka, int) and isinstance(kb, int) and ka != kb:
        _refuse(node, f"A has shape {list(a or ())}, B {list(b or ())}: inner sizes {ka} and {kb} differ")
    if c is not None and len(c) > 2:
        _refuse(node, f"C has shape {list(c)}, at most a matrix is allowed")
    for size, extent in zip(reversed(c or ()), (n, m)):
        if isinstance(size, int) and isinstance(extent, int) and size not in (1, extent):
            _refuse(node, f"C has shape {list(c or ())}, the product is [{m}, {n}]")


def _check_matmul(node: Node, shapes: Shapes) -> None:
    a, b = _shape(node, 0, shapes), _shape(node, 1, shapes)
    if not a or not b:
        return
    k = b[-2] if len(b) > 1 else b[0]
    if isinstance(a[-1], int) and isinstance(k, int) and a[-1] != k:
        _refuse(node, f"A has shape {list(a)}, B {list(b)}: inner sizes {a[-1]} and {k} differ")


# Operator -> check. What is not here has nothing beyond its schema to contradict before shapes are bound.
CHECKS: dict[str, Callable[[Node, Shapes], None]] = {
    "Conv": _check_conv,
    "ConvInteger": _check_conv_integer,
    "QLinearConv": _check_qlinear_conv,
    "ConvTranspose": _check_conv_transpose,
    "Gemm": _check_gemm,
    "MatMul": _check_matmul,
    "MaxPool": _check_pool,
    "AveragePool": _check_pool,
    "LpPool": _check_pool,
    "BatchNormalization": _check_channel_vectors(("scale", "B", "mean", "var")),
    "InstanceNormalization": _check_channel_vectors(("scale", "B")),
}
