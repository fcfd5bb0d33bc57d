"""residual_fusion: Adds of equal shapes become the epilogue of the later convolution."""
from __future__ import annotations

import pytest
from graph_helper import check_rewrite, floats, model, node

from fastcnn.passes import run_passes
from fastcnn.passes.activation_fusion import activation_fusion
from fastcnn.passes.residual_fusion import residual_fusion
from fastcnn.reader import read

WEIGHTS = {"w": floats(4, 4, 3, 3), "v": floats(4, 4, 3, 3, seed=2), "b": floats(4)}
PADS = {"pads": [1, 1, 1, 1]}


@pytest.mark.parametrize("shape", [[1, 4, 6, 6], ["n", 4, "h", "w"]], ids=["known sizes", "free sizes"])
def test_block_of_two_convs_and_a_skip(shape: list[int | str]) -> None:
    proto = model(
        [
            node("Conv", ["x", "w", "b"], ["c"], **PADS),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "v"], ["d"], **PADS),
            node("Add", ["x", "d"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ],
        {"x": shape},
        ["y"],
        WEIGHTS,
    )
    graph = check_rewrite(
        proto, [activation_fusion, residual_fusion], ["Conv+Relu", "Conv+residual+Relu"], {"n": 2, "h": 5, "w": 7}
    )
    assert graph.nodes[1].inputs == ("r", "v", "", "x")


def test_downsampling_block_with_free_sizes() -> None:
    proto = model(
        [
            node("Conv", ["x", "w"], ["c"], strides=[2, 2], **PADS),
            node("Conv", ["c", "v"], ["d"], **PADS),
            node("Conv", ["x", "p"], ["e"], strides=[2, 2]),
            node("Add", ["d", "e"], ["y"]),
        ],
        {"x": ["n", 4, "h", "w"]},
        ["y"],
        {**WEIGHTS, "p": floats(4, 4, 1, 1)},
    )
    graph = check_rewrite(proto, residual_fusion, ["Conv", "Conv", "Conv+residual"], {"n": 1, "h": 7, "w": 8})
    assert graph.nodes[2].inputs == ("e" and "x", "p", "", "d")


def test_first_conv_moves_behind_what_it_adds() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"], **PADS), node("Abs", ["x"], ["a"]), node("Add", ["c", "a"], ["y"])],
        {"x": [1, 4, 6, 6]},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, residual_fusion, ["Abs", "Conv+residual"])


def test_chain_of_adds() -> None:
    proto = model(
        [
            node("Conv", ["x", "w"], ["c"], **PADS),
            node("Conv", ["x", "v"], ["d"], **PADS),
            node("Add", ["c", "x"], ["s"]),
            node("Add", ["s", "d"], ["y"]),
        ],
        {"x": [1, 4, 6, 6]},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, residual_fusion, ["Conv+residual", "Conv+residual"])


def test_transposed_conv_takes_a_residual() -> None:
    proto = model(
        [node("ConvTranspose", ["x", "w"], ["c"], **PADS), node("Add", ["c", "x"], ["y"])],
        {"x": [1, 4, 6, 6]},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, residual_fusion, ["ConvTranspose+residual"])


def test_conv_added_to_itself_stays() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"], **PADS), node("Add", ["c", "c"], ["y"])], {"x": [1, 4, 6, 6]}, ["y"], WEIGHTS
    )
    check_rewrite(proto, residual_fusion, ["Conv", "Add"])


@pytest.mark.parametrize("other", [[1, 4, 1, 1], [1, 1, 6, 6], [4, 1, 1], [2, 4, 6, 6], ["n", 4, 6, 6]], ids=str)
def test_add_that_broadcasts_or_may_stays(other: list[int | str]) -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"], **PADS), node("Add", ["c", "z"], ["y"])],
        {"x": [1, 4, 6, 6], "z": other},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, residual_fusion, ["Conv", "Add"], {"n": 1})


def test_two_inputs_with_one_symbol_may_differ() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"], **PADS), node("Add", ["c", "z"], ["y"])],
        {"x": ["n", 4, 6, 6], "z": ["n", 4, 6, 6]},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, residual_fusion, ["Conv", "Add"], {"n": 1})


def test_conv_with_an_activation_stays() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"], **PADS), node("Relu", ["c"], ["r"]), node("Add", ["r", "x"], ["y"])],
        {"x": [1, 4, 6, 6]},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, [activation_fusion, residual_fusion], ["Conv+Relu", "Add"])


def test_conv_read_twice_or_given_out_stays() -> None:
    nodes = [node("Conv", ["x", "w"], ["c"], **PADS), node("Add", ["c", "x"], ["y"])]
    check_rewrite(model(nodes, {"x": [1, 4, 6, 6]}, ["c", "y"], WEIGHTS), residual_fusion, ["Conv", "Add"])
    check_rewrite(
        model([*nodes, node("Abs", ["c"], ["z"])], {"x": [1, 4, 6, 6]}, ["y", "z"], WEIGHTS),
        residual_fusion,
        ["Conv", "Add", "Abs"],
    )


def test_strides_that_leave_different_sizes_stay() -> None:
    """(h - 1) // 2 + 1 and (h - 2) // 2 + 1 agree for even h only."""
    proto = model(
        [
            node("Conv", ["x", "w"], ["c"], strides=[2, 2], **PADS),
            node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Add", ["c", "m"], ["y"]),
        ],
        {"x": [1, 4, "h", "w"]},
        ["y"],
        WEIGHTS,
    )
    check_rewrite(proto, residual_fusion, ["Conv", "MaxPool", "Add"], {"h": 6, "w": 8})


def test_shapes_stay_known_after_all_passes() -> None:
    proto = model(
        [
            node("Conv", ["x", "w", "b"], ["c"], **PADS),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "v"], ["d"], **PADS),
            node("Add", ["x", "d"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ],
        {"x": [1, 4, 6, 6]},
        ["y"],
        WEIGHTS,
    )
    graph = run_passes(read(proto))
    assert all(graph.metadata["shapes"][v] == (1, 4, 6, 6) for n in graph.nodes for v in n.outputs)
