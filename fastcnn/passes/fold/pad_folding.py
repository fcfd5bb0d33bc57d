"""Zeros put around a tensor by a Pad become the padding of the convolution or pooling that reads it."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from fastcnn.expansion import shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import clip_limits, replace_nodes
from fastcnn.passes.rewrite import constant

Pads = tuple[list[int], list[int]]         # spatial elements before, after

# Results of these are never negative, whatever they read.
NON_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softplus"})
# Non-negative when what they read is.
KEEPS_SIGN = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Concat", "Identity", "Reshape",
                        "Transpose"})


def pad_folding(graph: Graph) -> bool:
    """Lets each Conv and pooling read past the Pad before it where the result is exactly the same."""
    producers = graph.producers()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        fold = FOLDS.get(node.op_type)
        before = producers.get(node.inputs[0]) if fold is not None and not node.domain else None
        if fold is None or before is None or before.op_type != "Pad" or before.domain:
            continue
        folded = fold(graph, before, node, producers)
        if folded is not None:
            changed[id(node)] = folded.but(inputs=(before.inputs[0], *node.inputs[1:]))
    return replace_nodes(graph, changed)


def constant_pad(graph: Graph, node: Node, rank: int) -> tuple[Pads, float] | None:
    """(pads of the spatial axes, value) of a Pad by a constant, of spatial axes only, without cutting; else None."""
    if node.attrs.get("mode", "constant") != "constant":
        return None
    if node.version < 11:
        pads, value, axes = node.attrs.get("pads"), node.attrs.get("value", 0.0), None
    else:
        found = constant(graph, node, 1)
        fill = constant(graph, node, 2) if node.input(2) else np.zeros(1)
        axes = constant(graph, node, 3)
        if found is None or fill is None or (node.input(3) and axes is None):
            return None
        pads, value = found.tolist(), float(fill.reshape(-1)[0]) if fill.size else 0.0
    if pads is None or any(p < 0 for p in pads):
        return None
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(range(rank) if axes is None else axes.tolist()):
        before[axis], after[axis] = int(pads[i]), int(pads[i + len(pads) // 2])
    return None if any(before[:2] + after[:2]) else ((before[2:], after[2:]), value)


def _explicit_pads(node: Node, rank: int) -> list[int] | None:
    """The node's own pads; None when they depend on the size of its input."""
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * 2 * rank
    return list(node.attrs.get("pads") or [0] * 2 * rank) if auto in ("NOTSET", "") else None


def _with_pads(graph: Graph, pad: Node, node: Node, rank: int) -> tuple[Node, float] | None:
    """The node with the Pad's elements added to its own, and their value."""
    found, own = constant_pad(graph, pad, rank + 2), _explicit_pads(node, rank)
    if found is None or own is None:
        return None
    (before, after), value = found
    attrs = {k: v for k, v in node.attrs.items() if k != "auto_pad"}
    attrs["pads"] = [a + b for a, b in zip(own, before + after)]
    return node.but(attrs=attrs), value


def _conv(graph: Graph, pad: Node, node: Node, producers: Mapping[str, Node]) -> Node | None:
    """The padding of a Conv is zeros."""
    w = shape_of(graph, node.inputs[1])
    folded = _with_pads(graph, pad, node, len(w) - 2) if w is not None else None
    return folded[0] if folded is not None and folded[1] == 0 else None


def _average_pool(graph: Graph, pad: Node, node: Node, producers: Mapping[str, Node]) -> Node | None:
    """Average pooling: a Pad's zeros count, so count_include_pad becomes 1; not if the pool's own padding did not count."""
    own = _explicit_pads(node, len(node.attrs["kernel_shape"]))
    if node.attrs.get("ceil_mode", 0) or own is None or (any(own) and not node.attrs.get("count_include_pad", 0)):
        return None
    folded = _with_pads(graph, pad, node, len(node.attrs["kernel_shape"]))
    if folded is None or folded[1] != 0 or not _narrow(folded[0]):
        return None
    return replace(folded[0], attrs={**folded[0].attrs, "count_include_pad": 1})


def _max_pool(graph: Graph, pad: Node, node: Node, producers: Mapping[str, Node]) -> Node | None:
    """The padding of a MaxPool never wins.

    Zeros of a Pad never win either where no element is negative and no window lies in the padding alone, which padding
    narrower than the window ensures (without dilation and ceil_mode).
    """
    if node.attrs.get("ceil_mode", 0) or any(node.outputs[1:]) or any(d != 1 for d in node.attrs.get("dilations", [])):
        return None
    folded = _with_pads(graph, pad, node, len(node.attrs["kernel_shape"]))
    if folded is None or not _narrow(folded[0]):
        return None
    loses = folded[1] == -np.inf or (folded[1] == 0 and non_negative(graph, pad.inputs[0], producers))
    return folded[0] if loses else None


def _narrow(node: Node) -> bool:
    kernel = node.attrs["kernel_shape"]
    return all(p < k for p, k in zip(node.attrs["pads"], kernel + kernel))


def non_negative(graph: Graph, value: str, producers: Mapping[str, Node], depth: int = 8) -> bool:
    """Certainly no element below zero."""
    node = producers.get(value)
    if node is None or node.domain or not depth:
        return False
    if node.activation is not None:
        return node.activation.name in NON_NEGATIVE or (node.activation.name == "Clip" and node.activation.alpha >= 0)
    if node.op_type in NON_NEGATIVE:
        return True
    if node.op_type == "Clip":
        limits = clip_limits(graph, node)
        return limits is not None and limits[0] >= 0
    sources = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return node.op_type in KEEPS_SIGN and all(non_negative(graph, v, producers, depth - 1) for v in sources)


FOLDS: dict[str, Callable[[Graph, Node, Node, Mapping[str, Node]], Node | None]] = {
    "Conv": _conv,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
}
