"""Infers the types and shapes of a graph's values, node by node: types from the operators' schemas, shapes from the table of rules."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from fastcnn.inference import control_flow
from fastcnn.inference.quantized import byte_types
from fastcnn.inference.rules import BYTES, LIKE_INPUT, OTHERS, RULES
from fastcnn.inference.site import NUMBERS, Known, Mismatch, Outputs, Rule, Site
from fastcnn.inference.sizes import LARGEST
from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Dim, Graph, Node
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.schema.typing import FLOAT, output_types
from fastcnn.schema.vectors import COUNTED, wrong_count

CONTROL_FLOW: dict[str, Callable[[Site], list[control_flow.Info]]] = {
    "If": control_flow.if_, "Loop": control_flow.loop, "Scan": control_flow.scan}
# What attributes that nobody has checked yet make rules raise.
ODD = (Mismatch, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# Sizes that onnx's own types say nothing of.
NOTHING: Outputs = ()


def infer_graph(graph: Graph, known: Known) -> None:
    """Adds to `known`, which has the inputs and constants, the types and shapes of all other values. Never fails."""
    for node in graph.nodes:
        infer_node(node, known)


def infer_node(node: Node, known: Known) -> None:
    """Adds types and shapes of a node's outputs; they stay unknown where inputs are unknown or contradict each other."""
    rule = rule_of(node)
    if rule is LIKE_INPUT and len(node.outputs) == 1 and node.op_type not in COUNTED and node.outputs[0] in known.types:
        like = known.shape(node.inputs[0]) if node.inputs else None
        if like is not None and not known.depth:                # as below, for many nodes
            known.shapes[node.outputs[0]] = like
            return
    site = Site(node, known, infer_graph)
    if rule is not None and rule.alike and _adds_sizes(site, rule):
        return
    types: Sequence[str | None] = ()
    try:
        types, shapes = outputs_of(site, rule)
    except ODD:
        types, shapes = types_of(site), NOTHING
    for name, kind in zip(node.outputs, types):
        if kind and name:
            known.types[name] = kind
    for name, shape in zip(node.outputs, shapes):
        if not name or shape is None:
            continue
        if NUMBERS.issuperset(map(type, shape)):
            if not shape or 0 <= min(shape) <= max(shape) <= LARGEST:            # type: ignore[type-var, operator]
                known.shapes[name] = tuple(shape)
        elif all([isinstance(d, str) or d is None or 0 <= d <= LARGEST for d in shape]):
            known.shapes[name] = tuple([known.fresh(name, axis) if d is None else d for axis, d in enumerate(shape)])
    if rule is not None and rule.contents is not None:
        _add_contents(site, rule)


def _adds_sizes(site: Site, rule: Rule) -> bool:
    """Adds the shape of the only output, whose type is known, where its sizes are numbers and its elements no sizes; False: not done."""
    node, known = site.node, site.known
    name = node.outputs[0] if len(node.outputs) == 1 else ""
    kind = known.types.get(name)
    if kind is None or known.depth or (rule.contents is not None and kind != FLOAT):
        return False
    try:
        shape, = shapes_of(site, rule)
    except ODD:
        return False
    if not shape or not NUMBERS.issuperset(map(type, shape)) or not 0 <= min(shape) <= max(shape) <= LARGEST:  # type: ignore[type-var, operator]
        return False
    known.shapes[name] = tuple(shape)
    return True


def _add_contents(site: Site, rule: Rule) -> None:
    try:
        contents = rule.contents(site) if rule.contents is not None else None
    except ODD:
        contents = None
    if contents is not None:
        site.known.contents[site.node.outputs[0]] = contents


def rule_of(node: Node) -> Rule | None:
    """The rule of a node's operator."""
    return OTHERS.get((node.domain, node.op_type)) if node.domain else RULES.get(node.op_type)


def outputs_of(site: Site, rule: Rule | None) -> tuple[Sequence[str | None], Sequence[Sequence[Dim] | None]]:
    """Types and shapes of a node's outputs. Raises one of ODD where inputs contradict each other."""
    node = site.node
    if problem := wrong_count(node, site.shape):
        raise Mismatch(problem)
    if rule is not None:
        return types_of(site), shapes_of(site, rule)
    flow = CONTROL_FLOW.get(node.op_type) if not node.domain else None
    if flow is None:
        return types_of(site), NOTHING
    found = flow(site)
    return [kind for kind, _ in found], [shape for _, shape in found]


def shapes_of(site: Site, rule: Rule) -> Outputs:
    """What the rule says, or has said before of such a node: layers repeat, and binding asks again for what reading has found."""
    memory, node = site.memory, site.node
    if memory is None or not rule.plain:
        return rule.shapes(site)
    key = (id(node.attrs), node.op_type, node.domain, node.version, len(node.outputs), *[site.shape(i) for i in range(len(node.inputs))])
    found = memory.get(key)
    if found is None:
        found = memory[key] = node.attrs, rule.shapes(site)
    return found[1]


def types_of(site: Site) -> Sequence[str | None]:
    """Type strings of a node's outputs, None for unknown ones; all None where the operator does not take the types of the inputs."""
    node = site.node
    if site.known.types and not site.known.depth:           # not in bodies, whose names may be those of values around them
        found = [site.known.types.get(v) for v in node.outputs]
        if None not in found:                               # the reader has checked them
            return found
    kinds = [site.type(i) or None for i in range(len(node.inputs))]
    if node.domain == OWN_DOMAIN and node.op_type in BYTES:
        return byte_types(node, kinds)
    if node.domain and (node.domain, node.op_type) in OTHERS:
        return kinds[:1] * len(node.outputs)
    try:
        return output_types(node, kinds, beyond=True)
    except ModelError:
        return ()
