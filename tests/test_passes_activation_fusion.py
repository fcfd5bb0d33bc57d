"""activation_fusion: each ONNX activation behind each operator that has an epilogue."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, ops

from fastcnn.ir.graph import Activation
from fastcnn.operators.cards import CARDS, FORMULAS
from fastcnn.operators.elementwise import ROUNDINGS
from fastcnn.passes.fuse.activation_fusion import TAKES_ACTIVATION, activation_fusion, composed
from fastcnn.reader import read

# operator, further constant inputs, attributes, the Activation's name
CASES: list[tuple[str, dict[str, np.ndarray], dict[str, Any], str]] = [
    ("Relu", {}, {}, "Relu"),
    ("LeakyRelu", {}, {}, "LeakyRelu"),
    ("LeakyRelu", {}, {"alpha": 0.3}, "LeakyRelu"),
    ("Clip", {"low": np.float32(-0.5), "high": np.float32(0.5)}, {}, "Clip"),
    ("Clip", {"low": np.float32(0)}, {}, "Relu"),
    ("Sigmoid", {}, {}, "Sigmoid"),
    ("Tanh", {}, {}, "Tanh"),
    ("HardSigmoid", {}, {}, "HardSigmoid"),
    ("HardSigmoid", {}, {"alpha": 0.3, "beta": 0.4}, "HardSigmoid"),
    ("HardSwish", {}, {}, "HardSwish"),
    ("Elu", {}, {"alpha": 0.7}, "Elu"),
    ("Selu", {}, {}, "Selu"),
    ("Selu", {}, {"alpha": 1.1, "gamma": 0.9}, "Selu"),
    ("Softplus", {}, {}, "Softplus"),
    ("Softsign", {}, {}, "Softsign"),
    ("Mish", {}, {}, "Mish"),
    ("Gelu", {}, {}, "Gelu"),
    ("Gelu", {}, {"approximate": "tanh"}, "GeluTanh"),
    ("Swish", {}, {"alpha": 0.7}, "Swish"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[2]}")
def test_activation_behind_a_conv(case: tuple[str, dict[str, np.ndarray], dict[str, Any], str]) -> None:
    op, constants, attrs, name = case
    opset = 24 if op == "Swish" else 20
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node(op, ["c", *constants], ["y"], **attrs)],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2), **constants},
        opset,
    )
    if op == "Swish":               # newer than onnxruntime: its formula is tested in test_reference.py
        graph = read(proto)
        activation_fusion(graph)
        assert ops(graph) == ["Conv+Swish"] and graph.nodes[0].activation == Activation("Swish", pytest.approx(0.7))
    else:
        check_rewrite(proto, activation_fusion, [f"Conv+{name}"])


def test_every_activation_has_a_case_and_a_formula() -> None:
    roundings = set(ROUNDINGS.values())      # test_passes_widen_half.py
    fused = {name: card.function for (_, name), card in CARDS.items() if card.function is not None and card.function.fused}
    kernels = {*fused, *(kernel for function in fused.values() for kernel, _ in function.variants.values())}
    assert {c[0] for c in CASES} == set(fused) - roundings
    assert {c[3] for c in CASES} == kernels - roundings
    assert kernels <= set(FORMULAS)


BEFORE: dict[str, tuple[list[str], dict[str, np.ndarray], list[int]]] = {
    "Conv": (["w"], {"w": floats(4, 3, 1, 1)}, [1, 3, 4, 4]),
    "ConvTranspose": (["w"], {"w": floats(3, 4, 2, 2)}, [1, 3, 4, 4]),
    "Gemm": (["w"], {"w": floats(3, 4)}, [2, 3]),
    "MatMul": (["w"], {"w": floats(3, 4)}, [2, 3]),
    "Add": (["w"], {"w": floats(3)}, [2, 3]),
    "Mul": (["w"], {"w": floats(3)}, [2, 3]),
    "BatchNormalization": (
        ["s", "b", "m", "v"],
        {"s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3))},
        [1, 3, 4, 4],
    ),
    "InstanceNormalization": (["s", "b"], {"s": floats(3), "b": floats(3)}, [1, 3, 4, 4]),
    "GroupNormalization": (["s", "b"], {"s": floats(6), "b": floats(6)}, [1, 6, 4, 4]),
}
ATTRIBUTES = {"GroupNormalization": {"num_groups": 2}}


# LocallyConnected has no form in a file: test_passes_unshared_convolution makes it.
@pytest.mark.parametrize("op", sorted(TAKES_ACTIVATION - {"LocallyConnected"}))
def test_operator_takes_an_activation(op: str) -> None:
    names, constants, shape = BEFORE[op]
    check_rewrite(
        model([node(op, ["x", *names], ["c"], **ATTRIBUTES.get(op, {})), node("Relu", ["c"], ["y"])], {"x": shape}, ["y"], constants, 21),
        activation_fusion,
        [f"{op}+Relu"],
    )


def test_clip_of_opset_6_has_attributes() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Clip", ["c"], ["y"], min=0.0, max=6.0)],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2)},
        9,
    )
    graph = check_rewrite(proto, activation_fusion, ["Conv+Clip"])
    assert graph.nodes[0].activation == Activation("Clip", 0.0, 6.0)


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1)], ids=str)
def test_prelu_with_a_slope_a_channel(shape: tuple[int, ...]) -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("PRelu", ["c", "s"], ["y"])],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2), "s": floats(*shape)},
    )
    graph = check_rewrite(proto, activation_fusion, ["Conv+slope"])
    assert graph.nodes[0].inputs[2:4] == ("", "") and graph.constants[graph.nodes[0].inputs[4]].shape == (4,)


@pytest.mark.parametrize("op", ["Conv", "Add"])
def test_prelu_with_one_slope_is_leaky_relu(op: str) -> None:
    names, constants, shape = BEFORE[op]
    proto = model(
        [node(op, ["x", *names], ["c"]), node("PRelu", ["c", "slope"], ["y"])],
        {"x": shape},
        ["y"],
        {**constants, "slope": np.array([0.3], np.float32)},
    )
    check_rewrite(proto, activation_fusion, [f"{op}+LeakyRelu"])


@pytest.mark.parametrize("shape", [(4,), (4, 4), (1, 1, 1, 4)], ids=str)
def test_prelu_with_a_slope_along_another_axis_stays(shape: tuple[int, ...]) -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("PRelu", ["c", "s"], ["y"])],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2), "s": floats(*shape)},
    )
    check_rewrite(proto, activation_fusion, ["Conv", "PRelu"])


def test_limits_after_limits_become_one() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("Clip", ["b", "low", "high"], ["y"])],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2), "low": np.float32(-1), "high": np.float32(0.5)},
    )
    graph = check_rewrite(proto, activation_fusion, ["Conv+Clip"])
    assert graph.nodes[0].activation == Activation("Clip", 0.0, 0.5)


@pytest.mark.parametrize(
    "a, b",
    [((0, math.inf), (-1, 6)), ((-2, 1), (0, math.inf)), ((0, 1), (2, 3)), ((2, 3), (0, 1)), ((-math.inf, 1), (0, 5))],
)
def test_composed_limits_equal_limits_one_after_another(a: tuple[float, float], b: tuple[float, float]) -> None:
    x = np.linspace(-4, 8, 121)
    first, second = (Activation("Clip", *limits) for limits in (a, b))
    both = composed(first, second)
    assert both is not None
    expected = FORMULAS["Clip"](FORMULAS["Clip"](x, *a), *b)
    np.testing.assert_array_equal(FORMULAS[both.name](x, both.alpha, both.beta), expected)


def test_second_activation_that_is_no_limit_stays() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("Tanh", ["b"], ["y"])],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2)},
    )
    check_rewrite(proto, activation_fusion, ["Conv+Relu", "Tanh"])


def test_activation_of_a_value_read_elsewhere_stays() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["a"]), node("Add", ["a", "c"], ["y"])],
        {"x": [1, 3, 5, 5]},
        ["y"],
        {"w": floats(4, 3, 2, 2)},
    )
    check_rewrite(proto, activation_fusion, ["Conv", "Relu", "Add"])


def test_activation_of_an_output_stays() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["y"])],
        {"x": [1, 3, 5, 5]},
        ["c", "y"],
        {"w": floats(4, 3, 2, 2)},
    )
    check_rewrite(proto, activation_fusion, ["Conv", "Relu"])


def test_activation_of_integers_stays() -> None:
    graph = read(
        model(
            [node("Add", ["x", "x"], ["a"]), node("Clip", ["a", "low"], ["y"])],
            {"x": [3]},
            ["y"],
            {"low": np.int64(0)},
            types={"x": 7},
        )
    )
    assert not activation_fusion(graph)


def test_clip_with_computed_limits_stays() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Clip", ["c", "", "high"], ["y"])],
        {"x": [1, 3, 5, 5], "high": []},
        ["y"],
        {"w": floats(4, 3, 2, 2)},
    )
    check_rewrite(proto, activation_fusion, ["Conv", "Clip"])
