"""Keeps the inferred shapes of the graph up to date while passes rewrite it."""
from __future__ import annotations

from collections.abc import Iterable

from fastcnn.inference.site import Known
from fastcnn.inference.types import infer_changed, infer_types, source_of
from fastcnn.ir.graph import Graph, Shape

NUMBERS = frozenset({int})


def shape_knowledge(graph: Graph) -> bool:
    """Infers shapes again where some are not fully known; True if more sizes are known than before."""
    shapes, before = graph.shapes, graph.inferred_from
    values = [v for node in graph.nodes for v in node.outputs if v]
    if all(map(_is_known, map(shapes.get, values))):
        return False
    now = source_of(graph)
    if before is not None and before.nodes is now.nodes and before == now:
        return False
    if before is None or before.inputs is not graph.inputs:
        found = infer_types(graph, memory=graph.memory)
        looked = [(shapes.get(v), found.shapes.get(v)) for v in values]
        graph.types, graph.shapes, graph.contents = found.types, found.shapes, found.contents
    else:
        known = Known(graph.types, shapes, graph.constants, graph.contents or {}, memory=graph.memory)
        looked = infer_changed(graph, known, before, now)
    graph.inferred_from = now
    return _sizes(after for _, after in looked) > _sizes(earlier for earlier, _ in looked)


def start_knowledge(graph: Graph) -> None:
    """Before the passes: notes that the graph's present shapes were inferred from its present nodes."""
    if graph.contents is not None:
        graph.inferred_from = source_of(graph)


def end_knowledge(graph: Graph) -> None:
    """After the passes: releases the nodes that shapes were inferred from."""
    graph.inferred_from = None


def _is_known(shape: Shape | None) -> bool:
    return shape is not None and NUMBERS.issuperset(map(type, shape))


def _sizes(shapes: Iterable[Shape | None]) -> tuple[int, int]:
    """(sizes that are numbers, values all of whose sizes are)."""
    known = [shape for shape in shapes if shape is not None]
    return sum(isinstance(d, int) for shape in known for d in shape), sum(map(_is_known, known))
