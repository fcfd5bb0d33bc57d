"""Activations spelled out in primitive nodes become the one operator they are.

Exporters write so what their opset lacks: PyTorch SiLU, Mish, HardSwish and GELU, Paddle HardSwish, TensorFlow all.
The new nodes are of the opset that has the operator, whatever the model's is.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import clip_limits, is_float
from fastcnn.passes.pattern import Match, Op, Param, Pattern, Rule, Rules, replace_matches
from fastcnn.passes.rewrite import scalar

SINCE = {"Swish": 24, "HardSwish": 14, "HardSigmoid": 6, "Gelu": 20, "Mish": 18, "Softplus": 1}


def activation_patterns(graph: Graph) -> bool:
    """Replaces every pattern of RULES, inner ones (HardSigmoid, Softplus) before those that contain them."""
    return any([replace_matches(graph, rules) for rules in RULES])


def _becomes(
    op_type: str, attrs: Callable[[Graph, Match], dict[str, Any] | None] | None = None
) -> Callable[[Graph, Match], Node | None]:
    """op_type(x), where x is a tensor of floats."""
    def build(graph: Graph, match: Match) -> Node | None:
        found = attrs(graph, match) if attrs is not None else {}
        if found is None or not is_float(graph, match.values["x"]):
            return None
        version = max(SINCE[op_type], graph.opsets.get("", 0))
        return Node(op_type, (match.values["x"],), match.root.outputs, found, match.root.name, "", version)
    return build


def _clipped(low: float, high: float) -> Callable[[Graph, Node], bool]:
    def check(graph: Graph, node: Node) -> bool:
        limits = clip_limits(graph, node)
        return (
            limits is not None
            and math.isclose(limits[0], low, abs_tol=1e-6)
            and math.isclose(limits[1], high, rel_tol=1e-6)
        )

    return check


def _is_hard_sigmoid(alpha: float, beta: float) -> Callable[[Graph, Node], bool]:
    def check(graph: Graph, node: Node) -> bool:
        return math.isclose(node.attrs.get("alpha", 0.2), alpha, rel_tol=1e-5) and math.isclose(
            node.attrs.get("beta", 0.5), beta, rel_tol=1e-5
        )

    return check


def _divided(pattern: Pattern, by: float) -> Iterator[Op]:
    """pattern / by in both spellings."""
    yield Op("Div", pattern, by)
    yield Op("Mul", pattern, 1 / by)


X_PLUS_3 = Op("Clip", Op("Add", "x", 3.0), check=_clipped(0.0, 6.0))
X_PLUS_C = Op("Clip", Op("Add", "x", Param("c")), check=lambda graph, node: True)


def _hard_sigmoid_attrs(graph: Graph, match: Match) -> dict[str, Any] | None:
    """clip(x + c, 0, m) / m = clip(x / m + c / m, 0, 1)."""
    clip = next(n for n in match.nodes if n.op_type == "Clip")
    limits, shift = clip_limits(graph, clip), graph.constants[match.values["c"]]
    side = next(i for i, v in enumerate(match.root.inputs) if v in graph.constants)
    by = scalar(graph, match.root, side)
    if limits is None or limits[0] != 0 or not math.isfinite(limits[1]) or shift.size != 1 or not by:
        return None
    high = by if match.root.op_type == "Div" else 1 / by
    if not math.isclose(limits[1], high, rel_tol=1e-5) or (match.root.op_type == "Div" and side == 0):
        return None
    return {"alpha": 1 / limits[1], "beta": float(shift.reshape(())) / limits[1]}


HARD_SIGMOID: list[Rule] = [
    (Op("Div", X_PLUS_C, Param("by")), _becomes("HardSigmoid", _hard_sigmoid_attrs)),
    (Op("Mul", X_PLUS_C, Param("by")), _becomes("HardSigmoid", _hard_sigmoid_attrs)),
]

HARD_SWISH: list[Rule] = [
    (Op("Mul", "x", Op("HardSigmoid", "x", check=_is_hard_sigmoid(1 / 6, 0.5))), _becomes("HardSwish")),
    *((pattern, _becomes("HardSwish")) for pattern in _divided(Op("Mul", "x", X_PLUS_3), 6.0)),
    *((Op("Mul", X_PLUS_3, pattern), _becomes("HardSwish")) for pattern in _divided("x", 6.0)),
]


def _swish_alpha(graph: Graph, match: Match) -> dict[str, Any] | None:
    alpha = graph.constants[match.values["alpha"]] if "alpha" in match.values else None
    if alpha is not None and alpha.size != 1:
        return None
    return {"alpha": 1.0 if alpha is None else float(alpha.reshape(()))}


SWISH: list[Rule] = [
    (Op("Mul", "x", Op("Sigmoid", "x")), _becomes("Swish", _swish_alpha)),
    (Op("Mul", "x", Op("Sigmoid", Op("Mul", "x", Param("alpha")))), _becomes("Swish", _swish_alpha)),
]

SOFTPLUS: list[Rule] = [(Op("Log", Op("Add", Op("Exp", "x"), 1.0)), _becomes("Softplus"))]

MISH: list[Rule] = [(Op("Mul", "x", Op("Tanh", Op("Softplus", "x"))), _becomes("Mish"))]


def _halved_product(inner: Op) -> Iterator[Op]:
    """0.5 * x * inner in its orders."""
    for half in _divided("x", 2.0):
        yield Op("Mul", half, inner)
    yield from _divided(Op("Mul", "x", inner), 2.0)
    for half in _divided(inner, 2.0):
        yield Op("Mul", "x", half)


def _gelu_erf() -> list[Rule]:
    """0.5 x (1 + erf(x / sqrt 2))."""
    root = math.sqrt(2)
    inner = [Op("Add", Op("Erf", argument), 1.0) for argument in _divided("x", root)]
    return [(p, _becomes("Gelu")) for i in inner for p in _halved_product(i)]


def _gelu_tanh() -> list[Rule]:
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    c, k = math.sqrt(2 / math.pi), 0.044715
    cubes = [Op("Pow", "x", 3.0), Op("Mul", "x", Op("Mul", "x", "x")), Op("Mul", "x", Op("Pow", "x", 2.0))]
    sums = [Op("Mul", Op("Add", "x", Op("Mul", cube, k)), c) for cube in cubes]
    for square in (Op("Mul", "x", "x"), Op("Pow", "x", 2.0)):
        factor = Op("Add", Op("Mul", square, k), 1.0)
        sums += [Op("Mul", Op("Mul", "x", c), factor), Op("Mul", Op("Mul", "x", factor), c)]
    build = _becomes("Gelu", lambda graph, match: {"approximate": "tanh"})
    return [(p, build) for s in sums for p in _halved_product(Op("Add", Op("Tanh", s), 1.0))]


# Applied one list after another.
RULES = [Rules(each) for each in (HARD_SIGMOID, HARD_SWISH, SWISH, SOFTPLUS, MISH, _gelu_erf() + _gelu_tanh())]
