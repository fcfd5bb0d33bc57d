"""Origins: for each node of the optimised graph, the nodes of the file that it replaces and the weights that these read."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastcnn.ir.graph import Graph, Node

SHAPE_ONLY = ("Shape", "Size")
# Operator -> (positions of weights, positions of biases) among its inputs. Running statistics of BatchNormalization are neither.
LEARNT: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "FusedConv", "FusedGemm", "BatchNormalization", "InstanceNormalization",
                     "GroupNormalization", "LayerNormalization", "RMSNormalization"), ((1,), (2,))),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), ((1, 2), (3,))),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), ((3,), (8,))),
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "PRelu"), ((1,), ())),
    **dict.fromkeys(("MatMul", "Einsum", "Mul", "Div", "FusedMatMul"), ((0, 1, 2, 3), ())),
    **dict.fromkeys(("Add", "Sub", "Sum"), ((), (0, 1, 2, 3))),
    "DeformConv": ((1,), (3,)),
    "Gather": ((0,), ()),
}
FLAT = ("Mul", "Div", "Add", "Sub", "Sum", "Gather")           # operators that read constants of other kinds too


@dataclass
class Origin:
    """nodes of the file in their order; elements of their weights and biases by the name of the initializer."""

    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)
    biases: dict[str, int] = field(default_factory=dict)


def origins(before: Graph, after: Sequence[Node]) -> list[Origin]:
    """For each node of `after`, the nodes of `before` between its output and the nearest values that exist in both graphs.

    before  the graph as it was read. Nodes that only compute shapes belong to no node.
    """
    order = {id(node): k for k, node in enumerate(before.nodes)}
    makers, moving = before.producers(), _moving(before)
    stands = {name: _stands_for(name, makers) for node in after for name in node.outputs if name}
    made = {other for other in stands.values() if other}
    found, taken = [], set[int]()
    for node in after:
        origin, queue, seen = Origin(), [stands[name] for name in node.outputs if name], set[int]()
        while queue:
            maker = makers.get(queue.pop())
            if maker is None or id(maker) in seen or id(maker) not in moving:
                continue
            seen.add(id(maker))
            queue += [name for name in maker.reads if name not in made]
        origin.nodes = sorted((n for n in before.nodes if id(n) in seen - taken), key=lambda n: order[id(n)])
        taken |= seen
        for part in origin.nodes:
            _add_learnt(part, before, makers, moving, origin)
        found.append(origin)
    return found


def _stands_for(name: str, makers: Mapping[str, Node]) -> str:
    """The value of the file that a value stands for: itself, or the one a pass derived its name from ("x/unsigned"); "" for none."""
    while name and name not in makers:
        name = name[:max(name.rfind("/"), name.rfind("_"), 0)]
    return name


def _moving(graph: Graph) -> set[int]:
    """The ids of nodes whose outputs depend on the elements of an input, or are random."""
    values = {info.name for info in graph.inputs}
    moving = set()
    for node in graph.nodes:
        if node.op_type not in SHAPE_ONLY and (not node.reads or any(name in values for name in node.reads)):
            moving.add(id(node))
            values.update(node.outputs)
    return moving


def _add_learnt(node: Node, graph: Graph, makers: Mapping[str, Node], moving: Iterable[int], origin: Origin) -> None:
    positions = LEARNT.get(node.op_type)
    for kind, target in zip(positions or (), (origin.weights, origin.biases)):
        for i in kind:
            root = _root(node.input(i), graph, makers, moving)
            if root is not None and (root[1] > 1 or node.op_type not in FLAT):
                target[root[0]] = root[1]
    for body in node.bodies.values():
        for inner in body.nodes:
            _add_learnt(inner, _with_constants(body, graph), body.producers(), (), origin)


def _with_constants(body: Graph, graph: Graph) -> Graph:
    return Graph(body.nodes, body.inputs, body.outputs, {**graph.constants, **body.constants}, body.opsets)


def _root(name: str, graph: Graph, makers: Mapping[str, Node], moving: Iterable[int]) -> tuple[str, int] | None:
    """(name, elements) of the constant that a value comes from; None for values that depend on inputs, and for sizes (int64)."""
    for _ in range(len(graph.nodes) + 1):
        if name in graph.constants:
            array = graph.constants[name]
            return None if array.dtype.kind == "i" and array.dtype.itemsize == 8 else (name, array.size)
        maker = makers.get(name)
        if maker is None or id(maker) in moving or not maker.inputs:
            return None
        if maker.op_type == "ConstantOfShape" and maker.inputs[0] in graph.constants:
            return name, math.prod(int(n) for n in np.ravel(graph.constants[maker.inputs[0]]))
        name = maker.inputs[0]
    return None
