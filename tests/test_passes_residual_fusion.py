"""residual_fusion: Adds of equal shapes become the epilogue of the later convolution."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, onnxruntime_run, ops, random_feeds

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.passes.fuse.activation_fusion import activation_fusion
from fastcnn.passes.fuse.residual_fusion import residual_fusion
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
    assert graph.nodes[2].inputs == ("x", "p", "", "d")


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
    assert all(graph.shapes[v] == (1, 4, 6, 6) for n in graph.nodes for v in n.outputs)


def test_matrix_products_take_a_residual_where_the_weights_are_one_constant_matrix() -> None:
    nodes = [node("MatMul", ["x", "m"], ["c"]), node("Add", ["x", "c"], ["s"]), node("MatMul", ["s", "k"], ["d"]),
             node("Add", ["d", "s"], ["y"])]
    proto = model(nodes, {"x": [2, 3, 5]}, ["y"], {"m": floats(5, 5), "k": floats(2, 5, 5)})
    graph = check_rewrite(proto, residual_fusion, ["MatMul+residual", "MatMul", "Add"])
    assert graph.nodes[0].inputs == ("x", "m", "", "x")


def test_matrix_product_of_computed_weights_or_with_an_activation_stays() -> None:
    computed = [node("MatMul", ["x", "z"], ["c"]), node("Add", ["c", "x"], ["y"])]
    check_rewrite(model(computed, {"x": [3, 5], "z": [5, 5]}, ["y"]), residual_fusion, ["MatMul", "Add"])
    active = [node("MatMul", ["x", "m"], ["c"]), node("Relu", ["c"], ["r"]), node("Add", ["r", "x"], ["y"])]
    check_rewrite(model(active, {"x": [3, 5]}, ["y"], {"m": floats(5, 5)}), [activation_fusion, residual_fusion], ["MatMul+Relu", "Add"])


RESIDUAL_SHAPES: list[tuple[str, list[int | str]]] = [("vector", [5]), ("matrix", [7, 5]), ("map", [2, 3, 4, 5]), ("empty", ["none", 5])]


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("shape", [s for _, s in RESIDUAL_SHAPES], ids=[n for n, _ in RESIDUAL_SHAPES])
def test_matrix_product_with_residual_runs_as_onnxruntime_has_it(shape: list[int | str], bias: bool) -> None:
    nodes = [node("Abs", ["x"], ["a"]), node("MatMul", ["a", "m"], ["c"])]
    nodes += [node("Add", ["c", "b"], ["e"])] if bias else []
    nodes += [node("Add", ["x", "e" if bias else "c"], ["s"]), node("Relu", ["s"], ["y"])]
    proto = model(nodes, {"x": shape}, ["y"], {"m": floats(5, 5), **({"b": floats(5, seed=3)} if bias else {})})
    assert ops(run_passes(read(proto))) == ["Abs", "MatMul+residual+Relu"]
    feeds = random_feeds(proto, {"none": 0})
    want, loaded = onnxruntime_run(proto, feeds)[0], fastcnn.load(proto)
    assert not loaded.fallback_nodes
    np.testing.assert_allclose(loaded.run(None, feeds)[0], want, rtol=2e-6, atol=2e-6)


def test_matrix_product_with_a_residual_of_other_strides() -> None:
    """The residual is a transposed view that has to be copied to rows."""
    proto = model([node("Transpose", ["z"], ["t"], perm=[2, 1, 0]), node("MatMul", ["x", "m"], ["c"]), node("Add", ["c", "t"], ["y"])],
                  {"x": [3, 4, 5], "z": [5, 4, 3]}, ["y"], {"m": floats(5, 5)})
    assert "MatMul+residual" in ops(run_passes(read(proto)))
    feeds = random_feeds(proto)
    np.testing.assert_allclose(fastcnn.load(proto).run(None, feeds)[0], onnxruntime_run(proto, feeds)[0], rtol=2e-6, atol=2e-6)
