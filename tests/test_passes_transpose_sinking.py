"""transpose_sinking: layer scale and skip connection behind a MatMul's Transpose go before it, then into the MatMul."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, onnxruntime_run, ops, random_feeds

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.passes.fold.affine_after import affine_after
from fastcnn.passes.fuse.residual_fusion import residual_fusion
from fastcnn.passes.reorder.transpose_sinking import transpose_sinking
from fastcnn.reader import read

C = 6
TO_FIRST = {"perm": [0, 3, 1, 2]}
LAST: dict[str, list[int | str]] = {"x": [1, 4, 5, C]}
WEIGHTS = {"m": floats(C, C)}


def product(*rest: Any) -> list[Any]:
    return [node("MatMul", ["x", "m"], ["p"]), node("Transpose", ["p"], ["t"], **TO_FIRST), *rest]


SCALES = [("Mul", (C, 1, 1), False), ("Mul", (1, C, 1, 1), True), ("Add", (C, 1, 1), False), ("Sub", (C, 1, 1), True), ("Div", (1,), False)]


@pytest.mark.parametrize("op, shape, first", SCALES, ids=str)
def test_arithmetic_a_channel(op: str, shape: tuple[int, ...], first: bool) -> None:
    proto = model(product(node(op, ["k", "t"] if first else ["t", "k"], ["y"])), LAST, ["y"], {**WEIGHTS, "k": floats(*shape)})
    check_rewrite(proto, transpose_sinking, ["MatMul", op, "Transpose"])
    check_rewrite(proto, [transpose_sinking, affine_after], ["MatMul", "Transpose"])


@pytest.mark.parametrize("first", [False, True])
def test_residual(first: bool) -> None:
    proto = model(product(node("Add", ["z", "t"] if first else ["t", "z"], ["y"])), {**LAST, "z": [1, C, 4, 5]}, ["y"], WEIGHTS)
    check_rewrite(proto, transpose_sinking, ["MatMul", "Transpose", "Add", "Transpose"])
    check_rewrite(proto, [transpose_sinking, residual_fusion], ["Transpose", "MatMul+residual", "Transpose"])


def test_perm_that_is_not_its_own_inverse() -> None:
    nodes = [node("MatMul", ["x", "m"], ["p"]), node("Transpose", ["p"], ["t"], perm=[1, 3, 0, 2]),
             node("Mul", ["t", "k"], ["s"]), node("Add", ["s", "z"], ["y"])]
    constants = {**WEIGHTS, "k": floats(C, 1, 1)}
    proto = model(nodes, {"x": [2, 4, 5, C], "z": [4, C, 2, 5]}, ["y"], constants)
    graph = check_rewrite(proto, [transpose_sinking, affine_after, transpose_sinking, residual_fusion],
                          ["Transpose", "MatMul+residual", "Transpose"])
    assert all(v in graph.shapes for n in graph.nodes for v in n.outputs)


@pytest.mark.parametrize("nodes, inputs, constants, left", [
    (product(node("Mul", ["t", "k"], ["y"])), LAST, {"k": floats(4, 5)}, ["MatMul", "Transpose", "Mul"]),
    (product(node("Mul", ["t", "k"], ["y"])), LAST, {"k": floats(2, C, 1, 1)}, ["MatMul", "Transpose", "Mul"]),
    (product(node("Mul", ["t", "z"], ["y"])), {**LAST, "z": [1, C, 4, 5]}, {}, ["MatMul", "Transpose", "Mul"]),
    (product(node("Add", ["t", "z"], ["y"])), {**LAST, "z": [1, C, 1, 1]}, {}, ["MatMul", "Transpose", "Add"]),
    (product(node("Div", ["k", "t"], ["y"])), LAST, {"k": floats(C, 1, 1)}, ["MatMul", "Transpose", "Div"]),
    (product(node("Add", ["t", "t"], ["y"])), LAST, {}, ["MatMul", "Transpose", "Add"]),
    (product(node("Mul", ["t", "k"], ["s"]), node("Add", ["s", "t"], ["y"])), LAST, {"k": floats(C, 1, 1)},
     ["MatMul", "Transpose", "Mul", "Add"]),
    (product(node("Add", ["t", "z"], ["s"]), node("ReduceSum", ["p"], ["r"]), node("Add", ["s", "r"], ["y"])),
     {**LAST, "z": [1, C, 4, 5]}, {}, ["MatMul", "Transpose", "Add", "ReduceSum", "Add"]),
    ([node("Abs", ["x"], ["p"]), node("Transpose", ["p"], ["t"], **TO_FIRST), node("Mul", ["t", "k"], ["y"])], LAST, {"k": floats(C, 1, 1)},
     ["Abs", "Transpose", "Mul"]),
], ids=["not a channel", "adds a batch", "computed factor", "broadcasts", "reciprocal", "twice", "read again", "product read again",
        "no product"])
def test_what_stays(nodes: list[Any], inputs: dict[str, Any], constants: dict[str, np.ndarray], left: list[str]) -> None:
    check_rewrite(model(nodes, inputs, ["y"], {**WEIGHTS, **constants}), transpose_sinking, left)


def test_transpose_given_out_stays() -> None:
    proto = model(product(node("Mul", ["t", "k"], ["y"])), LAST, ["t", "y"], {**WEIGHTS, "k": floats(C, 1, 1)})
    check_rewrite(proto, transpose_sinking, ["MatMul", "Transpose", "Mul"])


def test_block_of_convnext_is_three_steps_besides_the_convolution() -> None:
    """Depthwise, LayerNormalization, MatMul, MatMul; the skip connection is read where it lies."""
    def block(x: str, y: str) -> list[Any]:
        return [
            node("Conv", [x, "w"], [y + "c"], group=C, pads=[3, 3, 3, 3]),
            node("Transpose", [y + "c"], [y + "l"], perm=[0, 2, 3, 1]),
            node("LayerNormalization", [y + "l", "g"], [y + "n"], axis=-1),
            node("MatMul", [y + "n", "up"], [y + "a"]),
            node("Relu", [y + "a"], [y + "r"]),
            node("MatMul", [y + "r", "down"], [y + "p"]),
            node("Add", [y + "p", "b"], [y + "q"]),
            node("Transpose", [y + "q"], [y + "t"], **TO_FIRST),
            node("Mul", ["k", y + "t"], [y + "s"]),
            node("Add", [y + "s", x], [y]),
        ]

    constants = {"w": floats(C, 1, 7, 7), "g": floats(C), "up": floats(C, 4 * C), "down": floats(4 * C, C), "b": floats(C),
                 "k": floats(C, 1, 1)}
    proto = model([*block("x", "h"), *block("h", "y")], {"x": [1, C, 8, 9]}, ["y"], constants, opset=17)
    names = ops(run_passes(read(proto)))
    assert [n for n in names if n != "Transpose"] == ["Conv", "LayerNormalization", "MatMul+Relu", "MatMul+residual"] * 2
    feeds = random_feeds(proto)
    want = onnxruntime_run(proto, feeds)[0]
    np.testing.assert_allclose(fastcnn.load(proto).run(None, feeds)[0], want, rtol=0, atol=1e-5 * np.abs(want).max())
