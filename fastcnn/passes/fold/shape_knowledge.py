"""What the other passes know about shapes, kept up to date."""
from __future__ import annotations

from fastcnn.inference.types import infer_types
from fastcnn.ir.graph import Graph


def shape_knowledge(graph: Graph) -> bool:
    """Infers shapes anew where some are not fully known; True when more sizes are known than before."""
    values = [v for node in graph.nodes for v in node.outputs if v]
    before = _known(graph, values)
    if before[1] == len(values):
        return False
    graph.metadata.update(infer_types(graph).facts())
    return _known(graph, values) > before


def _known(graph: Graph, values: list[str]) -> tuple[int, int]:
    """(sizes that are numbers, values all of whose sizes are)."""
    shapes = [graph.metadata.get("shapes", {}).get(v) for v in values]
    numbers = sum(isinstance(d, int) for shape in shapes if shape is not None for d in shape)
    return numbers, sum(shape is not None and all(isinstance(d, int) for d in shape) for shape in shapes)
