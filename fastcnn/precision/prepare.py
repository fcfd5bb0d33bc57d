"""Prepares a float graph for quantising: standard operators, with normalisations folded into weights."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.inference.site import Known
from fastcnn.inference.types import infer_types
from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.mapping import resident
from fastcnn.passes.facts import replace_by_several
from fastcnn.passes.fold.affine_after import affine_after
from fastcnn.passes.fold.constant_folding import constant_folding
from fastcnn.passes.simplify.bodies import body_constants, branch_inlining
from fastcnn.passes.simplify.dead_code import dead_code
from fastcnn.passes.simplify.identity_removal import identity_removal
from fastcnn.passes.standardise.canonical_forms import canonical_forms

# Rewrites to operators of ONNX alone: what they leave can be written to a file again.
PASSES: tuple[Callable[[Graph], bool], ...] = (body_constants, branch_inlining, constant_folding, canonical_forms, identity_removal,
                                               affine_after, dead_code)
MOST_ROUNDS = 20


def prepared(graph: Graph) -> Graph:
    """The graph rewritten until nothing changes, types and shapes inferred, weights in memory; the given one stays as it is."""
    graph = replace(graph, constants=dict(graph.constants), types=dict(graph.types), shapes=dict(graph.shapes))
    with np.errstate(all="ignore"):
        for _ in range(MOST_ROUNDS):
            if not any([rewrite(graph) for rewrite in PASSES]):
                break
    _without_biases(graph)
    graph.constants = {name: resident(array) for name, array in graph.constants.items()}
    known = infer_types(graph)
    outputs = [_said(info, known) for info in graph.outputs]
    return replace(graph, outputs=outputs, types=known.types, shapes=known.shapes, contents=known.contents)


def _said(info: ValueInfo, known: Known) -> ValueInfo:
    """An output with the type and the sizes that are inferred where the file does not say them."""
    shape = known.shapes.get(info.name)
    sizes = info.shape if info.shape is not None or shape is None else tuple(d if isinstance(d, int) else None for d in shape)
    return ValueInfo(info.name, info.type or known.types.get(info.name, ""), sizes)


def _without_biases(graph: Graph) -> None:
    """A MatMul that was given a bias, which ONNX's has not, as a Gemm of rows, else with an Add behind it."""
    changed: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op_type != "MatMul" or node.domain or not node.input(2):
            continue
        rank = len(shape_of(graph, node.outputs[0]) or ())
        if rank == 2:
            changed[id(node)] = [node.but(op_type="Gemm", version=max(node.version, 13))]
        else:
            product = graph.fresh_name(f"{node.outputs[0]}/product")
            changed[id(node)] = [node.but(inputs=node.inputs[:2], outputs=(product,)),
                                 Node("Add", (product, node.inputs[2]), node.outputs, {}, f"{node.name}/bias", "", max(node.version, 7))]
    replace_by_several(graph, changed)


def with_constant(graph: Graph, node: Node, i: int, array: np.ndarray, stem: str) -> Node:
    """The node reading a new constant as its input i."""
    inputs = [*node.inputs, *[""] * (i + 1 - len(node.inputs))]
    inputs[i] = add_constant(graph, stem, array)
    return node.but(inputs=tuple(inputs))
