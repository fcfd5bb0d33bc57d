"""constant_folding, reshape_targets, shape_knowledge, dead_code: what does not depend on the input is computed once."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, ops

from fastcnn.passes import PASSES, run_passes
from fastcnn.passes.fold.constant_folding import constant_folding
from fastcnn.passes.fold.reshape_targets import reshape_targets
from fastcnn.passes.quantized.regions import quantized_regions
from fastcnn.passes.simplify.dead_code import dead_code
from fastcnn.reader import read


def test_folding_chain_of_constants() -> None:
    proto = model([node("Add", ["a", "b"], ["c"]), node("Mul", ["c", "c"], ["d"]), node("Mul", ["x", "d"], ["y"])],
                  {"x": [2, 3]}, ["y"], {"a": floats(3), "b": floats(1, seed=2)})
    check_rewrite(proto, constant_folding, ["Mul"])


def test_folding_shape_arithmetic_of_a_static_shape() -> None:
    proto = model([node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0),
                   node("Unsqueeze", ["n", "axis"], ["n1"]), node("Concat", ["n1", "rest"], ["target"], axis=0),
                   node("Reshape", ["x", "target"], ["y"])], {"x": [2, 3, 4]}, ["y"],
                  {"zero": np.int64(0), "axis": np.array([0]), "rest": np.array([-1])})
    check_rewrite(proto, constant_folding, ["Reshape"])


def test_folding_known_size_of_a_partly_known_shape() -> None:
    proto = model(
        [
            node("Shape", ["x"], ["s"]),
            node("Gather", ["s", "one"], ["c"], axis=0),
            node("Cast", ["c"], ["f"], to=1),
            node("Mul", ["x", "f"], ["y"]),
        ],
        {"x": ["n", 3]},
        ["y"],
        {"one": np.int64(1)},
    )
    check_rewrite(proto, [constant_folding, dead_code], ["Mul"], {"n": 5})


def test_folding_leaves_unknown_sizes() -> None:
    proto = model(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0)],
        {"x": ["n", 3]},
        ["n"],
        {"zero": np.int64(0)},
    )
    check_rewrite(proto, constant_folding, ["Shape", "Gather"], {"n": 5})


def test_reshape_target_from_own_sizes_becomes_constant() -> None:
    proto = model([node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0),
                   node("Unsqueeze", ["n", "axis"], ["n1"]), node("Concat", ["n1", "rest"], ["target"], axis=0),
                   node("Reshape", ["x", "target"], ["y"])], {"x": ["n", 3, 4]}, ["y"],
                  {"zero": np.int64(0), "axis": np.array([0]), "rest": np.array([-1])})
    graph = check_rewrite(proto, [reshape_targets, dead_code], ["Reshape"], {"n": 5})
    assert graph.constants[graph.nodes[0].inputs[1]].tolist() == [0, -1]


def test_reshape_target_of_another_tensors_size_stays() -> None:
    proto = model(
        [
            node("Shape", ["z"], ["s"]),
            node("Slice", ["s", "from", "to"], ["n"]),
            node("Concat", ["n", "n"], ["target"], axis=0),
            node("Reshape", ["x", "target"], ["y"]),
        ],
        {"x": ["m", "k"], "z": ["n"]},
        ["y"],
        {"from": np.array([0]), "to": np.array([1])},
    )
    check_rewrite(
        proto, [reshape_targets, dead_code], ["Shape", "Slice", "Concat", "Reshape"], {"m": 3, "k": 3, "n": 3}
    )


def test_folding_leaves_random_operators() -> None:
    graph = read(model([node("RandomNormal", [], ["r"], shape=[3]), node("Add", ["x", "r"], ["y"])], {"x": [3]}, ["y"]))
    assert not constant_folding(graph)
    assert ops(graph) == ["RandomNormal", "Add"]


def test_folding_leaves_what_blows_up() -> None:
    graph = read(model([node("Expand", ["one", "shape"], ["big"]), node("Add", ["x", "big"], ["y"])], {"x": [1]}, ["y"],
                       {"one": floats(1), "shape": np.array([1 << 20])}))
    constant_folding(graph)
    assert ops(graph) == ["Expand", "Add"]


def test_folding_constant_of_shape_takes_no_memory() -> None:
    graph = read(
        model(
            [node("ConstantOfShape", ["shape"], ["w"]), node("MatMul", ["x", "w"], ["y"])],
            {"x": [1, 4096]},
            ["y"],
            {"shape": np.array([4096, 4096])},
        )
    )
    constant_folding(graph)
    assert ops(graph) == ["MatMul"]
    assert graph.constants["w"].shape == (4096, 4096) and graph.constants["w"].strides == (0, 0)


@pytest.mark.parametrize("size", [1 << 40, -1])
def test_folding_constant_of_shape_of_absurd_size_stays(size: int) -> None:
    graph = read(model([node("ConstantOfShape", ["shape"], ["y"])], {"x": [1]}, ["y"], {"shape": np.array([size])}))
    constant_folding(graph)
    assert ops(graph) == ["ConstantOfShape"]


def test_folding_leaves_nodes_that_fail() -> None:
    graph = read(
        model(
            [node("Gather", ["table", "far"], ["y"]), node("Identity", ["x"], ["z"])],
            {"x": [1]},
            ["y", "z"],
            {"table": floats(3), "far": np.int64(7)},
        )
    )
    constant_folding(graph)
    assert ops(graph) == ["Gather", "Identity"]


def test_folding_keeps_an_output_as_a_constant() -> None:
    check_rewrite(
        model([node("Add", ["a", "a"], ["y"]), node("Relu", ["x"], ["z"])], {"x": [2]}, ["y", "z"], {"a": floats(3)}),
        [constant_folding, dead_code],
        ["Relu"],
    )


def test_dequantised_weights_are_left_to_what_takes_them_or_folds_them() -> None:
    weights = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    proto = model(
        [node("DequantizeLinear", ["q", "scale", "zero"], ["w"]), node("MatMul", ["x", "w"], ["y"])],
        {"x": [2, 4]},
        ["y"],
        {"q": weights, "scale": np.float32(0.1), "zero": np.int8(1)},
    )
    check_rewrite(proto, constant_folding, ["DequantizeLinear", "MatMul"])
    check_rewrite(proto, quantized_regions, ["MatMul"])


def test_dead_code_keeps_what_outputs_need() -> None:
    proto = model(
        [node("Relu", ["x"], ["a"]), node("Add", ["a", "unused"], ["b"]), node("Relu", ["a"], ["y"])],
        {"x": [2]},
        ["y"],
        {"unused": floats(2)},
    )
    graph = check_rewrite(proto, dead_code, ["Relu", "Relu"])
    assert not graph.constants


def test_run_passes_leaves_the_given_graph_alone() -> None:
    proto = model(
        [
            node("Add", ["a", "a"], ["b"]),
            node("Conv", ["x", "w"], ["c"]),
            node("Add", ["c", "b"], ["d"]),
            node("Relu", ["d"], ["y"]),
        ],
        {"x": [1, 2, 4, 4]},
        ["y"],
        {"a": floats(1), "w": floats(3, 2, 1, 1)},
    )
    graph = read(proto)
    nodes, constants, known = list(graph.nodes), dict(graph.constants), (dict(graph.types), dict(graph.shapes))
    rewritten = run_passes(graph)
    assert ops(rewritten) == ["Conv+Relu"]
    assert graph.nodes == nodes and (graph.types, graph.shapes) == known and graph.constants.keys() == constants.keys()
    assert all(graph.constants[k] is constants[k] for k in constants)


def test_run_passes_of_a_half_precision_model_with_free_sizes_ends() -> None:
    weights = {"w": floats(4, 3, 3, 3).astype(np.float16), "s": np.float16(2)}
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Mul", ["c", "s"], ["m"]), node("Relu", ["m"], ["y"])],
        {"x": ["n", 3, "h", "w"]},
        ["y"],
        weights,
        types={"x": 10},
    )
    graph = run_passes(read(proto))
    assert ops(graph) == ["Conv+Relu"]
    assert all(not rewrite(graph) for rewrite in PASSES)
