"""GroupNormalization as exporters write it before opset 18 becomes the operator.

Reshape (N, C, ...) to (N, G, rest), InstanceNormalization, Reshape back: the elements of a group are a plane there, and the parameters of
the InstanceNormalization, mostly ones and zeros, belong to groups. The Mul and Add a channel behind it are affine_after's.
"""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import is_float
from fastcnn.passes.pattern import Match, Op, Param, Rules, replace_matches
from fastcnn.passes.rewrite import constant, same_shape

BY_CHANNEL = 21         # the version since which scale and bias are values a channel


def group_normalization(graph: Graph) -> bool:
    """Replaces every Reshape, InstanceNormalization, Reshape that is one."""
    return replace_matches(graph, RULES)


def _group_norm(graph: Graph, match: Match) -> Node | None:
    to_planes, norm, back = match.nodes
    x = match.values["x"]
    shape, scale = shape_of(graph, x), graph.constants[match.values["scale"]]
    groups = scale.size
    if shape is None or len(shape) < 3 or not is_float(graph, x) or not groups or not isinstance(shape[1], int) or shape[1] % groups:
        return None
    if not _cuts_groups(graph, to_planes, groups) or not _restores(graph, back, x):
        return None
    names = [add_constant(graph, f"{back.outputs[0]}.{name}", np.repeat(graph.constants[match.values[name]], shape[1] // groups))
             for name in ("scale", "bias")]
    attrs = {"num_groups": groups, "epsilon": norm.attrs.get("epsilon", 1e-5)}
    return Node("GroupNormalization", (x, *names), back.outputs, attrs, norm.name, "", max(BY_CHANNEL, graph.opsets.get("", 0)))


def _cuts_groups(graph: Graph, node: Node, groups: int) -> bool:
    """(N, C, ...) to (N, groups, rest): what lies in an image goes evenly to its groups, in order."""
    target, source, shape = constant(graph, node, 1), shape_of(graph, node.inputs[0]), shape_of(graph, node.outputs[0])
    if target is not None and target.size == 3 and target[0] == 0 and not node.attrs.get("allowzero", 0):
        return int(target[1]) == groups
    return shape is not None and source is not None and len(shape) == 3 and same_shape(shape[:1], source[:1]) and shape[1] == groups


def _restores(graph: Graph, node: Node, x: str) -> bool:
    """The output has the shape of x: reshaped to Shape(x), or sizes that are known to be equal."""
    target = graph.producers().get(node.inputs[1])
    if target is not None and target.op_type == "Shape" and not target.domain and target.inputs[0] == x:
        return target.attrs.get("start", 0) == 0 and target.attrs.get("end") is None
    return same_shape(shape_of(graph, node.outputs[0]), shape_of(graph, x))


PATTERN = Op("Reshape", Op("InstanceNormalization", Op("Reshape", "x", "target"), Param("scale"), Param("bias")), "shape")


RULES = Rules([(PATTERN, _group_norm)])
