"""Gemm, MatMul and Conv whose long sums are computed in pieces (fastcnn.convolve.split_sums), against float64 or onnxruntime."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import fastcnn
from fastcnn.convolve.split_sums import CHANNELS, PIECE, ROWS, WHOLE_PRODUCT, of_channels, of_columns

pytestmark = pytest.mark.filterwarnings("error:.*no native kernel")


def onnx_model(nodes: list[Any], inputs: Mapping[str, Sequence[Any]], constants: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "deep", [helper.make_tensor_value_info(name, 1, shape) for name, shape in inputs.items()],
                              [helper.make_tensor_value_info("y", 1, None)],
                              [numpy_helper.from_array(array, name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def load(nodes: list[Any], rows: Any, constants: dict[str, np.ndarray], k: int, threads: int = 2, **inputs: Any) -> fastcnn.Model:
    return fastcnn.load(onnx_model(nodes, {"x": [rows, k], **inputs}, constants), threads=threads)


def peer(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, dict(feeds))[0]


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def close(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.dtype == np.float32 and y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=4e-6 * np.abs(expected).max())


@pytest.mark.parametrize("k", [WHOLE_PRODUCT, WHOLE_PRODUCT + 1, 2 * PIECE, 2 * PIECE + 1, 5003])
@pytest.mark.parametrize("m, n", [(ROWS - 1, 33), (ROWS, 16), (61, 7)])
def test_gemm_of_long_sums(m, n, k):
    x, w, b = values(m, k), values(n, k, seed=1), values(n, seed=2)
    expected = x.astype(np.float64) @ w.T.astype(np.float64) + b
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    one, two = (load([node], m, {"w": w, "b": b}, k, threads)(x) for threads in (1, 2))
    close(two, expected)
    np.testing.assert_array_equal(one, two)


def test_gemm_of_long_sums_scales_and_clamps_once():
    x, w, b = values(40, 5000), values(5000, 30, seed=1), values(30, seed=2)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["t"], alpha=0.5, beta=2.0), helper.make_node("Relu", ["t"], ["y"])]
    close(load(nodes, 40, {"w": w, "b": b}, 5000)(x), np.maximum(0.5 * (x.astype(np.float64) @ w) + 2 * b, 0))


def test_matmul_of_long_sums_adds_bias_and_residual_once():
    x, r, w, b = values(3, 30, 4100), values(3, 30, 50, seed=3), values(4100, 50, seed=1), values(50, seed=2)
    nodes = [helper.make_node("MatMul", ["v", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["s"]),
             helper.make_node("Add", ["s", "r"], ["y"])]
    reshape = helper.make_node("Reshape", ["x", "shape"], ["v"])
    model = load([reshape, *nodes], 90, {"w": w, "b": b, "shape": np.array([3, 30, 4100])}, 4100, r=[3, 30, 50])
    close(model.run(None, {"x": x.reshape(90, 4100), "r": r})[0], x.astype(np.float64) @ w + b + r)


def test_gemm_of_long_sums_at_any_number_of_rows():
    """Few rows read the whole weights, many the pieces: the same model for all."""
    w = values(20, 3000, seed=1)
    model = load([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "N", {"w": w}, 3000)
    for rows in (1, ROWS - 1, ROWS, 100, 1):
        x = values(rows, 3000, seed=rows)
        close(model(x), x.astype(np.float64) @ w.T)


@pytest.mark.parametrize("ic, kernel, attrs", [
    (200, (7, 7), {}),                                                  # a last piece that is narrower
    (192, (7, 7), {"pads": [3, 2, 1, 3], "strides": [2, 1]}),
    (176, (7, 7), {"dilations": [2, 2], "pads": [6, 6, 6, 6]}),
    (944, (3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    (4112, (1, 1), {}),
], ids=str)
def test_conv_of_long_sums(ic, kernel, attrs):
    assert len(of_channels(ic, kernel, tuple(attrs.get("strides", (1, 1))), 1000)) > 1
    x, w, b = values(2, ic, 12, 13), values(18, ic, *kernel, seed=1), values(18, seed=2)
    first = onnx_model([helper.make_node("Conv", ["x", "w", "b"], ["y"], **attrs)], {"x": x.shape}, {"w": w, "b": b})
    expected = peer(first, {"x": x})
    r = values(*expected.shape, seed=3)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], **attrs), helper.make_node("Add", ["c", "r"], ["s"]),
             helper.make_node("Relu", ["s"], ["y"])]
    model = onnx_model(nodes, {"x": x.shape, "r": r.shape}, {"w": w, "b": b})
    one, two = (fastcnn.load(model, threads=threads).run(None, {"x": x, "r": r})[0] for threads in (1, 2))
    close(two, np.maximum(expected + r, 0))
    np.testing.assert_array_equal(one, two)


def test_pieces_cover_everything_once():
    for k in (1, WHOLE_PRODUCT, WHOLE_PRODUCT + 1, 25088):
        assert [c for first, last in of_columns(k, 100) for c in range(first, last)] == list(range(k))
        assert all(last - first <= max(PIECE, WHOLE_PRODUCT) for first, last in of_columns(k, 100))
    for ic in (3, 168, 200, 512):
        pieces = of_channels(ic, (7, 7), (1, 1), 100)
        assert [c for first, last in pieces for c in range(first, last)] == list(range(ic))
        assert all(first % CHANNELS == 0 for first, _ in pieces)
    assert len(of_channels(2048, (3, 3), (1, 1), 100)) == 1 and len(of_channels(512, (7, 7), (1, 1), ROWS - 1)) == 1
