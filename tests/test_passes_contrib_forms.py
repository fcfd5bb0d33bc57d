"""Experimental operators and com.microsoft's on floats: rewritten at load, they run natively, with the numbers of onnxruntime."""
from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import erf
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import fastcnn
from fastcnn.ir.errors import UnsupportedOperatorError
from fastcnn.passes.standardise.contrib_forms import CONTRIB_FORMS, MICROSOFT, NHWC
from fastcnn.passes.standardise.experimental_forms import EXPERIMENTAL
from fastcnn.schema import form as schema
from fastcnn.schema.ranges import WITHOUT_SCHEMA

onnxruntime.set_default_logger_severity(4)
RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """inputs by name, those in `constants` as initializers; `formula` computes what onnxruntime cannot."""

    op: str
    inputs: dict[str, np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    opset: int = 7
    outputs: int = 1
    constants: tuple[str, ...] = ()
    kinds: tuple[int, ...] = ()
    formula: Callable[..., np.ndarray] | None = None

    def __str__(self) -> str:
        return f"{self.domain}{'.' if self.domain else ''}{self.op}-{self.opset}-{'-'.join(f'{k}={v}' for k, v in self.attrs.items())}"[:90]


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def nchw(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, 1)


def conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(N, H, W, C) by (M, C, kH, kW)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (1, 2))
    return np.einsum("nhwcij,mcij->nhwm", windows, w)


def group_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    groups = x.reshape(n, h * w, 2, c // 2)
    y = (groups - groups.mean((1, 3), keepdims=True)) / np.sqrt(groups.var((1, 3), keepdims=True) + 1e-5)
    y = y.reshape(x.shape) * gamma + beta
    return y / (1 + np.exp(-y))


IMAGE, IMAGES = {"x": floats(1, 3, 6, 7)}, {"x": floats(2, 3, 6, 7) * 2 + 1}
ROWS, LAST, WIDE = floats(2, 4, 8), floats(2, 5, 6, 4), floats(8)
FILTER = floats(3, 4, 3, 2)
I64 = np.int64

OLD = [
    Case("Affine", IMAGE, {"alpha": 2.0, "beta": 1.5}), Case("Scale", IMAGE, {"scale": 0.5}),
    Case("ImageScaler", IMAGE, {"scale": 2.0, "bias": [1.0, -2.0, 3.0]}),
    Case("Crop", IMAGE, {"border": [1, 2, 1, 0]}), Case("Crop", IMAGE, {"border": [0, 0, 0, 3]}),
    Case("Crop", IMAGE, {"border": [1, 2, 1, 0], "scale": [3, 2]}),
    Case("ParametricSoftplus", IMAGE, {"alpha": 2.0, "beta": 0.5}), Case("ScaledTanh", IMAGE, {"alpha": 2.0, "beta": 0.5}),
    Case("ThresholdedRelu", IMAGE, {"alpha": 0.5}), Case("ThresholdedRelu", IMAGE, opset=9), Case("ThresholdedRelu", IMAGE, opset=10),
    *(Case("MeanVarianceNormalization", IMAGES, {"across_channels": a, "normalize_variance": n}, opset=8) for a in (0, 1) for n in (0, 1)),
    Case("DynamicSlice", {**IMAGE, "s": np.array([1, 0]), "e": np.array([2, 5]), "a": np.array([1, 3])}, opset=9,
         constants=("s", "e", "a")),
    Case("GivenTensorFill", {}, {"shape": [2, 2], "values": [1.0, 2.0, 3.0, 4.0]}, formula=lambda: np.array([[1, 2], [3, 4]])),
    Case("ConstantFill", {}, {"shape": [2, 3], "value": 1.5}, formula=lambda: np.full((2, 3), 1.5)),
    Case("ConstantFill", {"s": np.array([2])}, {"value": 1.5, "input_as_shape": 1, "extra_shape": [3]}, opset=9, constants=("s",),
         formula=lambda s: np.full((2, 3), 1.5)),
    Case("ConstantFill", IMAGE, {"value": 2.5}, opset=9, formula=lambda x: np.full(x.shape, 2.5)),
    Case("SimplifiedLayerNormalization", {"x": ROWS, "g": WIDE}, {"epsilon": 1e-5}, opset=17),
]
A, B = {"a": ROWS, "b": floats(2, 4, 8)}, {"b": floats(2, 8, 4)}
X, W, Z = {"x": floats(1, 3, 5, 5)}, {"w": floats(4, 3, 3, 3), "b": floats(4)}, {"z": floats(1, 4, 3, 3)}
CONTRIB = [Case(op, inputs, attrs, MICROSOFT, 17, outputs, constants) for op, inputs, attrs, outputs, constants in (
    ("FusedConv", {**X, **W}, {"activation": "Relu"}, 1, ("w", "b")), ("FusedConv", {**X, **W, **Z}, {"activation": "Relu"}, 1, ("w", "b")),
    ("FusedConv", {**X, **W}, {"activation": "Clip", "activation_params": [0.0, 1.0]}, 1, ("w", "b")),
    ("FusedConv", {**X, **W}, {"activation": "LeakyRelu", "activation_params": [0.2], "pads": [1, 1, 1, 1], "strides": [2, 2]}, 1, ("w",)),
    ("FusedConv", {**X, **W}, {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}, 1, ("w",)),
    ("FusedConv", {**X, **W}, {}, 1, ("w",)),
    ("FusedMatMul", {**A}, {"transB": 1, "alpha": 2.0}, 1, ()), ("FusedMatMul", {"a": ROWS, **B}, {"alpha": 0.5}, 1, ("b",)),
    ("FusedMatMul", {"a": floats(2, 8, 4), **B}, {"transA": 1}, 1, ()),
    ("FusedMatMul", {**A}, {"transBatchA": 1, "transBatchB": 1, "transB": 1}, 1, ()), ("TransposeMatMul", {**A}, {"transB": 1}, 1, ()),
    ("FusedGemm", {"a": floats(4, 8), "b": floats(5, 8), "c": floats(5)}, {"transB": 1, "alpha": 0.5, "activation": "Relu"}, 1, ("b", "c")),
    ("FusedGemm", {"a": floats(4, 8), "b": floats(8, 5)}, {"activation": "LeakyRelu", "activation_alpha": 0.3}, 1, ("b",)),
    ("Gelu", {"x": ROWS}, {}, 1, ()), ("BiasGelu", {"x": ROWS, "b": WIDE}, {}, 1, ("b",)), ("FastGelu", {"x": ROWS, "b": WIDE}, {}, 1, ()),
    ("FastGelu", {"x": ROWS}, {}, 1, ()), ("QuickGelu", {"x": ROWS}, {}, 1, ()), ("QuickGelu", {"x": ROWS}, {"alpha": 0.7}, 1, ()),
    ("SkipLayerNormalization", {**A, "g": WIDE, "beta": floats(8), "bias": floats(8)}, {"epsilon": 1e-5}, 1, ("g", "beta", "bias")),
    ("SkipLayerNormalization", {**A, "g": WIDE}, {}, 1, ()), ("SkipSimplifiedLayerNormalization", {**A, "g": WIDE}, {}, 1, ("g",)),
    ("Pad", {**X, "p": np.array([0, 0, 1, 2, 0, 0, 2, 1])}, {"mode": "reflect"}, 1, ("p",)),
    ("Pad", {**X, "p": np.array([[0, 0, 1, 2, 0, 0, 2, 1]]), "v": np.float32(2)}, {}, 1, ("p", "v")),
    ("GridSample", {**X, "grid": np.clip(floats(1, 4, 4, 2), -1, 1)}, {"mode": "bicubic", "padding_mode": "border"}, 1, ()),
    ("Trilu", {"x": ROWS}, {"upper": 0}, 1, ()), ("ExpandDims", {"x": ROWS, "axis": np.array([1], np.int32)}, {}, 1, ("axis",)))]
CONTRIB += [
    Case("Pad", {**X, "p": np.array([0, 0, 1, 2, 0, 0, 2, 1])}, {}, MICROSOFT, 9, constants=("p",)),
    Case("GridSample", {**X, "grid": np.clip(floats(1, 4, 4, 2), -1, 1)}, {}, MICROSOFT, 11),
    Case("GridSample", {**X, "grid": np.clip(floats(1, 4, 4, 2), -1, 1)}, {"mode": "bicubic"}, MICROSOFT, 20),
    Case("ExpandDims", {"x": ROWS, "axis": np.array([-1], np.int32)}, {}, MICROSOFT, 11, constants=("axis",)),
    Case("BiasAdd", {"x": ROWS, "b": WIDE, "s": floats(2, 4, 8)}, {}, MICROSOFT, 17, formula=lambda x, b, s: x + b + s),
    Case("BiasSplitGelu", {"x": ROWS, "b": WIDE}, {}, MICROSOFT, 17, constants=("b",),
         formula=lambda x, b: (x + b)[..., :4] * gelu((x + b)[..., 4:])),
    Case("FusedMatMulActivation", {**A}, {"transB": 1, "activation": "Relu"}, MICROSOFT, 17,
         formula=lambda a, b: np.maximum(a @ b.swapaxes(1, 2), 0)),
    Case("GroupNorm", {"x": LAST, "g": floats(4), "b": floats(4)}, {"groups": 2, "activation": 1, "epsilon": 1e-5}, MICROSOFT, 17,
         formula=group_norm),
    Case("NhwcConv", {"x": LAST, "w": FILTER}, {}, MICROSOFT, 17, constants=("w",), formula=conv),
    Case("NhwcFusedConv", {"x": LAST, "w": FILTER, "b": floats(3), "z": floats(2, 3, 5, 3)}, {"activation": "Relu"}, MICROSOFT, 17,
         constants=("w", "b"), formula=lambda x, w, b, z: np.maximum(conv(x, w) + b + z, 0)),
    Case("Conv", {"x": LAST, "w": FILTER}, {}, NHWC, 17, constants=("w",), formula=conv),
    Case("MaxPool", {"x": LAST}, {"kernel_shape": [2, 2]}, NHWC, 17,
         formula=lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2), (1, 2)).max((-1, -2))),
    Case("GlobalAveragePool", {"x": LAST}, {}, NHWC, 17, formula=lambda x: x.mean((1, 2), keepdims=True)),
]
CONTRIB += [
    Case("SkipLayerNormalization", {**A, "g": WIDE}, {}, MICROSOFT, 17, outputs=4),
    Case("NhwcMaxPool", {"x": (LAST * 40 + 128).astype(np.uint8)}, {"kernel_shape": [2, 2], "strides": [2, 2]}, MICROSOFT, 17, kinds=(2,)),
]
# What runs in the fallback all the same: its standard form has no kernel.
SLOW = [
    Case("Unique", {"x": np.float32([2, 1, 1, 3, 2])}, {}, MICROSOFT, 17, outputs=3, kinds=(1, 7, 7)),
]


def model_of(case: Case) -> onnx.ModelProto:
    results = [f"y{k}" for k in range(case.outputs)]
    node = helper.make_node(case.op, list(case.inputs), results, name="node", domain=case.domain, **case.attrs)
    fed = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in case.inputs.items()
           if k not in case.constants]
    kept = [numpy_helper.from_array(v, k) for k, v in case.inputs.items() if k in case.constants]
    kinds = case.kinds or (1,) * case.outputs
    graph = helper.make_graph([node], "g", fed, [helper.make_tensor_value_info(y, k, None) for y, k in zip(results, kinds)], kept)
    imports = [helper.make_opsetid("", case.opset)] + ([helper.make_opsetid(case.domain, 1)] if case.domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def check(case: Case) -> fastcnn.Model:
    model = model_of(case)
    feeds = {k: v for k, v in case.inputs.items() if k not in case.constants}
    if case.formula is not None:
        want = [case.formula(*case.inputs.values())]
    else:
        want = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    loaded = fastcnn.load(model)
    for got, expected in zip(loaded.run(None, feeds), want):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5)
    return loaded


@pytest.mark.parametrize("case", OLD + CONTRIB, ids=str)
def test_rewritten_operator_runs_natively(case: Case) -> None:
    assert check(case).fallback_nodes == []


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("case", SLOW, ids=str)
def test_rewritten_operator_gives_onnxruntimes_numbers(case: Case) -> None:
    check(case)


def test_every_form_has_a_case() -> None:
    elsewhere = {(MICROSOFT, name) for name in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat")}    # test_passes_quantized_regions.py
    tested = {(case.domain, case.op) for case in OLD + CONTRIB + SLOW} | elsewhere
    assert set(EXPERIMENTAL) | {key for key in CONTRIB_FORMS if key[0] != NHWC} <= tested


def test_experimental_names_of_reader_and_passes_agree() -> None:
    assert {name for domain, name in (*EXPERIMENTAL, *CONTRIB_FORMS) if not domain} == schema.EXPERIMENTAL


ODD = (1 << 62, -1, 0.5, "x", ["a"], [1], [0.5], [3, -1 << 40], np.zeros((2, 2), np.float32))
FORMS = {(case.domain, case.op): case for case in OLD + CONTRIB + SLOW}


def attributes_of(op: str) -> list[str]:
    """Names that the rules know for the operator, those of its cases, and what many have."""
    named = {name for case in OLD + CONTRIB + SLOW if case.op == op for name in case.attrs}
    return sorted(named | {name for kind, name in WITHOUT_SCHEMA if kind == op} | {"alpha", "auto_pad", "beta", "scale", "stash_type"})


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("case", FORMS.values(), ids=str)
def test_attributes_of_another_kind_are_refused_or_run(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """No schema says what they are."""
    feeds = {k: v for k, v in case.inputs.items() if k not in case.constants}
    for name in attributes_of(case.op):
        for value in ODD:
            value = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
            with suppress(fastcnn.FastCNNError):
                fastcnn.load(model_of(replace(case, attrs={**case.attrs, name: value})), threads=1, max_memory=1 << 26).run(None, feeds)
            assert not [record for record in caplog.records if record.levelno >= logging.ERROR], f"{name}={value}"


@pytest.mark.parametrize("op, attrs", [
    ("Crop", {"border": [1]}), ("ConstantFill", {"dtype": 99}), ("ThresholdedRelu", {"alpha": [1.0]}), ("ImageScaler", {"bias": 1.0}),
    ("GivenTensorFill", {"values": [1.0, 2.0], "shape": [3]}), ("ConstantFill", {"shape": [1 << 30, 1 << 30]})])
def test_experimental_attributes_that_mean_nothing(op: str, attrs: dict[str, Any]) -> None:
    inputs = {} if "shape" in attrs else {"x": floats(1, 3, 4, 4)}
    with pytest.raises(fastcnn.FastCNNError, match="'node'"):
        fastcnn.load(model_of(Case(op, inputs, attrs)), max_memory=1 << 26).run(None, inputs)


def test_what_no_rule_covers_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="FusedConv 'node'"):
        fastcnn.load(model_of(Case("FusedConv", {**X, **W}, {"activation": "Nothing"}, MICROSOFT, 17)))


def test_model_that_onnxruntime_optimised_runs_natively(tmp_path) -> None:
    """FusedConv with a residual and activations, FusedGemm, BiasGelu, SkipLayerNormalization: what its extended level writes."""
    node = helper.make_node
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"]),
             node("Conv", ["b", "w"], ["c"], pads=[1, 1, 1, 1]), node("Add", ["c", "b"], ["d"]), node("Relu", ["d"], ["e"]),
             node("Conv", ["e", "w"], ["f"], pads=[1, 1, 1, 1]), node("LeakyRelu", ["f"], ["g"], alpha=0.2), node("Flatten", ["g"], ["h"]),
             node("Gemm", ["h", "m"], ["i"]), node("Relu", ["i"], ["y"])]
    fed, made = helper.make_tensor_value_info("x", 1, [1, 4, 6, 6]), helper.make_tensor_value_info("y", 1, [1, 5])
    graph = helper.make_graph(nodes, "g", [fed], [made],
                              [numpy_helper.from_array(floats(4, 4, 3, 3), "w"), numpy_helper.from_array(floats(144, 5), "m")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    x = floats(1, 4, 6, 6)
    want = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    assert any(n.domain == MICROSOFT for n in onnx.load(options.optimized_model_filepath).graph.node)
    loaded = fastcnn.load(options.optimized_model_filepath)
    np.testing.assert_allclose(loaded.run(None, {"x": x})[0], want, rtol=1e-4, atol=1e-4)
    assert loaded.fallback_nodes == []
