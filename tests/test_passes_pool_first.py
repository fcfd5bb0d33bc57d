"""pool_first: an average over windows moves before the 1x1 convolution that it alone reads; everything else stays."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node, onnxruntime_run, random_feeds

import fastcnn
from fastcnn.passes.reorder.pool_first import pool_first

WEIGHTS = {"w": floats(5, 8, 1, 1), "b": floats(5, seed=2), "k": floats(5, 8, 3, 3, seed=3), "l": floats(5, 8, 1, seed=4),
           "grouped": floats(6, 4, 1, 1, seed=5)}
HALVES = {"kernel_shape": [2, 2], "strides": [2, 2]}


def network(conv: Any = None, pool: Any = None, x: Any = ("N", 8, 10, 13), outputs: tuple[str, ...] = ("y",),
            extra: tuple[Any, ...] = ()) -> Any:
    nodes = [conv or node("Conv", ["x", "w", "b"], ["c"]), *extra, pool or node("AveragePool", ["c"], ["y"], **HALVES)]
    used = {name for n in nodes for name in n.input}
    return model(nodes, {"x": list(x)}, outputs, {name: value for name, value in WEIGHTS.items() if name in used})


@pytest.mark.parametrize("proto", [
    network(), network(node("Conv", ["x", "w"], ["c"], auto_pad="VALID")), network(node("Conv", ["x", "grouped"], ["c"], group=2)),
    network(pool=node("AveragePool", ["c"], ["y"], kernel_shape=[3, 3], strides=[1, 2], count_include_pad=1)),
    network(pool=node("AveragePool", ["c"], ["y"], kernel_shape=[2, 3], strides=[3, 3], auto_pad="VALID")),
    network(node("Conv", ["x", "l"], ["c"]), node("AveragePool", ["c"], ["y"], kernel_shape=[2], strides=[2]), ["N", 8, 11]),
], ids=lambda proto: " ".join(str(n.attribute[0].name) for n in proto.graph.node if n.attribute))
def test_average_comes_first(proto: Any) -> None:
    graph = check_rewrite(proto, pool_first, ["AveragePool", "Conv"], {"N": 2})
    assert graph.nodes[0].inputs == ("x",) and graph.nodes[1].outputs == ("y",) and not pool_first(graph)
    feeds = random_feeds(proto, {"N": 2})
    with fastcnn.load(proto) as loaded:
        got = loaded.run(None, feeds)[0]
    np.testing.assert_allclose(got, onnxruntime_run(proto, feeds)[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("proto", [
    network(node("Conv", ["x", "k"], ["c"])), network(node("Conv", ["x", "w"], ["c"], strides=[2, 2])),
    network(node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])),
    network(pool=node("AveragePool", ["c"], ["y"], kernel_shape=[3, 3])),                                # no pixel fewer
    network(pool=node("AveragePool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1)),
    network(pool=node("AveragePool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    network(pool=node("MaxPool", ["c"], ["y"], **HALVES)), network(outputs=("y", "c")),
    network(extra=(node("Abs", ["c"], ["z"]),), outputs=("y", "z")),
    network(extra=(node("Relu", ["c"], ["r"]),), pool=node("AveragePool", ["r"], ["y"], **HALVES)),
], ids=["3x3", "strided", "padded", "every pixel", "pool padded", "ceil", "max", "output", "two readers", "activation"])
def test_others_stay(proto: Any) -> None:
    check_rewrite(proto, pool_first, [n.op_type for n in proto.graph.node], {"N": 1})


def test_bias_survives_a_mean_that_counts_no_padding() -> None:
    proto = network(pool=node("AveragePool", ["c"], ["y"], kernel_shape=[10, 13], strides=[10, 13]))
    graph = check_rewrite(proto, pool_first, ["AveragePool", "Conv"], {"N": 1})
    assert graph.shapes[graph.nodes[0].outputs[0]][1] == 8
