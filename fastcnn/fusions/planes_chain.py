"""PlanesChain: convolutions from an input of the model to an output, on row-major planes as one step.

Layouts are chosen node by node, and a node on pixels costs a copy at either end. Here a whole chain is priced: on planes, or on pixels with
both copies.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeGuard

from fastcnn.convolve import planes_chain
from fastcnn.convolve.accuracy import FP32, Accuracy
from fastcnn.convolve.decision import Chooser
from fastcnn.convolve.shape import ConvShape
from fastcnn.fusions.fused import Neighbours
from fastcnn.fusions.nodes import conv_shape, is_clamp, is_conv
from fastcnn.ir.graph import Activation
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import ROUNDED

LEAST_LAYERS = 2            # one by itself: fastcnn.ops.convolution.planes


@dataclass(frozen=True)
class PlanesChain:
    """Nodes that each read what the one before them makes; a Unit."""

    parts: tuple[BoundNode, ...]

    op_type = "PlanesChain"

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.parts[-1].outputs

    @property
    def reads(self) -> tuple[str, ...]:
        made = {part.outputs[0] for part in self.parts}
        return tuple(name for part in self.parts for name in part.reads if name not in made)

    def where(self) -> str:
        return f"{self.op_type} {self.name!r}"

    def lower(self, low: Lowering) -> None:
        layers = [conv_shape(part) for part in self.parts]
        x, y = low.part(self.parts[0]).read(0, "dense"), low.part(self.parts[-1]).write(0, "dense")
        weights = [_packed(low.part(part), shape) for part, shape in zip(self.parts, layers)]
        low.emit("planes_chain", [y, x, *weights], sum(shape.macs for shape in layers), **planes_chain.fields_of(layers))


def with_chains(nodes: Sequence[BoundNode], near: Neighbours, planes: Collection[str], constants: Collection[str],
                chooser: Chooser) -> Sequence[Unit]:
    """The nodes of a stage, chains that pay as one unit in place of their last node.

    planes     the inputs that lie row-major and the outputs that have to; a chain leads from one to another
    constants  the values that do not depend on shapes
    """
    ends = [name for name in planes if name in near.outputs and not near.readers.get(name)]
    makers = {node.outputs[0]: node for node in nodes if node.op_type == "Conv"} if ends else {}
    chains = [_chain_to(name, makers, near, lambda node: _may_be_layer(node, constants, chooser.accuracy)) for name in ends]
    found = {id(chain[-1]): chain for chain in chains if chain and _fits(chain, planes) and chooser.chain(tuple(map(conv_shape, chain)))}
    inside = {id(part) for chain in found.values() for part in chain}
    return [PlanesChain(found[id(node)]) if id(node) in found else node for node in nodes if id(node) in found or id(node) not in inside]


def _fits(chain: Sequence[BoundNode], planes: Collection[str]) -> bool:
    """Whether it begins with planes, and a step has room for its layers."""
    return LEAST_LAYERS <= len(chain) <= planes_chain.MOST_LAYERS and chain[0].node.input(0) in planes


def _chain_to(name: str, makers: Mapping[str, BoundNode], near: Neighbours, is_layer: Callable[[BoundNode], bool]) -> tuple[BoundNode, ...]:
    """The layers before a value, as far as each is read by the next alone."""
    chain: list[BoundNode] = []
    while name in makers and is_layer(makers[name]) and (not chain or near.is_private(name)):
        chain.insert(0, makers[name])
        name = chain[0].node.input(0)
    return tuple(chain)


def _may_be_layer(b: BoundNode, constants: Collection[str], accuracy: Accuracy) -> TypeGuard[BoundNode]:
    """Whether the step computes the node, to the bit as its float32 kernels on planes do."""
    exact = ROUNDED not in b.node.attrs and not accuracy.rounds(b.name) and accuracy.weights_of(b.name) == FP32
    if not exact or not is_conv(b) or b.args.spec(0).dtype != F32 or not is_clamp(b.node.activation):
        return False
    if any(name and name not in constants for name in b.node.inputs[1:]):       # packs must not depend on the shape
        return False
    shape = conv_shape(b)
    return 0 not in (*shape.x_extents, *shape.y_extents) and planes_chain.covers(shape)


def _bounds(activation: Activation | None) -> tuple[float, float]:
    """What a clamp keeps its values between."""
    if activation is None:
        return -math.inf, math.inf
    return (0.0, math.inf) if activation.name == "Relu" else (activation.alpha, activation.beta)


def _packed(low: Lowering, shape: ConvShape) -> Tensor:
    """What the step reads of a layer."""
    bounds = _bounds(low.node.activation)
    key = low.node.input(1), low.node.input(2), "planes chain", *bounds
    return low.packed(key, lambda: planes_chain.pack(shape, low.contents(1), low.contents(2) if low.args.has(2) else None, bounds),
                      planes_chain.packed_spec(shape))
