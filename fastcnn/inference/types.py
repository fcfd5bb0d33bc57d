"""Types and shapes of a graph's values, and the elements of those that are made of sizes."""
from __future__ import annotations

from fastcnn.inference.infer import infer_graph
from fastcnn.inference.site import Known
from fastcnn.inference.sizes import symbol
from fastcnn.ir.graph import Graph, Shape
from fastcnn.onnx_proto.types import element_name


def infer_types(graph: Graph) -> Known:
    """Whatever can be inferred; never fails.

    Sizes that no number is known of are symbols, one by one ("x.2" is axis 2 of value x): two inputs that use one name in the file
    need not agree when they are fed. Equal strings are equal sizes.
    """
    given = graph.metadata.get("types", {})          # a pass may compute an input in another type than it is fed in
    known = Known(constants=graph.constants)
    for info in graph.inputs:
        if info.type:
            known.types[info.name] = given.get(info.name, info.type)
        if info.shape is not None:
            known.shapes[info.name] = _own_symbols(info.name, info.shape)
    for name, array in graph.constants.items():
        known.types[name], known.shapes[name] = f"tensor({element_name(array.dtype)})", array.shape
    infer_graph(graph, known)
    return known


def _own_symbols(name: str, shape: Shape) -> Shape:
    return tuple(d if isinstance(d, int) else symbol(name, axis) for axis, d in enumerate(shape))
