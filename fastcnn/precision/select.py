"""Decides which layers stay in floats because bytes would cost time or accuracy."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from fastcnn.ir.graph import Graph, Node
from fastcnn.precision.calibrate import Observed
from fastcnn.precision.predict import Predicted, predicted
from fastcnn.precision.products import PRODUCTS, WEIGHT
from fastcnn.precision.regions import Regions

NAMED, SLOWER, INEXACT, NO_FORM = "asked for", "bytes would not be faster", "bytes would cost accuracy", "no form on bytes"
Kept = dict[str, str]           # product that stays in floats, by its output -> why


def times(found: Regions, seen: Observed, threads: int) -> dict[str, Predicted]:
    """Product, by its output -> what it is predicted to take."""
    graph = found.graph
    return {node.outputs[0]: predicted(node, seen.shapes[node.inputs[0]], graph.constants[node.inputs[WEIGHT]].shape, threads)
            for node in found.products()}


def slower(found: Regions, predictions: Mapping[str, Predicted]) -> Kept:
    """Products that would not be faster on bytes, the quantising of float inputs included."""
    kept = {}
    for node in found.products():
        time = predictions[node.outputs[0]]
        entering = time.entering_ms if node.inputs[0] in found.rounded else 0.0
        if time.bytes_ms + entering >= time.floats_ms or _makes_floats_a_channel(found, node):
            kept[node.outputs[0]] = SLOWER
    return kept


def _makes_floats_a_channel(found: Regions, node: Node) -> bool:
    """Depthwise, with a result in floats: there is no such kernel."""
    w = found.graph.constants[node.inputs[WEIGHT]]
    return node.attrs.get("group", 1) > 1 and w.shape[1] == 1 and found.result(node) not in found.stored


def layers(graph: Graph) -> list[Node]:
    """All products, those without a form on bytes too."""
    return [node for node in graph.nodes if node.op_type in PRODUCTS and not node.domain and node.input(WEIGHT) in graph.constants]


def within(bound: float, order: list[str], error: Callable[[frozenset[str]], float], most: int) -> frozenset[str]:
    """The fewest of the first names in `order` that, kept in floats, bring the error under a bound: all of them where none do.

    The error is taken to fall with their number: halves are asked about. most: times that it is asked for.
    """
    if error(frozenset()) <= bound:
        return frozenset()
    low, high = 0, len(order)               # too few, enough
    for _ in range(most):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        if error(frozenset(order[:middle])) <= bound:
            high = middle
        else:
            low = middle
    return frozenset(order[:high])
