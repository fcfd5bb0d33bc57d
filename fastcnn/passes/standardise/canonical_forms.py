"""Rewrites equivalent forms into one (Sum of two into Add ...), so that later passes and kernels look for one form only."""
from __future__ import annotations

from collections.abc import Callable

from fastcnn.expansion import shape_of, type_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import is_float, reduced_axes, replace_nodes

DOUBLE = "tensor(double)"


def canonical_forms(graph: Graph) -> bool:
    """Rewrites the nodes of FORMS."""
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        form = FORMS.get(node.op_type) if not node.domain else None
        new = form(graph, node) if form is not None else None
        if new is not None:
            changed[id(node)] = new
    return replace_nodes(graph, changed)


def _sum(graph: Graph, node: Node) -> Node | None:
    """Sum of two is Add."""
    return node.but(op_type="Add", version=max(node.version, 7)) if len(node.inputs) == 2 else None


def _reduce_mean(graph: Graph, node: Node) -> Node | None:
    """The mean over all spatial axes that keeps them is GlobalAveragePool; of doubles the mean alone is native."""
    axes = reduced_axes(graph, node)
    shape = shape_of(graph, node.inputs[0])
    if (
        not axes
        or shape is None
        or len(shape) < 3
        or not node.attrs.get("keepdims", 1)
        or not is_float(graph, node.inputs[0])
        or type_of(graph, node.inputs[0]) == DOUBLE
    ):
        return None
    if sorted(a % len(shape) for a in axes) != list(range(2, len(shape))):
        return None
    return Node("GlobalAveragePool", node.inputs[:1], node.outputs, {}, node.name, "", graph.opsets.get("", 1))


FORMS: dict[str, Callable[[Graph, Node], Node | None]] = {
    "ReduceMean": _reduce_mean,
    "Sum": _sum,
}
