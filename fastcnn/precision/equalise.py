"""Cross-layer equalisation: scales each channel between two products so that its weights in both have equal ranges."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import replace_nodes, sole_reader
from fastcnn.precision.prepare import with_constant
from fastcnn.precision.products import BIAS, WEIGHT, is_product

# f(s x) = s f(x) for s > 0
HOMOGENEOUS = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity")
MOST_ROUNDS, STILL = 20, 1e-3           # until no factor is further from 1
WIDEST = 1e3                            # factors, at most


def equalised(graph: Graph) -> Graph:
    """The same function with other weights: row c of a Conv divided by s_c, what the next reads of channel c multiplied by it.

    s_c = sqrt(r1_c / r2_c), r the largest |w| of the channel in each: both become sqrt(r1_c r2_c). Between the two may stand what is
    positively homogeneous, read by nobody else. After Nagel et al. (2019), section 4.1.
    """
    graph = replace(graph, nodes=list(graph.nodes), constants=dict(graph.constants))
    for _ in range(MOST_ROUNDS):
        furthest = 0.0
        for first, second in _pairs(graph):
            furthest = max(furthest, _equalise(graph, first, second))
        if furthest < STILL:
            break
    read = {v for node in graph.nodes for v in node.reads} | graph.output_names()
    graph.constants = {name: array for name, array in graph.constants.items() if name in read}
    return graph


def _pairs(graph: Graph) -> list[tuple[str, str]]:
    """Outputs of convolutions, each with that of the one that reads it."""
    consumers, outputs, found = graph.consumers(), graph.output_names(), []
    for first in graph.nodes:
        if first.op_type != "Conv" or not is_product(graph, first):
            continue
        reader = sole_reader(first, consumers, outputs)
        while reader is not None and reader.op_type in HOMOGENEOUS and not reader.domain:
            reader = sole_reader(reader, consumers, outputs)
        if reader is not None and reader.op_type == "Conv" and is_product(graph, reader):
            found.append((first.outputs[0], reader.outputs[0]))
    return found


def _equalise(graph: Graph, first: str, second: str) -> float:
    """Scales the channels between two; the largest |log s|."""
    one, two = graph.producers()[first], graph.producers()[second]
    w1, w2 = (graph.constants[node.inputs[WEIGHT]] for node in (one, two))
    group, each = two.attrs.get("group", 1), w2.shape[1]
    own = np.abs(w1.reshape(w1.shape[0], -1)).max(1)
    read = np.abs(w2.reshape(group, w2.shape[0] // group, each, -1)).max((1, 3)).reshape(-1)
    used = (own > 0) & (read > 0)
    factors = np.ones(own.size)
    factors[used] = np.clip(np.sqrt(own[used].astype(np.float64) / read[used]), 1 / WIDEST, WIDEST)
    ones = [1] * (w1.ndim - 1)
    changed: dict[int, Node | None] = {id(one): _with_weights(graph, one, w1 / factors.reshape(-1, *ones), 1 / factors)}
    spread = np.repeat(factors.reshape(group, 1, each), w2.shape[0] // group, axis=1).reshape(w2.shape[0], each, *[1] * (w2.ndim - 2))
    changed[id(two)] = _with_weights(graph, two, w2 * spread, None)
    replace_nodes(graph, changed)
    return float(np.abs(np.log(factors)).max(initial=0.0))


def _with_weights(graph: Graph, node: Node, w: np.ndarray, factors: np.ndarray | None) -> Node:
    """The node with other weights, its bias times factors."""
    bias = graph.constants.get(node.input(BIAS))
    node = _put(graph, node, WEIGHT, w)
    return node if bias is None or factors is None else _put(graph, node, BIAS, bias.reshape(-1) * factors)


def _put(graph: Graph, node: Node, i: int, array: np.ndarray) -> Node:
    """The node with another constant in place of its own, or of one that others read too."""
    array, own = np.ascontiguousarray(array, np.float32), node.inputs[i]
    if own.endswith("_equalised") and sum(own in other.reads for other in graph.nodes) == 1:
        graph.constants[own] = array
        return node
    return with_constant(graph, node, i, array, f"{own}_equalised")
