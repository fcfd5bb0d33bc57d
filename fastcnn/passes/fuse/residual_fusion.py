"""The Add that joins two branches becomes the epilogue of the convolution or matrix product that comes last: y = conv(x) + residual."""
from __future__ import annotations

from fastcnn.expansion import shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import has_epilogue, is_float, replace_nodes, sole_reader
from fastcnn.passes.rewrite import constant, same_shape

# Operators whose 4th input is added to the result before the activation.
TAKES_RESIDUAL = frozenset({"Conv", "ConvTranspose", "MatMul"})


def residual_fusion(graph: Graph) -> bool:
    """Fuses Adds of two values that certainly have the same shape; the convolution moves to the place of the Add."""
    consumers, outputs, producers = graph.consumers(), graph.output_names(), graph.producers()
    place: dict[int, int] = {}
    changed: dict[int, Node | None] = {}
    for node in [node for node in graph.nodes if node.op_type == "Add"]:
        if node.domain or len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
            continue
        if not same_shape(*(shape_of(graph, v) for v in node.inputs)) or not is_float(graph, node.inputs[0]):
            continue
        place = place or {id(other): i for i, other in enumerate(graph.nodes)}
        branches = [producers.get(v) for v in node.inputs]
        able = [(place[id(b)], i) for i, b in enumerate(branches) if b is not None and id(b) not in changed
                and takes_residual(graph, b) and sole_reader(b, consumers, outputs) is node]
        if not able:
            continue
        _, side = max(able)
        conv = branches[side]
        assert conv is not None
        inputs = (*conv.inputs, *[""] * (3 - len(conv.inputs)), node.inputs[1 - side])
        changed[id(conv)] = None
        changed[id(node)] = conv.but(inputs=inputs, outputs=node.outputs, activation=node.activation)
    return replace_nodes(graph, changed)


def takes_residual(graph: Graph, node: Node) -> bool:
    """Whether the node can add one more value to its result; a MatMul can where its weights are one constant matrix."""
    if node.op_type not in TAKES_RESIDUAL or node.domain or has_epilogue(node):
        return False
    return node.op_type != "MatMul" or getattr(constant(graph, node, 1), "ndim", 0) == 2
