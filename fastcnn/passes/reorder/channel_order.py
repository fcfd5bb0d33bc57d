"""Moves channel permutations into the weights of neighbouring convolutions, so that what a convolution reads lies in one run.

A Gather along channels moves memory. A dense Conv reads its channels in any order with permuted weights, and a Conv before a
Concat can write them in any order: in ShuffleNet V2 each unit's convolutions then read a slice of a Concat, and only the
half that passes through is moved.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.record import dataclass
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.passes.facts import replace_by_several, replace_nodes, sole_reader
from fastcnn.passes.recognise.channel_shuffle import channel_gather, channel_order_of
from fastcnn.passes.rewrite import constant, describe


@dataclass(frozen=True)
class Roles:
    """Inputs of a convolution beside x and w: those with a number for each output channel, and what is added to its sums."""

    by_output: tuple[int, ...]
    residual: int


CONVOLUTIONS = {("", "Conv"): Roles((2, 4), 3), (OWN_DOMAIN, "QConv"): Roles((2, 3), 4)}


def reading_order(graph: Graph) -> bool:
    """Convolutions behind a channel Gather read the channels as they lie: dense ones by permuted weights, depthwise ones before it."""
    consumers, outputs = graph.consumers(), graph.output_names()
    new: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op_type != "Gather" or id(node) in new:
            continue
        value = node.outputs[0]
        readers = consumers.get(value, [])
        if not any([(r.domain, r.op_type) in CONVOLUTIONS for r in readers]):
            continue
        order = channel_order_of(graph, node)
        if order is None:
            continue
        whole = order.size == _channels(graph, node.inputs[0]) and bool((np.bincount(order) == 1).all())
        dense = [r for r in readers if _is_dense(graph, r, value)]
        if whole:
            for reader in dense:
                new[id(reader)] = [_permuted_inputs(graph, reader, node.inputs[0], order)]
            for reader in readers:
                if _is_depthwise(graph, reader, value):
                    new[id(reader)] = _before(graph, reader, node, order)
        elif readers and len(dense) == len(readers) and value not in outputs and np.any(np.diff(order) < 0):
            name = graph.fresh_name(f"{value}.sorted")
            describe(graph, name, value)
            new[id(node)] = [channel_gather(graph, node, node.inputs[0], np.sort(order), name)]
            for reader in readers:
                new[id(reader)] = [_permuted_inputs(graph, reader, name, order)]
    return replace_by_several(graph, new)


def writing_order(graph: Graph) -> bool:
    """The Conv that writes part of a Concat writes first what a sorted Gather of the Concat takes beside the part before.

    All readers of the Concat are channel Gathers, exactly one of them sorted and in two runs, the first up to the end of a part, the
    second within the next. After this it is one run: a slice.
    """
    consumers, outputs, producers = graph.consumers(), graph.output_names(), graph.producers()
    new: dict[int, Node] = {}
    for node in graph.nodes:
        if node.op_type != "Concat" or node.domain or node.attrs.get("axis") != 1 or node.outputs[0] in outputs:
            continue
        readers = consumers.get(node.outputs[0], [])
        if not all([r.op_type == "Gather" for r in readers]):
            continue
        orders = [channel_order_of(graph, r) for r in readers]
        ascending = [o for o in orders if o is not None and np.all(np.diff(o) > 0)]
        if len(ascending) != 1 or any(o is None for o in orders) or id(node) in new:
            continue
        found = _second_run(graph, node, ascending[0])
        conv = producers.get(node.inputs[found[0]]) if found is not None else None
        if found is None or conv is None or sole_reader(conv, consumers, outputs) is not node or not _can_permute_outputs(graph, conv):
            continue
        part, begin, order = found
        name = graph.fresh_name(f"{conv.outputs[0]}.ordered")
        whole = graph.fresh_name(f"{node.outputs[0]}.ordered")
        describe(graph, name, conv.outputs[0])
        describe(graph, whole, node.outputs[0])
        new[id(conv)] = replace(_permuted_outputs(graph, conv, order), outputs=(name,))
        inputs = tuple(name if k == part else v for k, v in enumerate(node.inputs))
        new[id(node)] = node.but(inputs=inputs, outputs=(whole,))
        place = np.arange(_channels(graph, whole))
        place[begin + order] = np.arange(begin, begin + order.size)
        for reader, old in zip(readers, orders):
            assert old is not None
            new[id(reader)] = channel_gather(graph, reader, whole, place[old], reader.outputs[0])
    return replace_nodes(graph, new)


def _channels(graph: Graph, value: str) -> int:
    """How many channels a value has, -1 where that is not known."""
    shape = shape_of(graph, value)
    return shape[1] if shape is not None and len(shape) > 1 and isinstance(shape[1], int) else -1


def _is_conv(graph: Graph, node: Node, value: str) -> bool:
    """A convolution with constant weights, of floats or bytes, that reads the value as its input and nowhere else."""
    if (node.domain, node.op_type) not in CONVOLUTIONS or node.inputs[0] != value or node.reads.count(value) != 1:
        return False
    w = constant(graph, node, 1)
    return w is not None and w.ndim > 2


def _roles(node: Node) -> Roles:
    return CONVOLUTIONS[node.domain, node.op_type]


def _is_dense(graph: Graph, node: Node, value: str) -> bool:
    return _is_conv(graph, node, value) and node.attrs.get("group", 1) == 1


def _is_depthwise(graph: Graph, node: Node, value: str) -> bool:
    """One filter a channel, no residual, constant numbers for each."""
    if not _is_conv(graph, node, value) or not _can_move_vectors(graph, node):
        return False
    shape, group = graph.constants[node.inputs[1]].shape, node.attrs.get("group", 1)
    return group > 1 and shape[0] == group and shape[1] == 1


def _can_move_vectors(graph: Graph, node: Node) -> bool:
    """No residual; what there is for each output channel is constant."""
    roles = _roles(node)
    return not node.input(roles.residual) and all(constant(graph, node, i) is not None for i in roles.by_output if node.input(i))


def _can_permute_outputs(graph: Graph, node: Node) -> bool:
    return _is_dense(graph, node, node.inputs[0]) and _can_move_vectors(graph, node)


def _with_constants(graph: Graph, node: Node, arrays: Mapping[int, np.ndarray]) -> Node:
    names = {i: add_constant(graph, f"{node.inputs[i]}.ordered", np.ascontiguousarray(a)) for i, a in arrays.items()}
    return node.but(inputs=tuple(names.get(i, v) for i, v in enumerate(node.inputs)))


def _permuted_inputs(graph: Graph, conv: Node, source: str, order: np.ndarray) -> Node:
    """The Conv of channels `order` reading them sorted."""
    w = graph.constants[conv.inputs[1]]
    permuted = _with_constants(graph, conv, {1: np.take(w, np.argsort(order, kind="stable"), axis=1)})
    return permuted.but(inputs=(source, *permuted.inputs[1:]))


def _permuted_outputs(graph: Graph, conv: Node, order: np.ndarray) -> Node:
    """The Conv whose output channel k is what channel order[k] was."""
    return _with_constants(graph, conv, {i: graph.constants[conv.input(i)][order] for i in (1, *_roles(conv).by_output) if conv.input(i)})


def _before(graph: Graph, conv: Node, gather: Node, order: np.ndarray) -> list[Node]:
    """The depthwise Conv of what the Gather reads, then the Gather."""
    name = graph.fresh_name(f"{conv.outputs[0]}.unordered")
    describe(graph, name, conv.outputs[0])
    moved = replace(_permuted_outputs(graph, conv, np.argsort(order)), outputs=(name,))
    return [moved.but(inputs=(gather.inputs[0], *moved.inputs[1:])), channel_gather(graph, conv, name, order, conv.outputs[0])]


def _second_run(graph: Graph, concat: Node, order: np.ndarray) -> tuple[int, int, np.ndarray] | None:
    """(part, its first channel, the order it should have) where the channels are two runs that meet but for what precedes the second
    in its part."""
    ends = np.flatnonzero(np.diff(order) != 1)
    if ends.size != 1:
        return None
    last, first, stop = int(order[ends[0]]), int(order[ends[0] + 1]), int(order[-1]) + 1
    begin = 0
    for part, value in enumerate(concat.inputs):
        size = _channels(graph, value)
        if size < 0:
            return None
        if begin == last + 1 and first < begin + size and stop <= begin + size:
            here = np.arange(size)
            return part, begin, np.concatenate([here[first - begin:stop - begin], here[:first - begin], here[stop - begin:]])
        begin += size
    return None
