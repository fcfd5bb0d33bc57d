"""separable_pool: a large window at stride 1 becomes its columns and its rows, everything else stays."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import check_rewrite, model, node, onnxruntime_run, random_feeds

import fastcnn
from fastcnn.passes.reorder.separable_pool import separable_pool

X = {"x": ["N", 3, 17, 20]}


def pool(op_type: str, opset: int = 17, **attrs: Any) -> Any:
    return model([node(op_type, ["x"], ["y"], **attrs)], X, ["y"], opset=opset)


@pytest.mark.parametrize("op_type, opset, attrs", [
    ("MaxPool", 17, {"kernel_shape": [7, 7], "pads": [3, 3, 3, 3]}),
    ("MaxPool", 8, {"kernel_shape": [13, 13], "pads": [6, 6, 6, 6], "strides": [1, 1]}),
    ("MaxPool", 17, {"kernel_shape": [25, 2], "pads": [0, 1, 24, 0]}),                  # the window is larger than the image
    ("MaxPool", 17, {"kernel_shape": [7, 9], "pads": [6, 4, 6, 4], "dilations": [2, 1]}),
    ("AveragePool", 17, {"kernel_shape": [7, 8], "pads": [2, 4, 4, 3]}),
    ("AveragePool", 7, {"kernel_shape": [9, 9], "pads": [4, 4, 4, 4], "count_include_pad": 1}),
    ("AveragePool", 17, {"kernel_shape": [15, 15], "pads": [7, 7, 7, 7], "count_include_pad": 0}),
    ("AveragePool", 19, {"kernel_shape": [9, 7], "pads": [4, 6, 4, 6], "dilations": [1, 2]}),
], ids=str)
def test_large_window_becomes_columns_and_rows(op_type: str, opset: int, attrs: dict[str, Any]) -> None:
    proto = pool(op_type, opset, **attrs)
    graph = check_rewrite(proto, separable_pool, [op_type] * 2, {"N": 2})
    (kh, kw) = attrs["kernel_shape"]
    assert [n.attrs["kernel_shape"] for n in graph.nodes] == [[1, kw], [kh, 1]]
    assert not separable_pool(graph)
    feeds = random_feeds(proto, {"N": 2})
    with fastcnn.load(proto) as loaded:
        y = loaded.run(None, feeds)[0]
        assert not loaded.fallback_nodes
    np.testing.assert_allclose(y, onnxruntime_run(proto, feeds)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("op_type, attrs", [
    ("MaxPool", {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),                        # small
    ("MaxPool", {"kernel_shape": [1, 99], "pads": [0, 49, 0, 49]}),
    ("MaxPool", {"kernel_shape": [7, 7]}),                                              # fewer outputs than inputs
    ("MaxPool", {"kernel_shape": [8, 8], "strides": [8, 8]}),
    ("AveragePool", {"kernel_shape": [7, 7], "auto_pad": "SAME_UPPER"}),
    ("AveragePool", {"kernel_shape": [7, 7], "pads": [3, 3, 3, 3], "ceil_mode": 1}),
], ids=str)
def test_other_windows_stay(op_type: str, attrs: dict[str, Any]) -> None:
    check_rewrite(pool(op_type, **attrs), separable_pool, [op_type], {"N": 1})


def test_indices_stay() -> None:
    proto = model([node("MaxPool", ["x"], ["y", "i"], kernel_shape=[7, 7], pads=[3, 3, 3, 3])], X, ["y"])
    check_rewrite(proto, separable_pool, ["MaxPool"], {"N": 1})
