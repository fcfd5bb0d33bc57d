"""Channel shuffles as Gathers, and orders of channels that go into the weights of convolutions."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, onnxruntime_run, ops, random_feeds

import fastcnn
from fastcnn.ir.graph import Graph
from fastcnn.passes import run_passes
from fastcnn.passes.recognise.channel_shuffle import gather_slicing, shuffle_to_gather
from fastcnn.passes.reorder.channel_order import reading_order, writing_order
from fastcnn.passes.simplify.dead_code import dead_code
from fastcnn.reader import read

C = 12
SHAPE: list[int | str] = [1, C, 4, 5]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def shuffle(x: str, y: str, channels: int = C, groups: int = 2, size: tuple[int, int] = (4, 5)) -> tuple[list[Any], dict[str, np.ndarray]]:
    nodes = [node("Reshape", [x, y + ".split"], [y + "r"]), node("Transpose", [y + "r"], [y + "t"], perm=[0, 2, 1, 3, 4]),
             node("Reshape", [y + "t", y + ".back"], [y])]
    return nodes, {y + ".split": ints(1, groups, channels // groups, *size), y + ".back": ints(1, channels, *size)}


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_shuffle(groups: int) -> None:
    nodes, constants = shuffle("x", "y", groups=groups)
    graph = check_rewrite(model(nodes, {"x": SHAPE}, ["y"], constants), shuffle_to_gather, ["Gather"])
    assert graph.constants[graph.nodes[0].inputs[1]].tolist() == [g * (C // groups) + c for c in range(C // groups) for g in range(groups)]


@pytest.mark.parametrize("change", ["perm", "pixels", "other sizes", "read between", "given out"])
def test_what_is_no_shuffle(change: str) -> None:
    nodes, constants = shuffle("x", "y")
    outputs, left = ["y"], ["Reshape", "Transpose", "Reshape"]
    if change == "perm":
        nodes[1] = node("Transpose", ["yr"], ["yt"], perm=[0, 2, 1, 4, 3])
    elif change == "pixels":
        constants["y.split"] = ints(1, 2, C // 2, 5, 4)
    elif change == "other sizes":
        constants["y.back"] = ints(1, C // 2, 8, 5)
    elif change == "read between":
        nodes.append(node("Abs", ["yt"], ["z"]))
        outputs, left = ["y", "z"], [*left, "Abs"]
    else:
        outputs = ["y", "yr"]
    check_rewrite(model(nodes, {"x": SHAPE}, outputs, constants), shuffle_to_gather, left)


GATHER = node("Gather", ["x", "order"], ["g"], axis=1)
ORDER = ints(0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, -1)


@pytest.mark.parametrize("cut", [
    [node("Split", ["g"], ["a", "b"], axis=1)],
    [node("Split", ["g", "sizes"], ["a", "b"], axis=-3)],
    [node("Slice", ["g", "zero", "four", "one"], ["a"]), node("Slice", ["g", "four", "far", "one"], ["b"])],
], ids=["Split", "Split with sizes", "Slice"])
def test_parts_of_a_gather(cut: list[Any]) -> None:
    nodes = [GATHER, *cut, node("Abs", ["a"], ["y"]), node("Neg", ["b"], ["z"])]
    constants = {"order": ORDER, "sizes": ints(5, 7), "zero": ints(0), "four": ints(4), "one": ints(1), "far": ints(2 ** 62)}
    check_rewrite(model(nodes, {"x": SHAPE}, ["y", "z"], constants), gather_slicing, ["Gather", "Gather", "Abs", "Neg"])


@pytest.mark.parametrize("reader", [
    node("Slice", ["g", "zero", "four", "two"], ["a"]), node("Slice", ["g", "four", "zero", "one", "back"], ["a"]),
    node("Abs", ["g"], ["a"]), node("Split", ["g"], ["a", "b"], axis=2),
], ids=["other axis", "backwards", "no cut", "split elsewhere"])
def test_gather_read_otherwise_stays(reader: Any) -> None:
    nodes = [GATHER, reader, node("Abs", ["a"], ["y"])]
    constants = {"order": ORDER, "zero": ints(0), "four": ints(3), "one": ints(1), "two": ints(2), "back": ints(-1)}
    check_rewrite(model(nodes, {"x": SHAPE}, ["y"], constants), gather_slicing, ["Gather", reader.op_type, "Abs"])


def conv(x: str, y: str, w: str, *more: str, **attrs: Any) -> Any:
    return node("Conv", [x, w, *more], [y], **attrs)


WEIGHTS = {"order": ORDER, "w": floats(8, C, 3, 3), "v": floats(5, C, 1, 1, seed=2), "d": floats(C, 1, 3, 3, seed=3),
           "shift": floats(C, seed=4), "half": floats(6, 6, 1, 1, seed=5)}


def test_dense_convolutions_read_any_order() -> None:
    proto = model([GATHER, conv("g", "y", "w", pads=[1, 1, 1, 1]), conv("g", "z", "v")], {"x": SHAPE}, ["y", "z"], WEIGHTS)
    check_rewrite(proto, [reading_order, dead_code], ["Conv", "Conv"])


def test_depthwise_convolution_goes_before_the_gather() -> None:
    nodes = [GATHER, conv("g", "e", "d", "shift", group=C, pads=[1, 1, 1, 1], strides=[2, 2]), conv("e", "y", "v")]
    proto = model(nodes, {"x": SHAPE}, ["y"], WEIGHTS)
    check_rewrite(proto, [reading_order, dead_code], ["Conv", "Gather", "Conv"])
    check_rewrite(proto, [reading_order, reading_order, dead_code], ["Conv", "Conv"])


def test_part_of_the_channels_is_read_sorted() -> None:
    proto = model([GATHER, conv("g", "y", "half")], {"x": SHAPE}, ["y"], {**WEIGHTS, "order": ints(7, 2, 11, 0, 5, 4)})
    graph = check_rewrite(proto, reading_order, ["Gather", "Conv"])
    assert graph.constants[graph.nodes[0].inputs[1]].tolist() == [0, 2, 4, 5, 7, 11]
    assert not reading_order(graph)


@pytest.mark.parametrize("nodes, outputs, order", [
    ([conv("g", "y", "half"), node("Abs", ["g"], ["z"])], ["y", "z"], ints(7, 2, 11, 0, 5, 4)),
    ([conv("g", "y", "half")], ["y", "g"], ints(7, 2, 11, 0, 5, 4)),
    ([conv("g", "y", "d", group=C)], ["y"], ints(7, 2, 11, 0, 5, 4, 3, 3, 3, 3, 3, 3)),
    ([conv("g", "y", "pair", group=2)], ["y"], ORDER),
    ([conv("g", "y", "d", "free", group=C)], ["y"], ORDER),
], ids=["read otherwise", "given out", "channels repeated", "two groups", "computed bias"])
def test_orders_that_stay(nodes: list[Any], outputs: list[str], order: np.ndarray) -> None:
    constants = {**WEIGHTS, "pair": floats(4, C // 2, 1, 1), "order": order}
    inputs = {"x": SHAPE, "free": [C]}
    check_rewrite(model([GATHER, *nodes], inputs, outputs, constants), reading_order, ["Gather", *(n.op_type for n in nodes)])


def concat_of(*readers: Any, b: Any = None) -> list[Any]:
    nodes = [node("Abs", ["x"], ["a"]), b or conv("x", "b", "second", "bias"), node("Concat", ["a", "b"], ["c"], axis=1)]
    return [*nodes, node("Gather", ["c", "near"], ["p"], axis=1), *readers]


SECOND = {"second": floats(C, C, 1, 1, seed=6), "bias": floats(C, seed=7), "near": ints(*range(6, 12), *range(15, 21)),
          "far": ints(23, 0, 14)}


def test_convolution_writes_first_what_is_read_beside_the_part_before() -> None:
    nodes = concat_of(node("Gather", ["c", "far"], ["q"], axis=1), conv("p", "y", "v"), node("Abs", ["q"], ["z"]))
    graph = check_rewrite(model(nodes, {"x": SHAPE}, ["y", "z"], {**WEIGHTS, **SECOND}), writing_order,
                          ["Abs", "Conv", "Concat", "Gather", "Gather", "Conv", "Abs"])
    assert graph.constants[graph.nodes[3].inputs[1]].tolist() == list(range(6, 18))
    assert not writing_order(graph)


@pytest.mark.parametrize("nodes, outputs", [
    (concat_of(node("Abs", ["c"], ["z"]), conv("p", "y", "v")), ["y", "z"]),
    (concat_of(node("Abs", ["b"], ["z"]), conv("p", "y", "v")), ["y", "z"]),
    (concat_of(conv("p", "y", "v")), ["y", "c"]),
    (concat_of(conv("p", "y", "v"), b=conv("x", "b", "d", group=C, pads=[1, 1, 1, 1])), ["y"]),
    (concat_of(conv("p", "y", "v"), b=node("Neg", ["x"], ["b"])), ["y"]),
    (concat_of(node("Gather", ["c", "other"], ["q"], axis=1), node("Abs", ["q"], ["z"]), conv("p", "y", "v")), ["y", "z"]),
], ids=["whole read", "part read", "given out", "grouped", "no convolution", "two sorted"])
def test_writing_orders_that_stay(nodes: list[Any], outputs: list[str]) -> None:
    constants = {**WEIGHTS, **SECOND, "other": ints(*range(8, 12), *range(18, 22))}
    check_rewrite(model(nodes, {"x": SHAPE}, outputs, constants), writing_order, [n.op_type for n in nodes])


def unit(x: str, y: str, k: int) -> tuple[list[Any], dict[str, np.ndarray]]:
    """ShuffleNet V2, figure 3 (c), with 48 channels."""
    nodes, constants = shuffle(y + "c", y, 48, 2, (6, 7))
    half = {y + "u": floats(24, 24, 1, 1, seed=k), y + "d": floats(24, 1, 3, 3, seed=k + 1), y + "v": floats(24, 24, 1, 1, seed=k + 2)}
    return [
        node("Split", [x], [y + "0", y + "1"], axis=1),
        conv(y + "1", y + "2", y + "u"),
        node("Relu", [y + "2"], [y + "3"]),
        conv(y + "3", y + "4", y + "d", group=24, pads=[1, 1, 1, 1]),
        conv(y + "4", y + "5", y + "v"),
        node("Relu", [y + "5"], [y + "6"]),
        node("Concat", [y + "0", y + "6"], [y + "c"], axis=1),
        *nodes,
    ], {**half, **constants}


def shufflenet_stage() -> Any:
    nodes, constants = [conv("x", "s0", "first")], {"first": floats(48, 3, 1, 1), "last": floats(5, 48, 1, 1)}
    for k in range(4):
        more, arrays = unit(f"s{k}", f"s{k + 1}", 10 * k)
        nodes, constants = nodes + more, {**constants, **arrays}
    return model([*nodes, conv("s4", "y", "last")], {"x": [1, 3, 6, 7]}, ["y"], constants)


def moved(graph: Graph) -> list[int]:
    """Channels that each Gather moves; 0 for a slice."""
    orders = [graph.constants[n.inputs[1]] for n in graph.nodes if n.op_type == "Gather"]
    return [0 if np.all(np.diff(o) == 1) else o.size for o in orders]


def test_units_of_shufflenet_move_the_half_that_passes() -> None:
    proto = shufflenet_stage()
    graph = run_passes(read(proto))
    assert not {"Reshape", "Transpose", "Slice"}.intersection(ops(graph))
    assert moved(graph) == [24, 0] * 3
    feeds = random_feeds(proto)
    want, loaded = onnxruntime_run(proto, feeds)[0], fastcnn.load(proto)
    np.testing.assert_allclose(loaded.run(None, feeds)[0], want, rtol=0, atol=1e-5 * np.abs(want).max())
    inner = loaded.run(["s2", "s36"], feeds)
    proto.graph.output.extend(type(proto.graph.output[0])(name=name) for name in ("s2", "s36"))
    for actual, expected in zip(inner, onnxruntime_run(proto, feeds)[1:]):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
