"""Types and shapes of a graph's values: by the rules of this package where they know all operators, else by onnx's shape inference."""
from __future__ import annotations

from fastcnn.graph import Graph, Shape
from fastcnn.inference.plain import infer_plain
from fastcnn.inference.symbolic import refine
from fastcnn.onnx_proto.types import element_name


def infer_types(graph: Graph) -> tuple[dict[str, str], dict[str, Shape]]:
    """(type string by value, shape by value) of whatever can be inferred; never fails.

    Symbolic sizes are renamed one by one ("x.2" is axis 2 of input x): two inputs that use one name need not agree when
    they are fed. Equal strings are equal sizes.
    """
    known = graph.metadata.get("types", {})          # a pass may compute an input in another type than it is fed in
    types = {i.name: known.get(i.name, i.type) for i in graph.inputs if i.type}
    shapes: dict[str, Shape] = {i.name: _own_symbols(i.name, i.shape) for i in graph.inputs if i.shape is not None}
    for name, array in graph.constants.items():
        types[name], shapes[name] = f"tensor({element_name(array.dtype)})", array.shape
    plain = infer_plain(graph, types, shapes)
    if plain is not None:
        return plain
    from fastcnn.inference.by_onnx import infer_by_onnx  # onnx: 45 ms that most models never need
    try:
        infer_by_onnx(graph, types, shapes)
    except Exception:                        # a help to passes and checks, which do without where it gives up
        return types, shapes
    refine(graph, shapes)
    return {k: v for k, v in types.items() if v}, shapes


def _own_symbols(name: str, shape: Shape) -> Shape:
    return tuple(d if isinstance(d, int) else f"{name}.{axis}" for axis, d in enumerate(shape))
