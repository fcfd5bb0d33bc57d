"""weights=: what weights are in memory. Products stay float32's, of the weights as they are after compression."""
from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import fastcnn
from fastcnn import _native
from fastcnn.convolve.compressed_gemm import BYTES, COMPRESSED_GEMM, CompressedGemm, compressed
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.machine.current import using
from fastcnn.machine.table import ROWS

K, HIDDEN, CLASSES = 200, 150, 41


@pytest.fixture
def preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is right it is picked, whatever this machine would gain."""
    monkeypatch.setattr(CompressedGemm, "pays", lambda self, problem: True)
    monkeypatch.setattr(CompressedGemm, "cycles", lambda self, choice, threads: 0.0)


def two_products(first: np.ndarray, second: np.ndarray, rows: int | str = 1) -> onnx.ModelProto:
    """Gemm, Relu, MatMul."""
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"], "first", transB=1), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("MatMul", ["r", "v"], ["y"], "second")]
    borders = [[helper.make_tensor_value_info(name, 1, (rows, count))] for name, count in (("x", K), ("y", CLASSES))]
    constants = [numpy_helper.from_array(first, "w"), numpy_helper.from_array(np.ascontiguousarray(second.T), "v")]
    graph = helper.make_graph(nodes, "g", *borders, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def matrices() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((HIDDEN, K), np.float32), rng.standard_normal((CLASSES, HIDDEN), np.float32)


def as_multiplied(w: np.ndarray, weights: str) -> np.ndarray:
    return compressed(w[:, :, None, None], weights)[:, :, 0, 0]


def weights_of(model: fastcnn.Model) -> dict[str, str]:
    return {row.node: row.weights for row in model.choices()}


@pytest.mark.parametrize("weights", BYTES)
@pytest.mark.parametrize("rows", [1, 3])
def test_weights_are_what_is_said_and_products_float32(isa: str, preferred: None, rows: int, weights: str) -> None:
    first, second = matrices()
    x = np.random.default_rng(1).standard_normal((rows, K), np.float32)
    model = fastcnn.load(two_products(first, second, rows), threads=1, weights=weights)
    assert weights_of(model) == {"first": weights, "second": weights}
    assert {row.precision for row in model.choices()} == {"fp32"}
    wanted = np.maximum(x.astype(np.float64) @ as_multiplied(first, weights).T, 0) @ as_multiplied(second, weights).T
    got = model.run(None, {"x": x})[0]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    exact = fastcnn.load(two_products(first, second, rows), threads=1).run(None, {"x": x})[0]
    assert 1e-4 < np.abs(got - exact).max() / np.abs(exact).max() < 0.02


def test_weights_take_so_many_bytes_and_batches_share_them(isa: str, preferred: None) -> None:
    sizes = {}
    for weights in ("fp32", *BYTES):
        model = fastcnn.load(two_products(*matrices(), "n"), threads=1, weights=weights)
        for rows in (1, 2, 5):
            model.run(None, {"x": np.ones((rows, K), np.float32)})
        sizes[weights] = sum(array.nbytes for array in model._packs.values())
    assert sizes["bf16"] < 0.55 * sizes["fp32"] and sizes["int8"] < 0.3 * sizes["fp32"]


def test_weights_of_some_nodes_and_of_copies(preferred: None, tmp_path) -> None:
    """Pickled and compiled models keep them; one that was compiled with others is refused."""
    model = fastcnn.load(two_products(*matrices()), threads=1, weights={"second": "int8"})
    model.save(tmp_path / "model.fcnn")
    for one in (model, pickle.loads(pickle.dumps(model)), fastcnn.load(tmp_path / "model.fcnn", threads=1)):
        assert weights_of(one) == {"first": "fp32", "second": "int8"}
    with pytest.raises(fastcnn.ConfigurationError, match="weights='bf16': the model was compiled with"):
        fastcnn.load(tmp_path / "model.fcnn", weights="bf16")


def test_compiled_model_has_the_compressed_weights(preferred: None, tmp_path) -> None:
    x, sizes, results = np.ones((1, K), np.float32), {}, {}
    for weights in ("fp32", "int8"):
        model = fastcnn.load(two_products(*matrices()), threads=1, weights=weights)
        model.save(tmp_path / f"{weights}.fcnn", source=False)
        again = fastcnn.load(tmp_path / f"{weights}.fcnn", threads=1)
        np.testing.assert_array_equal(again.run(None, {"x": x})[0], model.run(None, {"x": x})[0])
        sizes[weights], results[weights] = (tmp_path / f"{weights}.fcnn").stat().st_size, weights_of(again)
    assert sizes["int8"] < sizes["fp32"] and results["int8"] == {"first": "int8", "second": "int8"}


@pytest.mark.parametrize("given, words", [("fp16", "expected one of fp32, bf16, int8"), ({"third": "int8"}, "no node 'third'"),
                                          ({"first": "int4"}, "'int4' is none of"), (8, "weights=8")], ids=str)
def test_weights_without_meaning_are_refused(given, words) -> None:
    with pytest.raises(fastcnn.ConfigurationError, match=words):
        fastcnn.load(two_products(*matrices()), weights=given)


def test_weights_pay_where_reading_them_takes_long() -> None:
    """One row of a matrix product and small maps, not large ones; never by themselves."""
    small = ConvShape(1, 1, 2048, 512, 1, 1, 1, 1, 1, 1, 0, 0, 7, 7, 7, 7)
    large, one = replace(small, ih=56, iw=56, oh=56, ow=56), replace(small, ih=1, iw=1, oh=1, ow=1)
    with using(ROWS["sapphire_rapids"]):
        for shape, pays in ((one, True), (small, _native.vector_length() > 1), (large, False)):
            assert COMPRESSED_GEMM.pays(Problem(shape, own_places(shape), weights="int8")) == pays
            rungs = {choose(Problem(shape, own_places(shape), threads, weights="int8")).rung for threads in (1, 2, 8)}
            assert len(rungs) == 1, "results depend on the number of threads"
            if _native.vector_length() > 1:
                assert (choose(Problem(shape, own_places(shape), weights="int8")).rung == COMPRESSED_GEMM.name) == pays
            assert choose(Problem(shape, own_places(shape))).rung != COMPRESSED_GEMM.name
