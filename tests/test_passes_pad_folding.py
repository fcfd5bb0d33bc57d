"""pad_folding: a Pad becomes the padding of what reads it, where that is exact."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, ops

from fastcnn.passes.fold.pad_folding import pad_folding
from fastcnn.passes.simplify.dead_code import dead_code
from fastcnn.reader import read

FOLD = [pad_folding, dead_code]
X = {"x": [1, 3, 6, 7]}
PADS = np.array([0, 0, 1, 2, 0, 0, 2, 1])


def pad(pads: np.ndarray = PADS, value: float = 0.0, **attrs: Any) -> tuple[Any, dict[str, np.ndarray]]:
    return node("Pad", ["a", "pads", "value"], ["p"], **attrs), {"pads": pads, "value": np.float32(value)}


def chain(reader: Any, constants: dict[str, np.ndarray], before: str = "Relu", opset: int = 13, **padding: Any) -> Any:
    first, more = pad(**padding)
    return model([node(before, ["x"], ["a"]), first, reader], X, ["y"], {**constants, **more}, opset)


@pytest.mark.parametrize(
    "own", [{}, {"pads": [1, 0, 0, 1]}, {"auto_pad": "VALID"}, {"strides": [2, 2], "dilations": [2, 1]}], ids=str
)
def test_conv_takes_the_pad(own: dict[str, Any]) -> None:
    proto = chain(node("Conv", ["p", "w"], ["y"], **own), {"w": floats(4, 3, 3, 3)}, "Abs")
    check_rewrite(proto, FOLD, ["Abs", "Conv"])


def test_conv_of_opset_10_takes_the_pad() -> None:
    proto = model(
        [node("Pad", ["x"], ["p"], pads=PADS.tolist()), node("Conv", ["p", "w"], ["y"])],
        X,
        ["y"],
        {"w": floats(4, 3, 3, 3)},
        10,
    )
    check_rewrite(proto, FOLD, ["Conv"])


def test_conv_takes_the_pad_of_named_axes() -> None:
    proto = model([node("Pad", ["x", "pads", "", "axes"], ["p"]), node("Conv", ["p", "w"], ["y"])], X, ["y"],
                  {"w": floats(4, 3, 3, 3), "pads": np.array([1, 2, 0, 3]), "axes": np.array([-1, 2])}, 18)
    check_rewrite(proto, FOLD, ["Conv"])


@pytest.mark.parametrize(
    "padding",
    [
        {"value": 1.0},
        {"mode": "reflect"},
        {"mode": "edge"},
        {"pads": np.array([0, 1, 1, 1, 0, 0, 1, 1])},
        {"pads": np.array([0, 0, -1, 1, 0, 0, 1, 1])},
    ],
    ids=str,
)
def test_pad_that_is_not_zeros_around_space_stays(padding: dict[str, Any]) -> None:
    channels = 4 if "pads" in padding and padding["pads"][1] else 3
    check_rewrite(
        chain(node("Conv", ["p", "w"], ["y"]), {"w": floats(4, channels, 3, 3)}, "Abs", **padding),
        FOLD,
        ["Abs", "Pad", "Conv"],
    )


def test_pad_before_a_conv_with_same_padding_stays() -> None:
    check_rewrite(
        chain(node("Conv", ["p", "w"], ["y"], auto_pad="SAME_UPPER"), {"w": floats(4, 3, 3, 3)}),
        FOLD,
        ["Relu", "Pad", "Conv"],
    )


def test_pad_that_others_read_stays_for_them() -> None:
    first, more = pad()
    proto = model(
        [node("Abs", ["x"], ["a"]), first, node("Conv", ["p", "w"], ["y"]), node("Neg", ["p"], ["z"])],
        X,
        ["y", "z"],
        {"w": floats(4, 3, 3, 3), **more},
    )
    check_rewrite(proto, FOLD, ["Abs", "Pad", "Conv", "Neg"])


@pytest.mark.parametrize("own", [{}, {"pads": [1, 0, 0, 1], "count_include_pad": 1}, {"strides": [2, 1]}], ids=str)
def test_average_pool_counts_the_pad(own: dict[str, Any]) -> None:
    proto = chain(node("AveragePool", ["p"], ["y"], kernel_shape=[4, 4], **own), {}, "Neg")
    graph = check_rewrite(proto, FOLD, ["Neg", "AveragePool"])
    assert graph.nodes[-1].attrs["count_include_pad"] == 1


@pytest.mark.parametrize("own", [{"pads": [1, 0, 0, 1]}, {"ceil_mode": 1, "strides": [2, 2]}], ids=str)
def test_average_pool_whose_own_padding_does_not_count_stays(own: dict[str, Any]) -> None:
    check_rewrite(
        chain(node("AveragePool", ["p"], ["y"], kernel_shape=[4, 4], **own), {}, "Neg"),
        FOLD,
        ["Neg", "Pad", "AveragePool"],
    )


@pytest.mark.parametrize("before", ["Relu", "Sigmoid"])
def test_max_pool_takes_zeros_where_nothing_is_negative(before: str) -> None:
    check_rewrite(
        chain(node("MaxPool", ["p"], ["y"], kernel_shape=[3, 3], strides=[2, 2]), {}, before), FOLD, [before, "MaxPool"]
    )


def test_max_pool_takes_minus_infinity() -> None:
    check_rewrite(
        chain(node("MaxPool", ["p"], ["y"], kernel_shape=[3, 3]), {}, "Neg", value=-np.inf), FOLD, ["Neg", "MaxPool"]
    )


@pytest.mark.parametrize(
    "before, own",
    [
        ("Neg", {}),
        ("Relu", {"kernel_shape": [2, 2]}),
        ("Relu", {"ceil_mode": 1, "strides": [2, 2]}),
        ("Relu", {"dilations": [2, 2]}),
        ("Relu", {"pads": [2, 0, 0, 0]}),
    ],
    ids=str,
)
def test_max_pool_that_zeros_could_win_stays(before: str, own: dict[str, Any]) -> None:
    proto = chain(node("MaxPool", ["p"], ["y"], **{"kernel_shape": [3, 3], **own}), {}, before)
    check_rewrite(proto, FOLD, [before, "Pad", "MaxPool"])


def test_pad_with_computed_pads_stays() -> None:
    graph = read(
        model(
            [node("Pad", ["x", "pads"], ["p"]), node("Conv", ["p", "w"], ["y"])],
            {**X, "pads": [8]},
            ["y"],
            {"w": floats(4, 3, 3, 3)},
            types={"pads": 7},
        )
    )
    assert not pad_folding(graph)
    assert ops(graph) == ["Pad", "Conv"]
