"""precision="bf16": operands of convolutions are rounded where that is quicker, nothing else is."""
from __future__ import annotations

import pickle

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import fastcnn
from fastcnn import _native
from fastcnn.convolve.bf16_gemm import Bf16Gemm, rounded


@pytest.mark.parametrize("level", ["scalar", "avx512_vnni", "avx512_amx"])
def test_load_precision_bf16_rounds_operands_alone(level, monkeypatch, plan_for):
    """Within the error of operands of 8 bits, not within that of float32; strict nodes stay float32."""
    if level not in fastcnn.cpu_info()["instruction_sets"]:
        pytest.skip(f"this CPU or build lacks {level}")
    plan_for("zen4")
    before = _native.current_isa()
    _native.set_isa(level)
    try:
        if not _native.pgemm_max_mr(1):
            pytest.skip(f"this CPU has no products of bfloat16 at {level}")
        monkeypatch.setattr(Bf16Gemm, "cycles", lambda self, choice, threads: 0.0)
        rng = np.random.default_rng(0)
        x, w = rng.standard_normal((1, 32, 14, 14), np.float32), rng.standard_normal((48, 32, 3, 3), np.float32)
        nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1] * 4), helper.make_node("Relu", ["c"], ["y"])]
        borders = [[helper.make_tensor_value_info(*border)] for border in (("x", 1, x.shape), ("y", 1, (1, 48, 14, 14)))]
        graph = helper.make_graph(nodes, "g", *borders, [numpy_helper.from_array(w, "w")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        results = {precision: fastcnn.load(model, precision=precision) for precision in ("fp32", "bf16")}
        exact, near = (one.run(None, {"x": x})[0] for one in results.values())
        assert [row.algorithm for row in results["bf16"].choices()] == ["GEMM in bfloat16"]
        error = abs(near - exact).max() / exact.max()
        assert 1e-5 < error < 2 * 2.0 ** -8
        strict = fastcnn.load(model, precision="bf16", accuracy="strict")
        np.testing.assert_allclose(strict.run(None, {"x": x})[0], exact, rtol=1e-4, atol=1e-4)
    finally:
        _native.set_isa(before)


@pytest.mark.parametrize("dilation", [6, 8, 11])
def test_load_precision_bf16_of_windows_that_reach_far_into_padding(dilation, on_pixels, monkeypatch):
    """Taps that meet nothing but padding are left out: of columns by what they see, of rows one by one."""
    monkeypatch.setattr(Bf16Gemm, "cycles", lambda self, choice, threads: 0.0)
    if not _native.pgemm_max_mr(1):
        pytest.skip(f"this CPU has no products of bfloat16 at {_native.current_isa()}")
    rng = np.random.default_rng(dilation)
    x, w = (rounded(rng.standard_normal(size, np.float32)) for size in ((1, 8, 12, 12), (20, 8, 3, 3)))
    x, w = ((a.astype(np.uint32) << 16).view(np.float32) for a in (x, w))
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[dilation] * 4, dilations=[dilation] * 2)
    borders = [[helper.make_tensor_value_info(*border)] for border in (("x", 1, x.shape), ("y", 1, (1, 20, 12, 12)))]
    model = helper.make_model(helper.make_graph([node], "g", *borders, [numpy_helper.from_array(w, "w")]),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    loaded = fastcnn.load(model, precision="bf16", threads=1)
    got = loaded.run(None, {"x": x})[0]
    assert {row.algorithm for row in loaded.choices()} == {"GEMM in bfloat16"}
    np.testing.assert_allclose(got, fastcnn.load(model, threads=1).run(None, {"x": x})[0], rtol=1e-5, atol=1e-4)


def two_convolutions() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((32, 32, 3, 3), np.float32), name) for name in ("w", "v")]
    links = (("x", "w", "c", "first"), ("c", "v", "y", "second"))
    nodes = [helper.make_node("Conv", [x, w], [y], name, pads=[1] * 4) for x, w, y, name in links]
    borders = [[helper.make_tensor_value_info(name, 1, (1, 32, 14, 14))] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", *borders, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_load_precision_of_some_nodes(monkeypatch):
    """The others stay float32; Model.choices() says which; a pickled model keeps it."""
    monkeypatch.setattr(Bf16Gemm, "cycles", lambda self, choice, threads: 0.0)
    if not _native.pgemm_max_mr(1):
        pytest.skip(f"this CPU has no products of bfloat16 at {_native.current_isa()}")
    model = fastcnn.load(two_convolutions(), precision={"second": "bf16"}, threads=1)
    for one in (model, pickle.loads(pickle.dumps(model))):
        assert {row.node: row.precision for row in one.choices()} == {"first": "fp32", "second": "bf16"}


@pytest.mark.parametrize("precision, words", [("fp16", "expected one of fp32, bf16"), ({"third": "bf16"}, "no node 'third'"),
                                              ({"first": "fp16"}, "'fp16' is none of fp32, bf16"), (16, "precision=16")], ids=str)
def test_load_precision_without_meaning_is_refused(precision, words):
    with pytest.raises(fastcnn.ConfigurationError, match=words):
        fastcnn.load(two_convolutions(), precision=precision)
