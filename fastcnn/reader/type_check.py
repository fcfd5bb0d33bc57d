"""Derives the element type of every value from inputs and constants, and checks the types that the file claims against it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Graph, Node, is_control_flow
from fastcnn.onnx_proto.types import tensor_of
from fastcnn.schema.typing import by_attributes, output_types

Known = dict[str, "str | None"]
INT64, BOOL = "tensor(int64)", "tensor(bool)"


def check_types(graph: Graph) -> dict[str, str]:
    """Value -> type string, as far as the operators' definitions determine it.

    Raises ModelError naming the node whose operator does not take the types of its inputs, bodies included, or the output of the
    graph that is declared as another type than it has.
    """
    known = _types_in(graph, {info.name: info.type or None for info in graph.inputs})
    for info in graph.outputs:
        kind = known.get(info.name)
        if kind and info.type and kind != info.type:
            raise ModelError(f"output {info.name!r}: declared as {info.type}, what the graph makes is {kind}")
    return {name: kind for name, kind in known.items() if kind}


def _types_in(graph: Graph, known: Known) -> Known:
    """Types of a graph's values, from those of its inputs and of what it reads from around it."""
    known = {**known, **{name: tensor_of(array.dtype) for name, array in graph.constants.items()}}
    seen: dict[tuple[object, ...], list[str | None]] = {}
    for node in graph.nodes:
        types = tuple([known.get(v) if v else None for v in node.inputs])
        key = node.op_type, node.version, node.domain, types, len(node.outputs)
        found = seen.get(key)
        if found is None:
            if is_control_flow(node):
                found = _flow_types(node, types, known)
            else:
                found = output_types(node, types)
                if not by_attributes(node):
                    seen[key] = found
        for name, kind in zip(node.outputs, found):
            if name:
                known[name] = kind
    return known


def _flow_types(node: Node, types: Sequence[str | None], around: Known) -> list[str | None]:
    """Types of the outputs of If, Loop and Scan: those of their bodies' outputs."""
    own = {"If": [BOOL], "Loop": [INT64, BOOL], "Scan": [INT64] if node.version < 9 else []}[node.op_type]
    for i, (kind, wanted) in enumerate(zip(types, own)):
        if kind not in (None, wanted):
            raise ModelError(f"{node.where()}: input {i} ({node.inputs[i]!r}) is {kind}, the operator takes {wanted}")
    if node.op_type == "If":
        branches = [_body_types(body, [], around) for body in node.bodies.values()]
        return [kinds[0] if len(set(kinds)) == 1 else None for kinds in zip(*branches)]
    body = node.bodies["body"]
    given = [INT64, BOOL, *types[2:]] if node.op_type == "Loop" else list(types[len(own):])
    made = _body_types(body, given, around)
    made = made[1:] if node.op_type == "Loop" else made
    carried = len(given) - (2 if node.op_type == "Loop" else node.attrs.get("num_scan_inputs", 0))
    for i in range(min(max(carried, 0), len(made))):
        before = given[i + len(given) - carried if node.op_type == "Loop" else i]
        if None not in (before, made[i]) and before != made[i]:
            raise ModelError(f"{node.where()}: state {i} begins as {before}, the body makes it {made[i]}")
    return made


def _body_types(body: Graph, given: Sequence[str | None], around: Mapping[str, str | None]) -> list[str | None]:
    """Types of a body's outputs, given the types of its inputs in order and of the values around it."""
    inputs: Known = {info.name: info.type or None for info in body.inputs}
    inputs.update((info.name, kind) for info, kind in zip(body.inputs, given) if kind)
    known = _types_in(body, {**around, **inputs})
    return [known.get(info.name) for info in body.outputs]
