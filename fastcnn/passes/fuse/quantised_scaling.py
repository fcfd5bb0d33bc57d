"""A BatchNormalization whose result is only quantised makes the bytes itself: the floats between are neither written nor read again."""
from __future__ import annotations

from math import inf

import numpy as np

from fastcnn.expansion import add_constant, type_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.passes.facts import batch_affine, limits_of_activation, replace_nodes, sole_reader


def quantised_scaling(graph: Graph) -> bool:
    """BatchNormalization and QuantizeBytes become one QuantizeScaled. A Relu or Clip between them is the first one's activation by now."""
    consumers, outputs = graph.consumers(), graph.output_names()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.op_type != "BatchNormalization" or node.domain or type_of(graph, node.inputs[0]) != "tensor(float)":
            continue
        reader = sole_reader(node, consumers, outputs)
        if reader is None or reader.op_type != "QuantizeBytes" or reader.domain != OWN_DOMAIN:
            continue
        limits = limits_of_activation(node.activation) if node.activation is not None else (-inf, inf)
        parameters = batch_affine(graph, node)
        if limits is None or parameters is None:
            continue
        names = [add_constant(graph, f"{reader.outputs[0]}/{what}", values.astype(np.float32))
                 for what, values in zip(("factors", "offsets"), parameters)]
        attrs = {**reader.attrs, "lo": limits[0], "hi": limits[1]}
        changed[id(node)] = None
        changed[id(reader)] = Node("QuantizeScaled", (node.inputs[0], *names), reader.outputs, attrs, node.name, OWN_DOMAIN, 1)
    return replace_nodes(graph, changed)
