"""LayerNormalization spelled out in primitive nodes becomes the operator.

y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias, means over the last axis.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import is_float, reduced_axes
from fastcnn.passes.pattern import Match, Op, Param, Rules, replace_matches

SINCE = 17


def normalization_patterns(graph: Graph) -> bool:
    """Replaces every pattern of RULES."""
    return any([replace_matches(graph, rules) for rules in RULES])


def _over_last_axis(graph: Graph, node: Node) -> bool:
    axes = reduced_axes(graph, node)
    shape = shape_of(graph, node.inputs[0])
    if axes is None or not node.attrs.get("keepdims", 1):
        return False
    return axes == [-1] or (shape is not None and axes == [len(shape) - 1])


def _mean(of: Op | str) -> Op:
    return Op("ReduceMean", of, check=_over_last_axis)


def _layer_norm(graph: Graph, match: Match) -> Node | None:
    x, shape = match.values["x"], shape_of(graph, match.values["x"])
    size = shape[-1] if shape else None
    epsilon = graph.constants[match.values["epsilon"]]
    if not isinstance(size, int) or epsilon.size != 1 or not is_float(graph, x):
        return None
    names = []
    for name in ("scale", "bias"):
        vector = graph.constants.get(match.values.get(name, ""))
        if vector is None and name == "bias":
            continue
        if vector is None:
            vector = np.ones(size, epsilon.dtype)
        if (
            vector.size not in (1, size)
            or vector.ndim > len(shape or ())
            or (vector.size == size and vector.shape[-1:] != (size,))
        ):
            return None
        names.append(
            add_constant(graph, f"{match.root.outputs[0]}.{name}", np.broadcast_to(vector.reshape(-1), size).copy())
        )
    attrs = {"axis": -1, "epsilon": float(epsilon.reshape(()))}
    version = max(SINCE, graph.opsets.get("", 0))
    return Node("LayerNormalization", (x, *names), match.root.outputs, attrs, match.root.name, "", version)


def _normal() -> Iterator[Op]:
    """(x - mean) / deviation in its spellings."""
    centred = Op("Sub", "x", _mean("x"))
    for square in (Op("Pow", centred, 2.0), Op("Mul", centred, centred)):
        deviation = Op("Sqrt", Op("Add", _mean(square), Param("epsilon")))
        yield Op("Div", centred, deviation)
        yield Op("Mul", centred, Op("Reciprocal", deviation))


# Applied one list after another: a match without scale and bias would leave them behind.
RULES = [
    Rules([(Op("Add", Op("Mul", normal, Param("scale")), Param("bias")), _layer_norm) for normal in _normal()]),
    Rules([(normal, _layer_norm) for normal in _normal()]),
]
