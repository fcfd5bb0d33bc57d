"""Casts to float16 and bfloat16: arithmetic stays in float32, but what a model asks to be rounded is rounded, up to infinity."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from graph_helper import model, node, onnxruntime_run, ops
from onnx import TensorProto, helper

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.reader import read

HALVES = {TensorProto.FLOAT16: np.dtype(np.float16), TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}
RNG = np.random.default_rng(0)
VALUES = np.concatenate([
    [70000, -70000, 65504, 65519.9, 65520, 3.4e38, -3.4e38, np.inf, -np.inf, 0, -0.0, 1e-8, 6e-8, 2.9e-8, 1e-40, 1 / 3, 2049, 2050, 2051],
    RNG.standard_normal(2000) * np.exp2(RNG.uniform(-30, 20, 2000)), np.arange(256) / 256 + 1,
    (np.arange(64) * 2 + 1) / 4096 + 1]).astype(np.float32)


def run(proto: onnx.ModelProto, **feeds: Any) -> np.ndarray:
    loaded = fastcnn.load(proto)
    assert not loaded.fallback_nodes
    y, = loaded.run(None, feeds)
    return y


def through(to: int, source: int = TensorProto.FLOAT, opset: int = 13) -> onnx.ModelProto:
    """x as a half type and back to float."""
    return model([node("Cast", ["x"], ["h"], to=to), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)], {"x": ["n"]}, ["y"], opset=opset,
                 types={"x": source})


@pytest.mark.parametrize("opset", [9, 13, 19, 23])
@pytest.mark.parametrize("to", HALVES)
def test_a_cast_rounds(to, opset, isa):
    if to == TensorProto.BFLOAT16 and opset < 13:
        return                                                   # no such type yet
    with np.errstate(over="ignore"):
        wanted = VALUES.astype(HALVES[to]).astype(np.float32)
    got = run(through(to, opset=opset), x=VALUES)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))
    assert np.isnan(run(through(to, opset=opset), x=np.array([np.nan], np.float32))).all()


@pytest.mark.parametrize("to", HALVES)
@pytest.mark.parametrize("source", [np.float64, np.int32, np.int64, np.uint8, np.bool_])
def test_a_cast_of_other_types_rounds(source, to):
    x = np.array([0, 1, 70000, 2049, 255, 4097, -3], np.float64).astype(source)
    with np.errstate(over="ignore"):
        wanted = x.astype(np.float32).astype(HALVES[to]).astype(np.float32)
    np.testing.assert_array_equal(run(through(to, helper.np_dtype_to_tensor_dtype(np.dtype(source))), x=x), wanted)


def test_as_onnxruntime_does():
    proto = through(TensorProto.FLOAT16)
    np.testing.assert_array_equal(run(proto, x=VALUES), onnxruntime_run(proto, {"x": VALUES})[0])


@pytest.mark.parametrize("to", HALVES)
def test_cast_like_rounds(to):
    nodes = [node("CastLike", ["x", "like"], ["h"]), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)]
    proto = model(nodes, {"x": ["n"], "like": [1]}, ["y"], opset=19, types={"like": to})
    with np.errstate(over="ignore"):
        wanted = VALUES.astype(HALVES[to]).astype(np.float32)
    np.testing.assert_array_equal(run(proto, x=VALUES, like=np.zeros(1, HALVES[to])), wanted)
    constant = model(nodes, {"x": ["n"]}, ["y"], opset=19)
    constant.graph.initializer.append(helper.make_tensor("like", to, [1], [0.0]))
    np.testing.assert_array_equal(run(constant, x=VALUES), wanted)


def test_from_one_half_type_to_the_other_rounds():
    nodes = [node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16), node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)]
    proto = model(nodes, {"x": ["n"]}, ["y"], types={"x": TensorProto.FLOAT16})
    x = (np.arange(2048) / 1024).astype(np.float16)
    np.testing.assert_array_equal(run(proto, x=x), x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float32))


def test_to_the_type_it_has_does_nothing():
    """Sums of halves keep their digits: there is nothing that asks for a rounding."""
    nodes = [node("Add", ["x", "x"], ["s"]), node("Cast", ["s"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["y"], to=1)]
    proto = model(nodes, {"x": ["n"]}, ["y"], types={"x": TensorProto.FLOAT16})
    assert ops(run_passes(read(proto))) == ["Add"]
    assert run(proto, x=np.array([60000], np.float16))[0] == 120000       # beyond float16; onnxruntime's CPU says so too


def test_inside_a_body():
    then = helper.make_graph([node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["t"], to=1)], "then", [],
                             [helper.make_tensor_value_info("t", 1, None)])
    other = helper.make_graph([node("Identity", ["x"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, None)])
    proto = model([node("If", ["c"], ["y"], then_branch=then, else_branch=other)], {"x": ["n"], "c": []}, ["y"],
                  types={"c": TensorProto.BOOL})
    x = np.array([70000, 2049], np.float32)
    np.testing.assert_array_equal(run(proto, x=x, c=np.array(True)), [np.inf, 2048])
    np.testing.assert_array_equal(run(proto, x=x, c=np.array(False)), x)


def test_constants_are_rounded_when_they_are_folded():
    proto = model([node("Cast", ["w"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["f"], to=1), node("Add", ["x", "f"], ["y"])],
                  {"x": [2]}, ["y"], {"w": np.array([70000, 2049], np.float32)})
    assert ops(run_passes(read(proto))) == ["Add"]
    np.testing.assert_array_equal(run(proto, x=np.zeros(2, np.float32)), [np.inf, 2048])


@pytest.mark.parametrize("to", HALVES)
def test_behind_a_convolution_it_is_its_epilogue(to, isa):
    x, w = RNG.standard_normal((1, 5, 9, 8)).astype(np.float32) * 300, RNG.standard_normal((7, 5, 3, 3)).astype(np.float32) * 30
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Cast", ["c"], ["h"], to=to), node("Cast", ["h"], ["y"], to=1)]
    proto, plain = model(nodes, {"x": x.shape}, ["y"], {"w": w}), model(nodes[:1], {"x": x.shape}, ["c"], {"w": w})
    assert ops(run_passes(read(proto))) == [f"Conv+{'RoundFloat16' if to == TensorProto.FLOAT16 else 'RoundBfloat16'}"]
    with np.errstate(over="ignore"):
        wanted = run(plain, x=x).astype(HALVES[to]).astype(np.float32)
    np.testing.assert_array_equal(run(proto, x=x), wanted)


def test_a_half_output_is_what_was_rounded_once():
    proto = model([node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)], {"x": ["n"]}, ["y"])
    y = run(proto, x=VALUES)
    assert y.dtype == np.float16
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, VALUES.astype(np.float16))
