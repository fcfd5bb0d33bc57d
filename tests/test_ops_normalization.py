"""Normalisation operators as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import helper
from single_node import check_native, single_node

import fastcnn

RNG = np.random.default_rng(0)
SHAPES = [(2, 6, 5, 7), (1, 18, 9), (1, 4, 3, 4, 5)]


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def batch_inputs(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    c = shape[1]
    return {"x": normal(*shape), "scale": normal(c), "bias": normal(c), "mean": normal(c), "var": np.abs(normal(c)) + 0.1}


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [*SHAPES, (5, 3)], ids=str)
def test_batch_normalization(shape, opset):
    check_native("BatchNormalization", batch_inputs(shape), ["scale", "bias", "mean", "var"], opset=opset, epsilon=1e-3)


@pytest.mark.parametrize("constants", [["scale", "bias"], []], ids=["constant", "computed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_instance_normalization(shape, constants):
    inputs = {"x": normal(*shape) * 3 + 5, "scale": normal(shape[1]), "bias": normal(shape[1])}
    check_native("InstanceNormalization", inputs, constants, rtol=2e-5, epsilon=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization(opset, groups):
    vector = groups if opset == 18 else 12
    inputs = {"x": normal(2, 12, 7, 5) + 1, "scale": normal(vector), "bias": normal(vector)}
    check_native("GroupNormalization", inputs, ["scale", "bias"], rtol=2e-5, opset=opset, num_groups=groups)


@pytest.mark.parametrize("then", ["Relu", "Sigmoid"])
@pytest.mark.parametrize("before", ["Conv", "Reshape"])
@pytest.mark.parametrize("shape", [(2, 12, 7, 5), (1, 12, 1, 3), (1, 12, 60)], ids=str)
def test_group_normalization_inside_a_network(shape, before, then):
    """Channels last behind a convolution, row-major behind a Reshape; with an activation."""
    ones = [1] * (len(shape) - 2)
    first = helper.make_node("Conv", ["x", "w"], ["a"]) if before == "Conv" else helper.make_node("Reshape", ["x", "to"], ["a"])
    nodes = [first, helper.make_node("GroupNormalization", ["a", "s", "b"], ["n"], num_groups=3), helper.make_node(then, ["n"], ["t"]),
             helper.make_node("Add", ["t", "a"], ["y"])]
    constants = {"w": normal(12, 12, *ones), "to": np.array(shape), "s": normal(12), "b": normal(12)}
    x = normal(*shape) if before == "Conv" else normal(int(np.prod(shape)))
    proto = model(nodes, {"x": x.shape}, ["y"], constants, 21)
    for threads in (1, 3):
        with fastcnn.load(proto, threads=threads) as session:
            got, = session.run(None, {"x": x})
            assert not session.fallback_nodes
        np.testing.assert_allclose(got, onnxruntime_run(proto, {"x": x})[0], rtol=0, atol=3e-5)


@pytest.mark.parametrize("axis", [-1, 1, 2, 3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_layer_normalization(axis, with_bias):
    x = normal(2, 5, 6, 17) + 2
    shape = x.shape[axis:]
    inputs = {"x": x, "scale": normal(*shape), **({"bias": normal(*shape)} if with_bias else {})}
    check_native("LayerNormalization", inputs, ["scale", "bias"], rtol=2e-5, axis=axis)


def test_layer_normalization_scale_broadcasts():
    check_native("LayerNormalization", {"x": normal(3, 4, 9), "scale": normal(9)}, ["scale"], rtol=2e-5, axis=1, peer="onnx.reference")


def test_rms_normalization():
    check_native("RMSNormalization", {"x": normal(3, 4, 33), "scale": normal(33)}, ["scale"], rtol=2e-5, opset=23, peer="onnx.reference")


@pytest.mark.parametrize("size", [1, 3, 5, 9])      # onnxruntime refuses even sizes: test_kernel_norm.py has them
@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, 0.6])
def test_lrn(size, beta):
    check_native("LRN", {"x": normal(2, 21, 5, 6) * 20}, size=size, alpha=0.01, beta=beta, bias=2.0)


def test_lrn_of_alexnet():
    check_native("LRN", {"x": normal(1, 96, 55, 55) * 20}, size=5, alpha=1e-4, beta=0.75, bias=1.0)


@pytest.mark.parametrize("case", [
    ("BatchNormalization", {**batch_inputs((1, 3, 4, 4)), "mean": normal(4)}, {"opset": 15}),
    ("InstanceNormalization", {"x": normal(1, 3, 4), "scale": normal(2), "bias": normal(3)}, {}),
    ("GroupNormalization", {"x": normal(1, 6, 4), "scale": normal(6), "bias": normal(6)}, {"num_groups": 4, "opset": 21}),
    ("LayerNormalization", {"x": normal(3, 9), "scale": normal(8)}, {}),
], ids=lambda case: case[0])
def test_wrong_shapes_are_refused(case):
    op_type, inputs, more = case
    with pytest.raises(fastcnn.FastCNNError, match="node"):
        fastcnn.load(single_node(op_type, inputs, [name for name in inputs if name != "x"], **more))
