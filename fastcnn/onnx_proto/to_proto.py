"""Converts Nodes and Graphs to ONNX's messages, for its reference evaluator. It imports onnx, so it is itself imported only when used."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, helper, numpy_helper

from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS, attribute_type, element_name, type_proto


def attribute_proto(name: str, value: Any, kind: int | None) -> AttributeProto:
    """The AttributeProto of a plain value; `kind` gives the element type of an empty list."""
    if isinstance(value, Graph):
        value = graph_proto(value)
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, numpy_helper.from_array(value))
    if isinstance(value, str):
        return helper.make_attribute(name, value.encode("utf-8", "surrogateescape"))
    if isinstance(value, (list, tuple)):
        if not len(value):
            return helper.make_attribute(name, [], attr_type=kind or AttributeProto.INTS)
        if isinstance(value[0], np.ndarray):
            value = [numpy_helper.from_array(v) for v in value]
        elif isinstance(value[0], str):
            value = [v.encode("utf-8", "surrogateescape") for v in value]
    return helper.make_attribute(name, value)


def node_proto(node: Node, inputs: Iterable[str] | None = None, outputs: Iterable[str] | None = None) -> NodeProto:
    """The NodeProto of a node (its fused epilogue left out), under other value names when they are given."""
    proto = NodeProto(op_type=node.op_type, domain=node.domain, name=node.name)
    proto.input.extend(node.inputs if inputs is None else inputs)
    proto.output.extend(node.outputs if outputs is None else outputs)
    kinds: dict[str, int] = {}
    if any(isinstance(v, (list, tuple)) and not len(v) for v in node.attrs.values()):
        kinds = attribute_kinds(node)
    proto.attribute.extend(attribute_proto(k, v, kinds.get(k)) for k, v in node.attrs.items())
    return proto


def attribute_kinds(node: Node) -> dict[str, int]:
    """Attribute name -> AttributeProto type by the operator's schema; empty for an unknown operator."""
    try:
        schema = onnx.defs.get_schema(node.op_type, max(node.version, 1), node.domain)
    except onnx.defs.SchemaError:
        return {}
    return {name: attribute_type(a) for name, a in schema.attributes.items()}


def graph_proto(graph: Graph, proto_of: Callable[[Node], NodeProto] | None = None, weights: int | None = None) -> GraphProto:
    """The GraphProto of a graph, for instance of a body of control flow.

    proto_of  the message of a node in it; None: node_proto
    weights   constants with more elements are written without their data; None: none
    """
    proto = GraphProto(name=graph.name)
    proto.node.extend((proto_of or node_proto)(node) for node in graph.nodes)
    for field, infos in ((proto.input, graph.inputs), (proto.output, graph.outputs)):
        for info in infos:
            value = field.add(name=info.name)
            if info.type:
                value.type.CopyFrom(type_proto(info.type, info.shape))
    for name, array in graph.constants.items():
        if weights is None or array.size <= weights:
            proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        else:
            proto.initializer.add(name=name, data_type=ELEMENT_NUMBERS[element_name(array.dtype)], dims=array.shape)
    return proto
