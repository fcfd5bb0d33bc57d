"""identity_removal, duplicate_removal, canonical_forms, transpose_merging and reshape_merging."""
from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from graph_helper import check_rewrite, floats, model, node, ops

from fastcnn.passes.simplify.duplicate_removal import duplicate_removal
from fastcnn.passes.simplify.identity_removal import identity_removal
from fastcnn.passes.simplify.shuffle_removal import reshape_merging, transpose_merging
from fastcnn.passes.standardise.canonical_forms import canonical_forms
from fastcnn.reader import read

FULL = {"starts": np.array([0, 0]), "ends": np.array([9, 1 << 40]), "axes": np.array([0, 1])}

# operator, further inputs, attributes, opset: takes one value of shape (2, 3, 4, 4) and hands it on
NO_OPS: list[tuple[str, dict[str, np.ndarray], dict[str, Any], int]] = [
    ("Identity", {}, {}, 13),
    ("Dropout", {}, {"ratio": 0.5}, 7),
    ("Dropout", {}, {"ratio": 0.5}, 10),
    ("Dropout", {"ratio": np.float32(0.5)}, {}, 13),
    ("Dropout", {"ratio": np.float32(0.5), "training": np.array(False)}, {}, 13),
    ("Cast", {}, {"to": 1}, 13),
    ("Reshape", {"shape": np.array([2, 3, 4, 4])}, {}, 13),
    ("Reshape", {"shape": np.array([0, 3, -1, 4])}, {}, 13),
    ("Transpose", {}, {"perm": [0, 1, 2, 3]}, 13),
    ("Pad", {"pads": np.zeros(8, np.int64)}, {}, 13),
    ("Pad", {}, {"pads": [0] * 8}, 10),
    ("Slice", FULL, {}, 13),
    ("Slice", {}, {"starts": [0], "ends": [4], "axes": [2]}, 9),
    ("Expand", {"shape": np.array([3, 1, 4])}, {}, 13),
    ("Tile", {"repeats": np.ones(4, np.int64)}, {}, 13),
    ("MaxPool", {}, {"kernel_shape": [1, 1]}, 12),
    ("AveragePool", {}, {"kernel_shape": [1, 1], "strides": [1, 1]}, 13),
    ("Sum", {}, {}, 13),
    ("Max", {}, {}, 13),
    ("Concat", {}, {"axis": 1}, 13),
    ("Add", {"zero": np.float32(0)}, {}, 13),
    ("Sub", {"zero": np.zeros((1, 1, 1), np.float32)}, {}, 13),
    ("Mul", {"one": np.ones(1, np.float32)}, {}, 13),
    ("Div", {"one": np.float32(1)}, {}, 13),
]


def between(op: str, constants: dict[str, np.ndarray], attrs: dict[str, Any], opset: int) -> onnx.ModelProto:
    """The node between a Relu and an Abs."""
    nodes = [node("Relu", ["x"], ["a"]), node(op, ["a", *constants], ["b"], **attrs), node("Abs", ["b"], ["y"])]
    return model(nodes, {"x": [2, 3, 4, 4]}, ["y"], constants, opset)


@pytest.mark.parametrize("case", NO_OPS, ids=lambda c: f"{c[0]}-{c[3]}")
def test_no_op_is_taken_out(case: tuple[str, dict[str, np.ndarray], dict[str, Any], int]) -> None:
    check_rewrite(between(*case), identity_removal, ["Relu", "Abs"])


# the same operators where they do something
DOES_SOMETHING: list[tuple[str, dict[str, np.ndarray], dict[str, Any], int]] = [
    ("Cast", {}, {"to": 11}, 13),
    ("Reshape", {"shape": np.array([2, 4, 3, 4])}, {}, 13),
    ("Transpose", {}, {}, 13),
    ("Transpose", {}, {"perm": [0, 1, 3, 2]}, 13),
    ("Pad", {"pads": np.array([0, 0, 0, 1, 0, 0, 0, 0])}, {}, 13),
    (
        "Slice",
        {"starts": np.array([-1]), "ends": np.array([-(1 << 40)]), "axes": np.array([3]), "steps": np.array([-1])},
        {},
        13,
    ),
    ("Expand", {"shape": np.array([1, 2, 3, 4, 4])}, {}, 13),
    ("Tile", {"repeats": np.array([1, 1, 2, 1])}, {}, 13),
    ("MaxPool", {}, {"kernel_shape": [1, 1], "strides": [2, 1]}, 12),
    ("Add", {"zero": np.zeros((1, 1, 1, 1, 1), np.float32)}, {}, 13),
    ("Mul", {"one": np.ones((5, 1, 1, 1, 1), np.float32)}, {}, 13),
    ("Mul", {"two": np.float32(2)}, {}, 13),
]


@pytest.mark.parametrize("case", DOES_SOMETHING, ids=lambda c: f"{c[0]}-{list(c[1])}")
def test_node_that_does_something_stays(case: tuple[str, dict[str, np.ndarray], dict[str, Any], int]) -> None:
    check_rewrite(between(*case), identity_removal, ["Relu", case[0], "Abs"])


def test_subtraction_from_zero_stays() -> None:
    check_rewrite(
        model([node("Sub", ["zero", "x"], ["y"])], {"x": [3]}, ["y"], {"zero": np.float32(0)}),
        identity_removal,
        ["Sub"],
    )


def test_dropout_with_a_used_mask_stays() -> None:
    proto = model([node("Dropout", ["x"], ["y", "mask"]), node("Not", ["mask"], ["z"])], {"x": [3]}, ["y", "z"])
    check_rewrite(proto, identity_removal, ["Dropout", "Not"])


def test_dropout_in_training_mode_stays() -> None:
    graph = read(
        model([node("Dropout", ["x", "r", "t"], ["y"])], {"x": [3]}, ["y"], {"r": np.float32(0.5), "t": np.array(True)})
    )
    identity_removal(graph)
    assert ops(graph) == ["Dropout"]


def test_identity_before_an_output_renames_the_producer() -> None:
    graph = check_rewrite(
        model(
            [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["y"]), node("Abs", ["a"], ["z"])],
            {"x": [3]},
            ["y", "z"],
        ),
        identity_removal,
        ["Relu", "Abs"],
    )
    assert graph.nodes[0].outputs == ("y",) and graph.nodes[1].inputs == ("y",)


@pytest.mark.parametrize("outputs", [["y"], ["a", "y"]], ids=["from an input", "from another output"])
def test_identity_to_an_output_stays_where_names_cannot_merge(outputs: list[str]) -> None:
    first = [node("Relu", ["x"], ["a"])] if "a" in outputs else []
    proto = model([*first, node("Identity", ["a" if first else "x"], ["y"])], {"x": [3]}, outputs)
    check_rewrite(proto, identity_removal, [*(n.op_type for n in first), "Identity"])


def test_two_identities_of_one_value_to_two_outputs() -> None:
    check_rewrite(
        model(
            [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["y"]), node("Identity", ["a"], ["z"])],
            {"x": [3]},
            ["y", "z"],
        ),
        identity_removal,
        ["Relu", "Identity"],
    )


def test_chain_of_identities() -> None:
    names = ["a", "b", "c", "d", "y"]
    proto = model(
        [node("Relu", ["x"], ["a"]), *(node("Identity", [i], [o]) for i, o in pairwise(names))], {"x": [3]}, ["y"]
    )
    check_rewrite(proto, identity_removal, ["Relu"])


def test_duplicates_are_merged() -> None:
    proto = model(
        [
            node("Relu", ["x"], ["a"]),
            node("Relu", ["x"], ["b"]),
            node("Abs", ["a"], ["c"]),
            node("Abs", ["b"], ["d"]),
            node("Mul", ["c", "d"], ["y"]),
        ],
        {"x": [3]},
        ["y"],
    )
    check_rewrite(proto, duplicate_removal, ["Relu", "Abs", "Mul"])


def test_duplicates_with_other_attributes_and_outputs_stay() -> None:
    proto = model(
        [
            node("LeakyRelu", ["x"], ["a"], alpha=0.1),
            node("LeakyRelu", ["x"], ["b"], alpha=0.2),
            node("LeakyRelu", ["x"], ["c"], alpha=0.1),
        ],
        {"x": [3]},
        ["a", "b", "c"],
    )
    check_rewrite(proto, duplicate_removal, ["LeakyRelu"] * 3)


def test_random_duplicates_stay() -> None:
    graph = read(
        model(
            [
                node("RandomNormalLike", ["x"], ["a"]),
                node("RandomNormalLike", ["x"], ["b"]),
                node("Sub", ["a", "b"], ["y"]),
            ],
            {"x": [3]},
            ["y"],
        )
    )
    assert not duplicate_removal(graph)


def test_transposes_merge() -> None:
    proto = model(
        [
            node("Transpose", ["x"], ["a"], perm=[0, 2, 3, 1]),
            node("Transpose", ["a"], ["b"], perm=[2, 0, 1, 3]),
            node("Relu", ["a"], ["z"]),
        ],
        {"x": [2, 3, 4, 5]},
        ["b", "z"],
    )
    graph = check_rewrite(proto, transpose_merging, ["Transpose", "Transpose", "Relu"])
    assert graph.nodes[1].inputs == ("x",)


def test_transposes_that_cancel_disappear() -> None:
    proto = model(
        [
            node("Transpose", ["x"], ["a"], perm=[0, 2, 3, 1]),
            node("Transpose", ["a"], ["b"], perm=[0, 3, 1, 2]),
            node("Relu", ["b"], ["y"]),
        ],
        {"x": [2, 3, 4, 5]},
        ["y"],
    )
    check_rewrite(proto, [transpose_merging, identity_removal], ["Transpose", "Relu"])


def test_reshapes_merge() -> None:
    proto = model(
        [node("Unsqueeze", ["x", "axis"], ["a"]), node("Squeeze", ["a", "axis"], ["b"]), node("Flatten", ["b"], ["y"])],
        {"x": ["n", 3, 4]},
        ["y"],
        {"axis": np.array([1])},
    )
    graph = check_rewrite(proto, reshape_merging, ["Unsqueeze", "Reshape", "Reshape"], {"n": 5})
    assert graph.nodes[2].inputs[0] == "x" and graph.constants[graph.nodes[2].inputs[1]].tolist() == [-1, 12]


def test_reshapes_to_two_unknown_sizes_stay() -> None:
    proto = model(
        [node("Unsqueeze", ["x", "axis"], ["a"]), node("Squeeze", ["a", "axis"], ["y"])],
        {"x": ["n", "m"]},
        ["y"],
        {"axis": np.array([1])},
    )
    check_rewrite(proto, reshape_merging, ["Unsqueeze", "Squeeze"], {"n": 5, "m": 3})


def test_sum_of_two_is_add() -> None:
    check_rewrite(model([node("Sum", ["x", "x"], ["y"])], {"x": [3]}, ["y"]), canonical_forms, ["Add"])
    check_rewrite(model([node("Sum", ["x", "x", "x"], ["y"])], {"x": [3]}, ["y"]), canonical_forms, ["Sum"])


@pytest.mark.parametrize(
    "axes, keepdims, expected",
    [
        ([2, 3], 1, "GlobalAveragePool"),
        ([-1, -2], 1, "GlobalAveragePool"),
        ([2, 3], 0, "ReduceMean"),
        ([1, 2], 1, "ReduceMean"),
    ],
)
@pytest.mark.parametrize("opset", [13, 18])
def test_mean_over_space_is_global_average_pool(axes: list[int], keepdims: int, expected: str, opset: int) -> None:
    reduce = (node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=keepdims) if opset < 18
              else node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims))
    constants = {"axes": np.array(axes)} if opset >= 18 else {"unused": floats(1)}
    check_rewrite(model([reduce], {"x": [2, 3, 4, 5]}, ["y"], constants, opset), canonical_forms, [expected])
