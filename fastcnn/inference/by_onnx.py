"""Types and shapes by onnx's shape inference, weights left out of it. Imports onnx: whoever needs it imports this."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper, shape_inference

from fastcnn.epilogue import onnx_arity
from fastcnn.graph import Graph, Node, Shape
from fastcnn.inference import symbolic
from fastcnn.onnx_proto.to_proto import graph_proto, node_proto
from fastcnn.onnx_proto.types import element_of, tensor_type, type_shape, type_string

# Only constants this small can be a shape, axes, pads or scales; larger ones are given to inference by type alone.
MAX_SHAPE_ELEMENTS = 64
# Stands in for operators whose inferred size could be wrong: nothing is known of what they make.
UNKNOWN_DOMAIN = "fastcnn.unknown"
# Since this opset there is an operator of the shapes and types of LocallyConnected.
EINSUM_OPSET = 12


def infer_by_onnx(graph: Graph, types: dict[str, str], shapes: dict[str, Shape]) -> None:
    """Adds to the types and shapes of inputs and constants those of the other values. Raises whatever onnx does when it gives up."""
    doubted: dict[str, tuple[str, Shape]] = {}
    while True:
        kinds, found = _inferred(_skeleton(graph, types, shapes, doubted))
        known = {**found, **shapes}
        new = {node.outputs[0]: sizes for node in graph.nodes if (sizes := _doubted(node, graph, known)) is not None}
        if doubted.keys() >= new.keys():
            break
        doubted.update((name, (kinds.get(name, ""), sizes)) for name, sizes in new.items())
    for name, kind in kinds.items():
        types.setdefault(name, kind)
    for name, shape in found.items():
        shapes.setdefault(name, shape)
    for name, (kind, sizes) in doubted.items():
        types.setdefault(name, kind)
        shapes.setdefault(name, sizes)


def _inferred(skeleton: ModelProto) -> tuple[dict[str, str], dict[str, Shape]]:
    """(types, shapes) by value."""
    graph = shape_inference.infer_shapes(skeleton, data_prop=True).graph
    infos = (*graph.value_info, *graph.output)
    shapes = {info.name: type_shape(info.type) for info in infos}
    return {info.name: type_string(info.type) for info in infos}, {name: shape for name, shape in shapes.items() if shape is not None}


def _skeleton(graph: Graph, types: dict[str, str], shapes: dict[str, Shape], doubted: Mapping[str, tuple[str, Shape]]) -> ModelProto:
    """The model with large constants as inputs and without claims about intermediate values, which files get wrong.

    doubted  (type, shape) of values that are given instead of inferred
    """
    proto = GraphProto(name="skeleton")
    for name, type_name in types.items():
        element = element_of(type_name)
        if element is None:
            continue
        array = graph.constants.get(name)
        if array is not None and array.size <= MAX_SHAPE_ELEMENTS:
            proto.initializer.append(numpy_helper.from_array(array, name))
        else:
            proto.input.append(helper.make_value_info(name, tensor_type(element, shapes.get(name))))
    for name, (type_name, sizes) in doubted.items():
        proto.input.append(helper.make_value_info(name, tensor_type(element_of(type_name) or "float", sizes)))
    proto.node.extend(_plain_proto(n, graph) for n in graph.nodes if n.outputs[0] not in doubted)
    known = {i.name for i in proto.input} | {i.name for i in proto.initializer}
    proto.output.extend(helper.make_empty_tensor_value_info(o.name) for o in graph.outputs if o.name not in known)
    return ModelProto(ir_version=10, graph=proto, opset_import=[
        helper.make_opsetid(domain, version) for domain, version in {**graph.opsets, UNKNOWN_DOMAIN: 1}.items()])


def _doubted(node: Node, graph: Graph, shapes: Mapping[str, Shape]) -> Shape | None:
    """The sizes of a node's output as far as they are numbers, where onnx says that one is a symbol of the inputs and it need not be.

    Slice at opset 10 keeps the symbol of an axis that it cuts, Einsum one of two that broadcast.
    """
    found = shapes.get(node.outputs[0])
    symbols = {d for v in node.inputs for d in shapes.get(v, ()) if isinstance(d, str)}
    if found is None or symbols.isdisjoint(found):
        return None
    own = symbolic.sizes_of(node, shapes, graph.constants)
    if own is None or len(own) != len(found) or not any(f in symbols and f != d for f, d in zip(found, own)):
        return None
    return tuple(d if isinstance(d, int) else None for d in own)


def _plain_proto(node: Node, graph: Graph) -> NodeProto:
    """The node as ONNX writes it. Of those in another opset than the model's, which passes make, onnx sees what keeps its input's shape."""
    other_opset = node.version != graph.opsets.get(node.domain)
    if node.op_type == "LocallyConnected" and graph.opsets.get("", 0) >= EINSUM_OPSET:
        return helper.make_node("Einsum", node.inputs[:2], node.outputs, equation="nchw,ijrscm->nmij")
    if _misjudged(node, graph) or (other_opset and not symbolic.keeps_shape(node)):
        return helper.make_node("Unknown", node.inputs, node.outputs, domain=UNKNOWN_DOMAIN)
    if other_opset:
        return helper.make_node("Identity", [node.inputs[0]], [node.outputs[0]])
    bodies = {key: graph_proto(body, partial(_plain_proto, graph=body), MAX_SHAPE_ELEMENTS) for key, body in node.bodies.items()}
    return node_proto(replace(node, attrs={**node.attrs, **bodies}) if bodies else node, inputs=node.inputs[:onnx_arity(node)])


def _misjudged(node: Node, graph: Graph) -> bool:
    """onnx counts pooling windows in the padding, scales sizes in double where float32 is meant, writes 0 for Attention's free sizes."""
    if node.op_type == "Attention":
        return not all(isinstance(d, int) for info in graph.inputs
                       for d in (info.shape if info.shape is not None else (None,)))
    if node.op_type in ("MaxPool", "AveragePool", "LpPool"):
        return bool(node.attrs.get("ceil_mode", 0)) and (
            any(node.attrs.get("pads", [])) or node.attrs.get("auto_pad", "NOTSET") != "NOTSET"
        )
    if node.op_type in ("Resize", "Upsample"):
        scales = node.attrs.get("scales", graph.constants.get(node.input(1 if node.version < 11 else 2)))
        return scales is not None and any(float(s) * 64 % 1 for s in np.ravel(scales))
    return False
