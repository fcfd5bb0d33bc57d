"""Upgrades a graph of an opset before 7 to opset 7, so that everything behind the reader sees the newer forms only."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastcnn.expansion import Rule, expand_nodes
from fastcnn.inference.types import infer_types
from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.reader.old_forms import NO_LONGER_OLD, OLD_FORMS, OLDEST_KEPT, STAND_INS, is_old

Known = Mapping[str, ValueInfo]


def upgraded(graph: Graph, around: Known | None = None) -> Graph:
    """The graph with the nodes of OLD_FORMS, in bodies too, in newer forms; itself where there are none.

    around  what is known of values that a body reads from the graphs around it
    Raises ModelError for what contradicts the text of a node's version, UnsupportedOperatorError for what has no newer form.
    """
    around = around or {}
    if not _has_old(graph):
        return graph
    known = {**around, **_known(graph, around)}
    graph = _raised(replace(graph, nodes=[_with_bodies(node, known) for node in graph.nodes]))
    types, shapes = graph.types, graph.shapes
    graph.types = {v.name: v.type for v in known.values()}
    graph.shapes = {v.name: v.shape for v in known.values() if v.shape is not None}
    _expand(graph, {name: rule for name, (_, rule) in OLD_FORMS.items()})
    graph.types, graph.shapes = types, shapes
    return graph


def _has_old(graph: Graph) -> bool:
    opset = graph.opsets.get("", OLDEST_KEPT)
    return opset < OLDEST_KEPT or (opset < NO_LONGER_OLD and any(is_old(n) or any(map(_has_old, n.bodies.values())) for n in graph.nodes))


def _known(graph: Graph, around: Known) -> dict[str, ValueInfo]:
    """Types and shapes of values, where rules may ask for them."""
    if not any((is_old(node) and node.op_type in STAND_INS) or node.bodies for node in graph.nodes):
        return {}
    infos = [around[name] for name in graph.free_names() if name in around]
    probe = _raised(replace(graph, inputs=[*graph.inputs, *infos]))
    _expand(probe, {name: rule for name, (_, rule) in OLD_FORMS.items()} | STAND_INS)
    found = infer_types(probe)
    return {name: ValueInfo(name, kind, found.shapes.get(name)) for name, kind in found.types.items()}


def _raised(graph: Graph) -> Graph:
    """A copy in opset 7 or the model's own; its nodes are still in their old forms."""
    opsets = {**graph.opsets, "": max(OLDEST_KEPT, graph.opsets.get("", OLDEST_KEPT))} if "" in graph.opsets else graph.opsets
    return replace(graph, nodes=list(graph.nodes), constants=dict(graph.constants), opsets=opsets)


def _expand(graph: Graph, rules: Mapping[str, Rule]) -> None:
    """Rewrites the old nodes; the others are the same in opset 7."""
    def only_old(rule: Rule) -> Rule:
        return lambda e: rule(e) if is_old(e.node) else None

    expand_nodes(graph, {("", name): only_old(rule) for name, rule in rules.items()})
    graph.nodes = [node.but(version=OLDEST_KEPT) if not node.domain and node.version < OLDEST_KEPT else node for node in graph.nodes]


def _with_bodies(node: Node, known: Known) -> Node:
    bodies = {name: upgraded(body, known) for name, body in node.bodies.items()}
    return node.but(attrs={**node.attrs, **bodies}) if bodies else node
