"""Types and shapes by onnx's shape inference, weights left out of it. Imports onnx: whoever needs it imports this."""
from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper, shape_inference

from fastcnn.epilogue import onnx_arity
from fastcnn.graph import Graph, Node, Shape
from fastcnn.onnx_proto.to_proto import graph_proto, node_proto
from fastcnn.onnx_proto.types import element_of, tensor_type, type_shape, type_string

# Only constants this small can be a shape, axes, pads or scales; larger ones are given to inference by type alone.
MAX_SHAPE_ELEMENTS = 64
# Stands in for operators whose inferred size could be wrong: nothing is known of what they make.
UNKNOWN_DOMAIN = "fastcnn.unknown"
# Since this opset there is an operator of the shapes and types of LocallyConnected.
EINSUM_OPSET = 12
# Operators that passes write in another opset than the model's, and that do not keep the shape of their first input.
RESHAPING = ("ConstantOfShape", "GridSample", "Pad", "Slice", "Unique")


def infer_by_onnx(graph: Graph, types: dict[str, str], shapes: dict[str, Shape]) -> None:
    """Adds to the types and shapes of inputs and constants those of the other values. Raises whatever onnx does when it gives up."""
    inferred = shape_inference.infer_shapes(_skeleton(graph, types, shapes), data_prop=True).graph
    for info in (*inferred.value_info, *inferred.output):
        types.setdefault(info.name, type_string(info.type))
        shape = type_shape(info.type)
        if shape is not None:
            shapes.setdefault(info.name, shape)


def _skeleton(graph: Graph, types: dict[str, str], shapes: dict[str, Shape]) -> ModelProto:
    """The model with large constants as inputs and without claims about intermediate values, which files get wrong."""
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
    proto.node.extend(_plain_proto(n, graph) for n in graph.nodes)
    known = {i.name for i in proto.input} | {i.name for i in proto.initializer}
    proto.output.extend(helper.make_empty_tensor_value_info(o.name) for o in graph.outputs if o.name not in known)
    return ModelProto(ir_version=10, graph=proto, opset_import=[
        helper.make_opsetid(domain, version) for domain, version in {**graph.opsets, UNKNOWN_DOMAIN: 1}.items()])


def _plain_proto(node: Node, graph: Graph) -> NodeProto:
    """The node as ONNX writes it. One of another opset than the model's is a pass's: it keeps its input's shape, but for RESHAPING."""
    if _misjudged(node, graph):
        return helper.make_node("Unknown", node.inputs, node.outputs, domain=UNKNOWN_DOMAIN)
    if node.op_type == "LocallyConnected" and graph.opsets.get("", 0) >= EINSUM_OPSET:
        return helper.make_node("Einsum", node.inputs[:2], node.outputs, equation="nchw,ijrscm->nmij")
    if node.version != graph.opsets.get(node.domain) and (node.domain or node.op_type in RESHAPING):
        return helper.make_node("Unknown", node.inputs, node.outputs, domain=UNKNOWN_DOMAIN)
    if node.version != graph.opsets.get(node.domain):
        return helper.make_node("Identity", [node.inputs[0]], [node.outputs[0]])
    bodies = {key: graph_proto(body, partial(_plain_proto, graph=body), MAX_SHAPE_ELEMENTS) for key, body in node.bodies.items()}
    return node_proto(replace(node, attrs={**node.attrs, **bodies}) if bodies else node, inputs=node.inputs[:onnx_arity(node)])


def _misjudged(node: Node, graph: Graph) -> bool:
    """onnx counts pooling windows that start in the padding, and scales sizes in double where float32 is meant."""
    if node.op_type in ("MaxPool", "AveragePool", "LpPool"):
        return bool(node.attrs.get("ceil_mode", 0)) and (
            any(node.attrs.get("pads", [])) or node.attrs.get("auto_pad", "NOTSET") != "NOTSET"
        )
    if node.op_type in ("Resize", "Upsample"):
        scales = node.attrs.get("scales", graph.constants.get(node.input(1 if node.version < 11 else 2)))
        return scales is not None and any(float(s) * 64 % 1 for s in np.ravel(scales))
    return False
