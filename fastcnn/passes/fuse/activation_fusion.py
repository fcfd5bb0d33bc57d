"""An activation behind a node becomes the node's epilogue."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.expansion import add_constant
from fastcnn.ir.graph import Activation, Graph, Node
from fastcnn.operators.card import Card
from fastcnn.operators.cards import CARDS, card_of
from fastcnn.passes.facts import absorb_readers, clip_limits, has_slope, is_float, limits_of_activation
from fastcnn.passes.rewrite import constant

# Operators whose kernels apply an activation to what they are about to store.
TAKES_ACTIVATION = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "BatchNormalization", "InstanceNormalization",
                              "GroupNormalization", "LocallyConnected"})
ACTIVATIONS = frozenset({"PRelu", *(name for (_, name), card in CARDS.items() if card.function is not None and card.function.fused)})


def activation_fusion(graph: Graph) -> bool:
    """Fuses activations onto the nodes of TAKES_ACTIVATION that nothing else reads."""
    return absorb_readers(graph, lambda node, reader: _fused(graph, node, reader), TAKES_ACTIVATION, ACTIVATIONS)


def _fused(graph: Graph, node: Node, reader: Node) -> Node | None:
    value = node.outputs[0]
    card = card_of(reader)
    if card is None or reader.inputs[0] != value or not is_float(graph, value) or has_slope(node):
        return None
    if reader.op_type == "PRelu" and node.activation is None:
        return _with_slope(graph, node, reader)
    activation = activation_of(graph, reader, card)
    if activation is None:
        return None
    if node.activation is not None:
        activation = composed(node.activation, activation)
    return None if activation is None else node.but(activation=activation)


def activation_of(graph: Graph, node: Node, card: Card) -> Activation | None:
    """The Activation that a node would be as an epilogue; None where it cannot be one or its parameters are not constant."""
    if card.function is None or not card.function.fused:
        return None
    if node.op_type != "Clip":
        return Activation(*card.call(node.op_type, node.attrs))
    limits = clip_limits(graph, node)
    if limits is None or limits[0] > limits[1]:
        return None
    return Activation("Relu") if limits == (0.0, math.inf) else Activation("Clip", *limits)


def composed(first: Activation, second: Activation) -> Activation | None:
    """One Activation equal to second(first(x)), for limits (Relu, Clip); None for others."""
    a, b = limits_of_activation(first), limits_of_activation(second)
    if a is None or b is None or b[0] > b[1]:
        return None
    low, high = (min(max(v, b[0]), b[1]) for v in a)
    return Activation("Relu") if (low, high) == (0.0, math.inf) else Activation("Clip", low, high)


def _with_slope(graph: Graph, node: Node, prelu: Node) -> Node | None:
    """A scalar slope is a LeakyRelu; one a channel goes to the 5th input of a convolution."""
    slope = constant(graph, prelu, 1)
    if slope is None:
        return None
    w = constant(graph, node, 1)
    if node.op_type not in ("Conv", "ConvTranspose") or w is None:
        return (
            node.but(activation=Activation("LeakyRelu", float(slope.reshape(()))))
            if slope.shape in ((), (1,))
            else None
        )
    if slope.size == 1 and slope.ndim <= w.ndim:
        return node.but(activation=Activation("LeakyRelu", float(slope.reshape(()))))
    channels = w.shape[0] if node.op_type == "Conv" else w.shape[1] * node.attrs.get("group", 1)
    shape = (1,) * (w.ndim - slope.ndim) + slope.shape
    if slope.ndim > w.ndim or shape != (1, channels, *[1] * (w.ndim - 2)):
        return None
    name = add_constant(graph, f"{prelu.inputs[1]}.vector", np.ascontiguousarray(slope.reshape(-1)))
    return node.but(inputs=(*node.inputs, *[""] * (4 - len(node.inputs)), name))
