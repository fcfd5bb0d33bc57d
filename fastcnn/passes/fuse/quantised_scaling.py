"""A BatchNormalization whose result is only quantised makes the bytes itself: the floats between are neither written nor read again."""
from __future__ import annotations

from math import inf

import numpy as np

from fastcnn.expansion import add_constant, type_of
from fastcnn.ir.graph import Activation, Graph, Node
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.passes.facts import batch_affine, replace_nodes, sole_reader


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
        limits, parameters = _limits(node.activation), batch_affine(graph, node)
        if limits is None or parameters is None:
            continue
        names = [add_constant(graph, f"{reader.outputs[0]}/{what}", values.astype(np.float32))
                 for what, values in zip(("factors", "offsets"), parameters)]
        attrs = {**reader.attrs, "lo": limits[0], "hi": limits[1]}
        changed[id(node)] = None
        changed[id(reader)] = Node("QuantizeScaled", (node.inputs[0], *names), reader.outputs, attrs, node.name, OWN_DOMAIN, 1)
    return replace_nodes(graph, changed)


def _limits(activation: Activation | None) -> tuple[float, float] | None:
    """The limits that an activation is; None where it is something else."""
    if activation is None:
        return -inf, inf
    if activation.name == "Relu":
        return 0.0, inf
    return (activation.alpha, activation.beta) if activation.name == "Clip" else None
