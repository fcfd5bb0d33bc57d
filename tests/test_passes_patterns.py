"""activation_patterns and normalization_patterns: operators spelled out in primitive nodes."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node

from fastcnn.passes.recognise.activation_patterns import activation_patterns
from fastcnn.passes.recognise.normalization_patterns import normalization_patterns


class Writer:
    """Writes nodes one after another, constants as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, op: str, *inputs: str | float | np.ndarray, **attrs: Any) -> str:
        names = []
        for value in inputs:
            if not isinstance(value, str):
                name = f"k{len(self.constants)}"
                self.constants[name] = np.asarray(value, np.float32)
                value = name
            names.append(value)
        self.nodes.append(node(op, names, [f"v{len(self.nodes)}"], **attrs))
        return self.nodes[-1].output[0]

    def model(self, output: str, opset: int = 13, shape: tuple[int, ...] = (2, 3, 4, 5)) -> Any:
        return model(self.nodes, {"x": shape}, [output], self.constants, opset)


ROOT2, TANH = math.sqrt(2), math.sqrt(2 / math.pi)


def cube(w: Writer) -> str:
    return w("Mul", w("Pow", "x", 3.0), 0.044715)


def gelu_tanh(w: Writer) -> str:
    return w("Add", w("Tanh", w("Mul", TANH, w("Add", "x", cube(w)))), 1.0)


def erf_plus_one(w: Writer) -> str:
    return w("Add", w("Erf", w("Div", "x", ROOT2)), 1.0)


def six(w: Writer) -> str:
    return w("Clip", w("Add", "x", 3.0), 0.0, 6.0)


SPELLINGS: list[tuple[str, str, Callable[[Writer], str]]] = [
    ("Swish", "torch silu", lambda w: w("Mul", "x", w("Sigmoid", "x"))),
    ("Swish", "reversed", lambda w: w("Mul", w("Sigmoid", "x"), "x")),
    ("Swish", "with alpha", lambda w: w("Mul", "x", w("Sigmoid", w("Mul", "x", 1.702)))),
    ("HardSwish", "paddle", lambda w: w("Div", w("Mul", "x", six(w)), 6.0)),
    ("HardSwish", "torch", lambda w: w("Mul", "x", w("Div", six(w), 6.0))),
    ("HardSwish", "tensorflow", lambda w: w("Mul", "x", w("Mul", six(w), 1 / 6))),
    ("HardSwish", "sixth last", lambda w: w("Mul", w("Mul", six(w), "x"), 1 / 6)),
    ("HardSwish", "sixth of x", lambda w: w("Mul", w("Mul", "x", 1 / 6), six(w))),
    ("HardSwish", "by HardSigmoid", lambda w: w("Mul", "x", w("HardSigmoid", "x", alpha=1 / 6, beta=0.5))),
    ("HardSigmoid", "divided", lambda w: w("Div", six(w), 6.0)),
    ("HardSigmoid", "other slope", lambda w: w("Mul", w("Clip", w("Add", 2.0, "x"), 0.0, 5.0), 0.2)),
    ("Gelu", "torch", lambda w: w("Mul", w("Mul", "x", erf_plus_one(w)), 0.5)),
    ("Gelu", "half first", lambda w: w("Mul", w("Mul", 0.5, "x"), erf_plus_one(w))),
    ("Gelu", "half of the factor", lambda w: w("Mul", "x", w("Mul", 0.5, erf_plus_one(w)))),
    (
        "Gelu",
        "multiplied root",
        lambda w: w("Mul", w("Mul", "x", w("Add", 1.0, w("Erf", w("Mul", "x", 1 / ROOT2)))), 0.5),
    ),
    ("Gelu", "tanh", lambda w: w("Mul", w("Mul", 0.5, "x"), gelu_tanh(w))),
    ("Gelu", "tanh, half last", lambda w: w("Mul", w("Mul", "x", gelu_tanh(w)), 0.5)),
    ("Mish", "torch", lambda w: w("Mul", "x", w("Tanh", w("Softplus", "x")))),
    ("Mish", "all spelled out", lambda w: w("Mul", "x", w("Tanh", w("Log", w("Add", w("Exp", "x"), 1.0))))),
    ("Softplus", "log of exp", lambda w: w("Log", w("Add", 1.0, w("Exp", "x")))),
]


@pytest.mark.parametrize("op, how, write", SPELLINGS, ids=[f"{s[0]} {s[1]}" for s in SPELLINGS])
def test_activation_spelled_out(op: str, how: str, write: Callable[[Writer], str]) -> None:
    writer = Writer()
    proto = writer.model(write(writer))
    graph = check_rewrite(proto, activation_patterns, [op], rtol=1e-5)
    assert graph.nodes[0].attrs.get("approximate", "none") == ("tanh" if "tanh" in how else "none")


def test_hard_swish_with_clip_attributes() -> None:
    w = Writer()
    check_rewrite(
        w.model(w("Div", w("Mul", "x", w("Clip", w("Add", "x", 3.0), min=0.0, max=6.0)), 6.0), opset=9),
        activation_patterns,
        ["HardSwish"],
    )


NEAR_MISSES: list[tuple[str, Callable[[Writer], str]]] = [
    ("sigmoid of another value", lambda w: w("Mul", "x", w("Sigmoid", w("Abs", "x")))),
    ("five for six", lambda w: w("Div", w("Mul", "x", w("Clip", w("Add", "x", 3.0), 0.0, 5.0)), 6.0)),
    ("divided by five", lambda w: w("Div", w("Mul", "x", six(w)), 5.0)),
    ("six divided by it", lambda w: w("Div", 6.0, six(w))),
    ("other slope of HardSigmoid", lambda w: w("Mul", "x", w("HardSigmoid", "x", alpha=0.2, beta=0.5))),
    ("erf of x / 2", lambda w: w("Mul", w("Mul", "x", w("Add", w("Erf", w("Div", "x", 2.0)), 1.0)), 0.5)),
    ("log of 2 + exp", lambda w: w("Log", w("Add", w("Exp", "x"), 2.0))),
    ("sigmoid with a slope a channel", lambda w: w("Mul", "x", w("Sigmoid", w("Mul", "x", np.ones((3, 1, 1)))))),
]


@pytest.mark.parametrize("what, write", NEAR_MISSES, ids=[n[0] for n in NEAR_MISSES])
def test_activation_nearly_spelled_out_stays(what: str, write: Callable[[Writer], str]) -> None:
    writer = Writer()
    output = write(writer)
    check_rewrite(writer.model(output), activation_patterns, [n.op_type for n in writer.nodes])


def test_pattern_whose_inside_is_an_output_stays() -> None:
    w = Writer()
    sigmoid = w("Sigmoid", "x")
    y = w("Mul", "x", sigmoid)
    check_rewrite(model(w.nodes, {"x": [3]}, [y, sigmoid]), activation_patterns, ["Sigmoid", "Mul"])


def test_pattern_whose_inside_is_read_elsewhere_stays() -> None:
    w = Writer()
    sigmoid = w("Sigmoid", "x")
    y = w("Add", w("Mul", "x", sigmoid), sigmoid)
    check_rewrite(w.model(y), activation_patterns, ["Sigmoid", "Mul", "Add"])


def layer_norm(
    w: Writer,
    square: str = "Pow",
    axes: list[int] | None = None,
    twice: bool = False,
    affine: bool = True,
    keepdims: int = 1,
) -> str:
    mean = {"axes": axes or [-1], "keepdims": keepdims}
    centred = w("Sub", "x", w("ReduceMean", "x", **mean))
    again = w("Sub", "x", w("ReduceMean", "x", **mean)) if twice else centred
    squared = w("Pow", again, 2.0) if square == "Pow" else w("Mul", again, again)
    normal = w("Div", centred, w("Sqrt", w("Add", w("ReduceMean", squared, **mean), 1e-5)))
    return w("Add", w("Mul", normal, floats(5)), floats(5, seed=3)) if affine else normal


@pytest.mark.parametrize("how", [{}, {"square": "Mul"}, {"axes": [3]}, {"twice": True}, {"affine": False}], ids=str)
def test_layer_normalization_spelled_out(how: dict[str, Any]) -> None:
    w = Writer()
    check_rewrite(w.model(layer_norm(w, **how), opset=11), normalization_patterns, ["LayerNormalization"])


@pytest.mark.parametrize("how", [{"axes": [1]}, {"axes": [2, 3]}], ids=str)
def test_normalization_over_other_axes_stays(how: dict[str, Any]) -> None:
    w = Writer()
    check_rewrite(w.model(layer_norm(w, **how), opset=11), normalization_patterns, [n.op_type for n in w.nodes])
