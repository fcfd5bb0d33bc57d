"""Scale and shift before a Conv go into its weights where that is exact.

W (s x + t) + b = (W s) x + (W t + b). The padding of the Conv stands for zeros, which the shift would not reach: with
padding only scales are folded (t = 0).
"""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.mapping import forget
from fastcnn.passes.facts import AFFINE, affine, has_slope, replace_nodes, sole_reader
from fastcnn.passes.rewrite import constant


def affine_before(graph: Graph) -> bool:
    """Folds BatchNormalization, Mul, Div, Add and Sub a channel into the Conv that alone reads them."""
    consumers, outputs, producers = graph.consumers(), graph.output_names(), graph.producers()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.op_type != "Conv" or node.domain or has_slope(node):
            continue
        before = producers.get(node.inputs[0])
        if before is None or before.op_type not in AFFINE or id(before) in changed or sole_reader(before, consumers, outputs) is not node:
            continue
        folded = _folded(graph, before, node)
        if folded is not None:
            changed[id(before)], changed[id(node)] = None, folded
    return replace_nodes(graph, changed)


def _folded(graph: Graph, before: Node, conv: Node) -> Node | None:
    w, bias = constant(graph, conv, 1), constant(graph, conv, 2)
    if w is None or w.dtype.kind != "f" or (conv.input(2) and bias is None):
        return None
    channels = w.shape[1] * conv.attrs.get("group", 1)
    source = next((v for v in before.inputs if v not in graph.constants), "")
    shape = shape_of(graph, source)
    if shape is None or len(shape) != w.ndim or shape[1] != channels:      # else the constant may add channels to it
        return None
    found = affine(graph, before, source, w.ndim, channels, 1)
    if found is None or (found[1].any() and not _unpadded(conv)):
        return None
    scale, shift = (v.reshape(conv.attrs.get("group", 1), 1, w.shape[1]) for v in found)
    grouped = w.astype(np.float64).reshape(scale.shape[0], -1, *w.shape[1:])
    forget(w)
    ones = [1] * (w.ndim - 2)
    scaled = (grouped * scale.reshape(*scale.shape, *ones)).reshape(w.shape)
    inputs = [source, add_constant(graph, f"{conv.inputs[1]}.scaled", scaled.astype(w.dtype)), *conv.inputs[2:]]
    if shift.any():
        moved = (grouped * shift.reshape(*shift.shape, *ones)).sum(tuple(range(2, grouped.ndim))).reshape(-1)
        total = moved + (0.0 if bias is None else bias.astype(np.float64))
        inputs[2:3] = [add_constant(graph, f"{conv.inputs[1]}.bias", total.astype(w.dtype))]
    return conv.but(inputs=tuple(inputs))


def _unpadded(conv: Node) -> bool:
    auto = conv.attrs.get("auto_pad", "NOTSET")
    return auto == "VALID" or (auto in ("NOTSET", "") and not any(conv.attrs.get("pads", [])))
