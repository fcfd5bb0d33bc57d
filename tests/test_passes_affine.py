"""affine_after and affine_before: scales and shifts a channel go into the weights on either side."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, ops

from fastcnn.passes.fold.affine_after import affine_after
from fastcnn.passes.fold.affine_before import affine_before
from fastcnn.reader import read

C = 6


def batch_norm(channels: int, prefix: str = "bn") -> tuple[list[str], dict[str, np.ndarray]]:
    names = [f"{prefix}.{k}" for k in ("scale", "bias", "mean", "var")]
    values = [floats(channels, seed=k) for k in range(4)]
    values[3] = np.abs(values[3]) + 0.5
    return names, dict(zip(names, values))


def conv(op: str, bias: bool, group: int, **attrs: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """x (4 channels) -> c (6 channels) with group 1 or 2."""
    w = floats(C, 4 // group, 3, 3) if op == "Conv" else floats(4, C // group, 3, 3)
    constants = {"w": w, **({"b": floats(C, seed=9)} if bias else {})}
    return node(op, ["x", *constants], ["c"], group=group, **attrs), constants


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_batch_normalization_folds_into_the_conv_before(op: str, bias: bool, group: int) -> None:
    first, constants = conv(op, bias, group, pads=[1, 1, 1, 1], strides=[2, 1])
    names, more = batch_norm(C)
    proto = model(
        [first, node("BatchNormalization", ["c", *names], ["y"], epsilon=1e-3)],
        {"x": [2, 4, 7, 8]},
        ["y"],
        {**constants, **more},
    )
    graph = check_rewrite(proto, affine_after, [op])
    assert "w" in graph.constants and graph.nodes[0].inputs[1] != "w"


AFFINE = [
    ("Mul", (), False),
    ("Mul", (C, 1, 1), False),
    ("Mul", (1, C, 1, 1), True),
    ("Add", (C, 1, 1), False),
    ("Add", (1,), True),
    ("Sub", (1, C, 1, 1), False),
    ("Sub", (C, 1, 1), True),
    ("Div", (C, 1, 1), False),
]


@pytest.mark.parametrize("op, shape, first", AFFINE, ids=str)
def test_arithmetic_a_channel_folds_into_the_conv_before(op: str, shape: tuple[int, ...], first: bool) -> None:
    head, constants = conv("Conv", True, 1)
    inputs = ["k", "c"] if first else ["c", "k"]
    constants["k"] = np.asarray(floats(*shape) + 3, np.float32)
    proto = model([head, node(op, inputs, ["y"])], {"x": [1, 4, 5, 5]}, ["y"], constants)
    check_rewrite(proto, affine_after, ["Conv"])


def test_chain_of_affine_nodes_folds_whole() -> None:
    head, constants = conv("Conv", False, 2)
    names, more = batch_norm(C)
    proto = model(
        [
            head,
            node("BatchNormalization", ["c", *names], ["d"]),
            node("Mul", ["d", "k"], ["e"]),
            node("Neg", ["e"], ["f"]),
            node("Add", ["f", "k"], ["y"]),
        ],
        {"x": [1, 4, 5, 5]},
        ["y"],
        {**constants, **more, "k": floats(C, 1, 1)},
    )
    check_rewrite(proto, affine_after, ["Conv"])


def test_one_dimensional_conv_takes_batch_normalization() -> None:
    names, more = batch_norm(C)
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("BatchNormalization", ["c", *names], ["y"])],
        {"x": [1, 4, 9]},
        ["y"],
        {"w": floats(C, 4, 3), **more},
    )
    check_rewrite(proto, affine_after, ["Conv"])


@pytest.mark.parametrize("shape", [(1, 1, 3, 1), (3,), (1, 1, 1, 1, 1), (2, 1, 1, 1)], ids=str)
def test_constant_along_another_axis_stays(shape: tuple[int, ...]) -> None:
    head, constants = conv("Conv", True, 1)
    proto = model(
        [head, node("Mul", ["c", "k"], ["y"])], {"x": [2, 4, 5, 5]}, ["y"], {**constants, "k": floats(*shape)}
    )
    check_rewrite(proto, affine_after, ["Conv", "Mul"])


def test_division_by_the_conv_stays() -> None:
    head, constants = conv("Conv", True, 1)
    check_rewrite(
        model([head, node("Div", ["k", "c"], ["y"])], {"x": [1, 4, 5, 5]}, ["y"], {**constants, "k": floats(1)}),
        affine_after,
        ["Conv", "Div"],
    )


def test_conv_read_twice_keeps_its_weights() -> None:
    head, constants = conv("Conv", True, 1)
    proto = model(
        [head, node("Mul", ["c", "k"], ["y"]), node("Relu", ["c"], ["z"])],
        {"x": [1, 4, 5, 5]},
        ["y", "z"],
        {**constants, "k": floats(1)},
    )
    check_rewrite(proto, affine_after, ["Conv", "Mul", "Relu"])


def test_conv_that_is_an_output_keeps_its_weights() -> None:
    head, constants = conv("Conv", True, 1)
    proto = model(
        [head, node("Mul", ["c", "k"], ["y"])], {"x": [1, 4, 5, 5]}, ["c", "y"], {**constants, "k": floats(1)}
    )
    check_rewrite(proto, affine_after, ["Conv", "Mul"])


def test_shared_weights_are_not_changed_for_the_other_conv() -> None:
    w = {"w": floats(4, 4, 1, 1), "k": floats(4, 1, 1)}
    proto = model(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Mul", ["a", "k"], ["b"]),
            node("Conv", ["x", "w"], ["c"]),
            node("Add", ["b", "c"], ["y"]),
        ],
        {"x": [1, 4, 5, 5]},
        ["y"],
        w,
    )
    graph = check_rewrite(proto, affine_after, ["Conv", "Conv", "Add"])
    np.testing.assert_array_equal(graph.constants["w"], w["w"])


def test_computed_weights_stay() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Mul", ["c", "k"], ["y"])],
        {"x": [1, 4, 5, 5], "w": [C, 4, 1, 1]},
        ["y"],
        {"k": floats(1)},
    )
    check_rewrite(proto, affine_after, ["Conv", "Mul"])


@pytest.mark.parametrize(
    "attrs, b, c",
    [
        ({}, (4, C), (C,)),
        ({"transB": 1, "alpha": 0.5, "beta": 2.0}, (C, 4), (1, C)),
        ({}, (4, C), ()),
        ({}, (4, C), None),
    ],
    ids=["plain", "transposed", "scalar bias", "no bias"],
)
@pytest.mark.parametrize("reader", ["Mul", "Add", "BatchNormalization"])
def test_gemm_takes_what_follows(
    attrs: dict[str, Any], b: tuple[int, ...], c: tuple[int, ...] | None, reader: str
) -> None:
    constants = {"b": floats(*b), **({} if c is None else {"c": floats(*c, seed=5)})}
    names, more = batch_norm(C) if reader == "BatchNormalization" else (["k"], {"k": floats(C, seed=7)})
    proto = model(
        [node("Gemm", ["x", *constants], ["g"], **attrs), node(reader, ["g", *names], ["y"])],
        {"x": [3, 4]},
        ["y"],
        {**constants, **more},
    )
    check_rewrite(proto, affine_after, ["Gemm"])


def test_gemm_with_a_matrix_bias_stays() -> None:
    constants = {"b": floats(4, C), "c": floats(3, C), "k": floats(C)}
    check_rewrite(
        model([node("Gemm", ["x", "b", "c"], ["g"]), node("Mul", ["g", "k"], ["y"])], {"x": [3, 4]}, ["y"], constants),
        affine_after,
        ["Gemm", "Mul"],
    )


@pytest.mark.parametrize("x", [[3, 4], [2, 3, 4], [4]], ids=str)
def test_matmul_takes_a_bias(x: list[int]) -> None:
    proto = model(
        [node("MatMul", ["x", "b"], ["m"]), node("Add", ["k", "m"], ["y"])],
        {"x": x},
        ["y"],
        {"b": floats(4, C), "k": floats(C)},
    )
    graph = check_rewrite(proto, affine_after, ["MatMul"])
    assert len(graph.nodes[0].inputs) == 3


def test_matmul_with_a_bias_that_adds_an_axis_stays() -> None:
    proto = model(
        [node("MatMul", ["x", "b"], ["m"]), node("Add", ["m", "k"], ["y"])],
        {"x": [4]},
        ["y"],
        {"b": floats(4, C), "k": floats(1, C)},
    )
    check_rewrite(proto, affine_after, ["MatMul", "Add"])


def test_batch_normalization_takes_what_follows() -> None:
    names, more = batch_norm(4)
    proto = model(
        [
            node("BatchNormalization", ["x", *names], ["b"]),
            node("Mul", ["b", "k"], ["m"]),
            node("Add", ["m", "k"], ["y"]),
        ],
        {"x": [2, 4, 3, 3]},
        ["y"],
        {**more, "k": floats(4, 1, 1)},
    )
    check_rewrite(proto, affine_after, ["BatchNormalization"])


def test_training_batch_normalization_stays() -> None:
    head, constants = conv("Conv", False, 1)
    names, more = batch_norm(C)
    graph = read(
        model(
            [head, node("BatchNormalization", ["c", *names], ["y"], training_mode=1)],
            {"x": [1, 4, 5, 5]},
            ["y"],
            {**constants, **more},
            14,
        )
    )
    assert not affine_after(graph)
    assert ops(graph) == ["Conv", "BatchNormalization"]


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_batch_normalization_folds_into_the_unpadded_conv_after(bias: bool, group: int) -> None:
    names, more = batch_norm(4)
    constants = {"w": floats(8, 4 // group, 3, 3), **({"b": floats(8)} if bias else {})}
    proto = model(
        [node("BatchNormalization", ["x", *names], ["n"]), node("Conv", ["n", *constants], ["y"], group=group)],
        {"x": [2, 4, 6, 6]},
        ["y"],
        {**more, **constants},
    )
    check_rewrite(proto, affine_before, ["Conv"])


@pytest.mark.parametrize("padding", [{"pads": [1, 1, 1, 1]}, {"auto_pad": "SAME_UPPER"}], ids=["pads", "auto_pad"])
def test_shift_before_a_padded_conv_stays(padding: dict[str, Any]) -> None:
    names, more = batch_norm(4)
    proto = model(
        [node("BatchNormalization", ["x", *names], ["n"]), node("Conv", ["n", "w"], ["y"], **padding)],
        {"x": [2, 4, 6, 6]},
        ["y"],
        {**more, "w": floats(8, 4, 3, 3)},
    )
    check_rewrite(proto, affine_before, ["BatchNormalization", "Conv"])


def test_scale_before_a_padded_conv_folds() -> None:
    proto = model(
        [node("Mul", ["k", "x"], ["n"]), node("Conv", ["n", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"x": [2, 4, 6, 6]},
        ["y"],
        {"k": floats(1, 4, 1, 1), "w": floats(8, 4, 3, 3)},
    )
    check_rewrite(proto, affine_before, ["Conv"])


def test_mean_and_deviation_before_an_unpadded_conv_fold() -> None:
    proto = model(
        [node("Sub", ["x", "mean"], ["a"]), node("Div", ["a", "deviation"], ["n"]), node("Conv", ["n", "w"], ["y"])],
        {"x": [2, 3, 6, 6]},
        ["y"],
        {"mean": floats(3, 1, 1), "deviation": np.abs(floats(3, 1, 1, seed=4)) + 1, "w": floats(8, 3, 3, 3)},
    )
    check_rewrite(proto, [affine_before, affine_before], ["Conv"])


def test_constant_that_adds_channels_before_a_conv_stays() -> None:
    proto = model(
        [node("Mul", ["x", "k"], ["n"]), node("Conv", ["n", "w"], ["y"])],
        {"x": [2, 1, 6, 6]},
        ["y"],
        {"k": floats(1, 4, 1, 1), "w": floats(8, 4, 3, 3)},
    )
    check_rewrite(proto, affine_before, ["Mul", "Conv"])


def test_normalised_value_read_elsewhere_stays() -> None:
    proto = model(
        [node("Mul", ["x", "k"], ["n"]), node("Conv", ["n", "w"], ["y"]), node("Relu", ["n"], ["z"])],
        {"x": [2, 4, 6, 6]},
        ["y", "z"],
        {"k": floats(4, 1, 1), "w": floats(8, 4, 1, 1)},
    )
    check_rewrite(proto, affine_before, ["Mul", "Conv", "Relu"])


@pytest.mark.parametrize("op, shape, first", AFFINE, ids=str)
@pytest.mark.parametrize("norm, version", [("InstanceNormalization", 17), ("GroupNormalization", 21)])
def test_arithmetic_a_channel_folds_into_the_normalisation_before(norm: str, version: int, op: str, shape: tuple[int, ...],
                                                                  first: bool) -> None:
    attrs = {"num_groups": 2} if norm == "GroupNormalization" else {}
    inputs = ["k", "c"] if first else ["c", "k"]
    proto = model([node(norm, ["x", "s", "b"], ["c"], **attrs), node(op, inputs, ["y"])], {"x": [2, C, 7, 8]}, ["y"],
                  {"s": floats(C), "b": floats(C, seed=2), "k": floats(*shape, seed=3)}, version)
    check_rewrite(proto, affine_after, [norm])


def test_arithmetic_stays_behind_a_normalisation_whose_parameters_belong_to_groups() -> None:
    nodes = [node("GroupNormalization", ["x", "s", "b"], ["c"], num_groups=2), node("Mul", ["c", "k"], ["y"])]
    proto = model(nodes, {"x": [2, C, 7, 8]}, ["y"], {"s": floats(2), "b": floats(2, seed=2), "k": floats(C, 1, 1)}, 18)
    assert not affine_after(read(proto))
