"""Bodies of control flow: constants from around them, branches whose condition is known, and the passes inside them."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastcnn.expansion import shape_of, type_of
from fastcnn.ir.graph import Graph, Node, ValueInfo, is_control_flow
from fastcnn.passes.facts import replace_nodes


def body_constants(graph: Graph) -> bool:
    """Constants that If, Loop and Scan capture become their bodies' own: there they are weights like any others."""
    changed: dict[int, Node] = {}
    for node in graph.nodes:
        known = {inner: graph.constants[outer] for inner, outer in node.captures if outer in graph.constants}
        if not known or not is_control_flow(node):
            continue
        bodies = {key: _with_constants(body, known) for key, body in node.bodies.items()}
        captures = tuple((inner, outer) for inner, outer in node.captures if inner not in known)
        changed[id(node)] = node.but(attrs={**node.attrs, **bodies}, captures=captures)
    return replace_nodes(graph, changed)


def _with_constants(body: Graph, known: dict[str, np.ndarray]) -> Graph:
    return replace(body, constants={**body.constants, **{name: known[name] for name in body.free_names() if name in known}})


def branch_inlining(graph: Graph) -> bool:
    """The nodes of the branch in the place of an If whose condition is a constant."""
    nodes: list[Node] = []
    for node in graph.nodes:
        condition = graph.constants.get(node.input(0)) if node.op_type == "If" and not node.domain else None
        if condition is None or condition.size != 1:
            nodes.append(node)
        else:
            nodes += _inlined(graph, node, node.bodies["then_branch" if condition.reshape(()) else "else_branch"])
    changed = len(nodes) != len(graph.nodes) or any(a is not b for a, b in zip(nodes, graph.nodes))
    if changed:
        graph.nodes = nodes
    return changed


def _inlined(graph: Graph, node: Node, body: Graph) -> list[Node]:
    """The body's nodes, all that they make under names that the graph does not have yet."""
    names = dict(node.captures)
    prefix = f"{node.name}/"
    while any(v.startswith(prefix) for v in {*graph.constants, *(v for n in graph.nodes for v in n.outputs)}):
        prefix += "/"
    for made in (*body.constants, *(v for n in body.nodes for v in n.outputs if v)):
        names[made] = prefix + made
    graph.constants.update((names[name], array) for name, array in body.constants.items())
    nodes = [n.but(inputs=tuple(names.get(v, v) for v in n.inputs), outputs=tuple(names.get(v, v) for v in n.outputs),
                     captures=tuple((inner, names.get(outer, outer)) for inner, outer in n.captures)) for n in body.nodes]
    version = graph.opsets.get("", 1)
    return nodes + [Node("Identity", (names.get(info.name, info.name),), (output,), {}, f"{node.name}/{output}", "", version)
                    for info, output in zip(body.outputs, node.outputs) if output]


def optimised_bodies(graph: Graph, optimise: Callable[[Graph], Graph]) -> None:
    """Every body of If, Loop and Scan rewritten by `optimise`, its inputs typed, what it captures as further inputs after them."""
    changed: dict[int, Node] = {}
    for node in graph.nodes:
        if not is_control_flow(node):
            continue
        around = dict(node.captures)
        bodies = {}
        for key, body in node.bodies.items():
            captured = [ValueInfo(v, type_of(graph, around[v]) or "", shape_of(graph, around[v])) for v in body.free_names()]
            bodies[key] = optimise(replace(body.forgetful(), inputs=[*_formal_inputs(graph, node, body), *captured]))
        read = {info.name for body in bodies.values() for info in body.inputs}
        captures = tuple((inner, outer) for inner, outer in node.captures if inner in read)
        changed[id(node)] = node.but(attrs={**node.attrs, **bodies}, captures=captures)
    replace_nodes(graph, changed)


def _formal_inputs(graph: Graph, node: Node, body: Graph) -> list[ValueInfo]:
    """With the types of what they start from. Their shapes are the file's word alone, and carried ones may change: unknown."""
    own = 2 if node.op_type == "Loop" else 0
    first = 1 if node.op_type == "Scan" and node.version < 9 else own
    counters = [ValueInfo(info.name, info.type, ()) for info in body.inputs[:own]]
    started = zip(body.inputs[own:], (*node.inputs[first:], *[""] * len(body.inputs)))
    return counters + [ValueInfo(info.name, type_of(graph, v) or info.type, None) for info, v in started]
