"""Quantised operators on bytes: which nodes become of them, and that the numbers are those of the floats between."""
from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import ModelProto, TensorProto, helper
from quantized_models import SEVEN_BITS, Quantised, rewritten

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

MICROSOFT = "com.microsoft"
SCALES = np.array([0.011, 0.02, 0.007, 0.013, 0.03, 0.017], np.float32)


@pytest.mark.parametrize("kind, zero", [(np.uint8, 117), (np.uint8, 0), (np.int8, 5)], ids=str)
@pytest.mark.parametrize("limited", ["", "Relu", "Clip"])
def test_a_convolution_between_quantised_values(kind, zero, limited):
    q = Quantised()
    y = q.conv(q.quant("x", 0.03, zero, kind), 0.03, (6, 5, 3, 3), SCALES, pads=[1, 1, 1, 1])
    more = [q.constant(np.array(v, np.float32)) for v in (-0.4, 3.0)] if limited == "Clip" else []
    y = q.op(limited, y, *more) if limited else y
    q = q.model({"x": [1, 5, 9, 8]}, q.bytes(y, 0.05, zero, kind))
    after = rewritten(q, {"QuantizeBytes": 1, "QConv": 1, **({"ByteTable": 1} if kind == np.int8 else {})})
    conv = next(node for node in after.nodes if node.op_type == "QConv")
    unsigned = zero + (128 if kind == np.int8 else 0)
    assert conv.attrs["x_zero"] == conv.attrs["y_zero"] == unsigned
    limits = {"": (0, 255), "Relu": (unsigned, 255), "Clip": (max(unsigned - 8, 0), min(unsigned + 60, 255))}
    assert (conv.attrs["lo"], conv.attrs["hi"]) == limits[limited]


@pytest.mark.parametrize("kind, zeros", [
    (np.int8, 0), (np.uint8, 128), (np.uint8, np.array([128] * 6)), (np.uint8, 3), (np.int8, np.array([-128, 3, 127, 0, 0, 5]))], ids=str)
def test_weights_are_signed_or_become_so(kind, zeros):
    """Differences from the zero point that are no signed bytes are two of them, for two copies of the values."""
    q = Quantised()
    y = q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), SCALES if np.ndim(zeros) else 0.02, kind, zeros)
    twice = {} if np.all(np.asarray(zeros) == (0 if kind == np.int8 else 128)) else {"Concat": 1}
    rewritten(q.model({"x": [2, 5, 4, 4]}, q.bytes(y, 0.05, 90)), {"QuantizeBytes": 1, "QConv": 1, **twice})


def test_what_two_signed_bytes_do_not_hold_stays_as_it_is():
    """255 less a zero point of 0: as integers, and as floats between bytes."""
    q = Quantised()
    y = q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02, np.uint8, 0)
    stored = next(name for name, array in q.constants.items() if array.shape == (6, 5, 1, 1))
    q.constants[stored].flat[3] = 255
    rewritten(q.model({"x": [2, 5, 4, 4]}, q.bytes(y, 0.5, 90)), {"QuantizeBytes": 2, "DequantizeBytes": 1, "Conv": 1})
    w = np.full((19, 6), 255, np.uint8)
    proto = model([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], {"x": [5, 19]}, ["y"], {"w": w}, 13, {"x": TensorProto.UINT8})
    x = np.random.default_rng(0).integers(0, 256, (5, 19)).astype(np.uint8)
    np.testing.assert_array_equal(fastcnn.load(proto).run(None, {"x": x})[0], x.astype(np.int64) @ w.astype(np.int64))


def test_a_product_that_is_not_quantised_gives_floats_and_one_that_is_made_floats_again_gives_rounded_ones():
    q = Quantised()
    after = rewritten(q.model({"x": [1, 5, 4, 4]}, q.quant(q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02), 0.05, 90)),
                      {"QuantizeBytes": 1, "QConv": 1})
    assert (after.nodes[1].attrs["first_zero"], after.nodes[1].attrs["to"]) == (90, "float")
    q = Quantised()
    rewritten(q.model({"x": [1, 5, 4, 4]}, q.op("Sigmoid", q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02))),
              {"QuantizeBytes": 1, "QConv": 1, "Sigmoid": 1}, 1e-4)


@pytest.mark.parametrize("limited", ["Relu", "Clip"])
def test_limits_become_those_of_a_product_that_gives_floats(limited):
    """Of the floats, and of those that bytes of its own were rounded to."""
    for rounded in (False, True):
        q = Quantised()
        y = q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02)
        y = q.quant(y, 0.05, 90) if rounded else y
        more = [q.constant(np.array(v, np.float32)) for v in (-0.4, 3.0)] if limited == "Clip" else []
        after = rewritten(q.model({"x": [1, 5, 4, 4]}, q.op("Sigmoid", q.op(limited, y, *more))),
                          {"QuantizeBytes": 1, "QConv": 1, "Sigmoid": 1}, 0.05 if rounded else 1e-4)
        limits = np.float32((0, np.inf) if limited == "Relu" else (-0.4, 3.0))
        assert after.nodes[1].attrs["to"] == "float" and tuple(np.float32([after.nodes[1].attrs[k] for k in ("lo", "hi")])) == tuple(limits)


def biased(op_type: str, bias: str, scale: float) -> ModelProto:
    """A product whose bias is not stored in units of its sums, 0.03 * 0.02."""
    q = Quantised()
    if bias == "floats":
        b = q.constant(q.rng.normal(size=6).astype(np.float32))
    elif bias == "another scale":
        b = q.bias(6, 0.001)
    else:
        b = q.op("DequantizeLinear", q.constant(q.rng.integers(-128, 128, 6).astype(np.int8)), *q.scale(0.02, -7, np.int8))
    w = q.weights((6, 5, 1, 1) if op_type == "Conv" else (6, 5), 0.02)
    y = q.op(op_type, q.quant("x", 0.03, 100), w, b, **({} if op_type == "Conv" else {"transB": 1}))
    return q.model({"x": [1, 5, 3, 4] if op_type == "Conv" else [3, 5]}, q.bytes(y, scale, 90))


@pytest.mark.parametrize("bias", ["floats", "another scale", "bytes with a zero point"])
@pytest.mark.parametrize("op_type", ["Conv", "Gemm"])
def test_a_bias_of_floats_is_rounded_to_units_of_the_sums(op_type, bias):
    """Where such a unit is a 64th of the result's scale at most."""
    rewritten(biased(op_type, bias, 0.05), {"QuantizeBytes": 1, "QConv" if op_type == "Conv" else "QMatMul": 1})
    coarse = Counter(node.op_type for node in run_passes(read(biased(op_type, bias, 0.02))).nodes)
    assert not {"QConv", "QMatMul"} & coarse.keys()


def test_a_bias_at_another_scale_stays_in_floats_where_the_result_does():
    q = Quantised()
    y = q.op("Conv", q.quant("x", 0.03, 100), q.weights((6, 5, 1, 1), 0.02), q.bias(6, 0.001))
    rewritten(q.model({"x": [1, 5, 4, 4]}, q.op("Tanh", y)), {"QuantizeBytes": 1, "DequantizeBytes": 1, "Conv": 1})


@pytest.mark.parametrize("turned", [0, 1])
def test_matrix_products(turned):
    q = Quantised()
    w = q.weights((6, 7) if turned else (7, 6), SCALES, axis=1 - turned)
    y = q.quant(q.op("Gemm", q.quant("x", 0.03, 100), w, q.bias(6, SCALES * np.float32(0.03)), transB=turned), 0.05, 90)
    z = q.op("MatMul", y, q.weights((6, 3), SCALES[:3], axis=1))
    rewritten(q.model({"x": [4, 7]}, q.quant(z, 0.1, 100)), {"QuantizeBytes": 1, "QMatMul": 2}, 0.1)


def test_a_sum_becomes_part_of_the_later_product():
    q = Quantised()
    x = q.quant("x", 0.03, 100)
    a = q.quant(q.conv(x, 0.03, (6, 6, 1, 1), 0.02), 0.05, 91)
    b = q.quant(q.conv(x, 0.03, (6, 6, 3, 3), SCALES, pads=[1, 1, 1, 1]), 0.07, 131)
    y = q.quant(q.op("Relu", q.op("Add", b, a)), 0.06, 3)
    after = rewritten(q.model({"x": [1, 6, 5, 5]}, y), {"QuantizeBytes": 1, "QConv": 2, "DequantizeBytes": 1}, 0.06)
    assert after.nodes[2].attrs["first_zero"] == 131 and after.nodes[2].attrs["lo"] == after.nodes[2].attrs["y_zero"] == 3


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul"])
def test_values_and_stored_constants_are_added_and_multiplied(op_type):
    q = Quantised()
    x, z = q.quant("x", 0.03, 100), q.quant("z", 0.02, 55)
    y = q.quant(q.op(op_type, x, z), 0.05, 91)
    stored = q.op("DequantizeLinear", q.constant(q.rng.integers(-128, 128, (6, 1, 1)).astype(np.int8)), *q.scale(0.02, -7, np.int8))
    rewritten(q.model({"x": [1, 6, 5, 5], "z": [1, 6, 1, 1]}, q.quant(q.op(op_type, y, stored), 0.06, 3)),
              {"QuantizeBytes": 2, "QMul" if op_type == "Mul" else "QAdd": 2, "DequantizeBytes": 1}, 0.06)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1), (5,)], ids=str)
def test_slopes_of_channels_are_a_function_of_bytes(shape, stored):
    """PRelu between two convolutions; its slopes floats, or stored as bytes."""
    q = Quantised()
    x = q.quant(q.conv(q.quant("x", 0.03, 100), 0.03, (6, 6, 1, 1), 0.02), 0.05, 91)
    floats, bytes_ = q.rng.normal(size=shape).astype(np.float32), q.rng.integers(-128, 128, shape).astype(np.int8)
    slope = q.op("DequantizeLinear", q.constant(bytes_), *q.scale(0.02, -7, np.int8)) if stored else q.constant(floats)
    y = q.quant(q.op("PRelu", x, slope), 0.06, 3)
    rewritten(q.model({"x": [1, 6, 5, 5]}, y), {"QuantizeBytes": 1, "QConv": 1, "QPRelu": 1, "DequantizeBytes": 1}, 0.06)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_normalisations_are_a_function_of_bytes(relu, stored):
    """As between the layers of DenseNet: joined bytes, BatchNormalization, Relu, a convolution. stored: numbers of channels as integers."""
    q = Quantised()
    x = q.quant("x", 0.03, 100)
    joined = q.quant(q.op("Concat", x, q.quant(q.conv(x, 0.03, (6, 6, 1, 1), 0.02), 0.04, 80), axis=1), 0.05, 91)
    numbers = [q.constant(v.astype(np.float32)) for v in (*q.rng.normal(size=(3, 12)), q.rng.uniform(0.5, 2, 12))]
    if stored:
        numbers[0] = q.op("DequantizeLinear", q.constant(q.rng.integers(1, 128, 12).astype(np.int8)), *q.scale(0.02, 0, np.int8))
        shift = q.constant(q.rng.integers(-99, 99, 12).astype(np.int32))
        numbers[1] = q.op("DequantizeLinear", shift, q.constant(np.array(0.01, np.float32)))
    y = q.op("BatchNormalization", joined, *numbers)
    y = q.conv(q.quant(q.op("Relu", y) if relu else y, 0.06, 3), 0.06, (6, 12, 1, 1), 0.02)
    rewritten(q.model({"x": [1, 6, 5, 5]}, q.quant(y, 0.5, 99)),
              {"QuantizeBytes": 1, "QConv": 2, "Concat": 1, "ByteTable": 1, "QAffine": 1}, 0.5)


def test_attention_is_two_products_of_bytes():
    """Softmax alone is computed in floats."""
    q = Quantised()
    a, b, v = q.quant("x", 0.03, 100), q.quant("z", 0.02, 120), q.quant("v", 0.04, 90)
    scores = q.quant(q.op("Softmax", q.op("MatMul", a, q.op("Transpose", b, perm=[0, 1, 3, 2])), axis=-1), 1 / 256, 0)
    rewritten(q.model({"x": [1, 2, 9, 8], "z": [1, 2, 7, 8], "v": [1, 2, 7, 5]}, q.quant(q.op("MatMul", scores, v), 0.05, 91)),
              {"QuantizeBytes": 4, "Transpose": 1, "QBatchMatMul": 2, "Softmax": 1, "DequantizeBytes": 1}, 0.05)


def test_sums_of_integers_whose_zero_points_are_known():
    """MatMulInteger of two inputs, of both kinds of bytes; with a zero point that is fed it stays as it is."""
    for zero, rewritten_ in (("c", True), ("fed", False)):
        node = helper.make_node("MatMulInteger", ["x", "w", "cx", zero], ["y"])
        types = {"x": TensorProto.UINT8, "w": TensorProto.INT8, "fed": TensorProto.INT8}
        constants = {"cx": np.array(7, np.uint8), "c": np.array(-9, np.int8)}
        inputs = {"x": [3, 5, 19], "w": [3, 19, 6]} | ({} if rewritten_ else {"fed": []})
        proto = model([node], inputs, ["y"], constants, 13, types)
        assert ("QBatchMatMul" in run_passes(read(proto)).operators()) == rewritten_
        rng = np.random.default_rng(0)
        feeds = {"x": rng.integers(0, 256, (3, 5, 19)).astype(np.uint8), "w": rng.integers(-128, 128, (3, 19, 6)).astype(np.int8)}
        feeds |= {} if rewritten_ else {"fed": np.array(-9, np.int8)}
        wanted = (feeds["x"].astype(np.int64) - 7) @ (feeds["w"].astype(np.int64) + 9)
        np.testing.assert_array_equal(fastcnn.load(proto).run(None, feeds)[0], wanted)


def test_functions_of_one_byte_become_one_table():
    """SiLU in two parts, each quantised, and what follows."""
    q = Quantised()
    x = q.quant("x", 0.03, 100)
    s = q.quant(q.op("Sigmoid", x), 1 / 255, 0)
    y = q.quant(q.op("Mul", x, s), 0.02, 14)
    z = q.op("Tanh", q.op("Add", y, q.constant(np.array([0.5], np.float32))))
    rewritten(q.model({"x": [1, 6, 5, 5]}, q.quant(z, 0.01, 128)), {"QuantizeBytes": 1, "ByteTable": 1, "DequantizeBytes": 1}, 0.01)


def test_a_table_is_looked_up_by_the_product_before_it_and_limits_are_its_own():
    q = Quantised()
    y = q.quant(q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02), 0.05, 90)
    for function, more in (("Relu", 0), ("Tanh", 1)):
        p = Quantised()
        p.nodes, p.constants, p.count = list(q.nodes), dict(q.constants), q.count
        z = p.bytes(p.op(function, y), 0.05, 90)
        after = rewritten(p.model({"x": [1, 5, 4, 4]}, z), {"QuantizeBytes": 1, "QConv": 1})
        conv = after.nodes[1]
        assert bool(conv.input(5)) == bool(more) and (more or conv.attrs["lo"] == 90)


def test_values_at_several_scales_are_joined():
    q = Quantised()
    parts = [q.quant("x", 0.03, 100), q.quant("z", 0.02, 55)]
    rewritten(q.model({"x": [1, 6, 5, 5], "z": [1, 2, 5, 5]}, q.quant(q.op("Concat", *parts, axis=1), 0.03, 100)),
              {"QuantizeBytes": 2, "ByteTable": 1, "Concat": 1, "DequantizeBytes": 1}, 0.03)


def test_what_moves_elements_moves_bytes():
    q = Quantised()
    x = q.quant("x", 0.03, 20, np.int8)
    y = q.op("Transpose", q.op("Reshape", x, q.constant(np.array([1, 3, 2, 25]))), perm=[0, 2, 1, 3])
    y = q.op("Pad", y, q.constant(np.array([0, 0, 0, 1, 0, 0, 0, 2])))
    y = q.quant(q.op("Slice", y, q.constant(np.array([1])), q.constant(np.array([27])), q.constant(np.array([3]))), 0.03, 20, np.int8)
    moves = dict.fromkeys(("Reshape", "Transpose", "Pad", "Slice"), 1)
    rewritten(q.model({"x": [1, 6, 5, 5]}, y), {"QuantizeBytes": 1, **moves, "DequantizeBytes": 1}, 0.03)


def test_a_value_is_quantised_before_it_is_moved():
    q = Quantised()
    y = q.op("Reshape", q.op("Conv", "x", q.constant(np.ones((4, 6, 1, 1), np.float32))), q.constant(np.array([1, 100])))
    after = rewritten(q.model({"x": [1, 6, 5, 5]}, q.bytes(y, 0.03, 100)), {"Conv": 1, "QuantizeBytes": 1, "Reshape": 1}, 0.03)
    assert [node.op_type for node in after.nodes] == ["Conv", "QuantizeBytes", "Reshape"]


def test_scales_along_an_axis_and_16_bits_stay_as_they_were():
    for scales, kind in ((SCALES, np.uint8), (np.float32(0.001), np.int16)):
        q = Quantised()
        at = q.constant(np.asarray(scales)), q.constant(np.zeros(np.shape(scales), kind))
        q = q.model({"x": [1, 6, 5, 5]}, q.op("DequantizeLinear", q.op("QuantizeLinear", "x", *at), *at), opset=21)
        assert not {"QuantizeBytes", "DequantizeBytes"} & run_passes(read(q)).operators()


def test_floats_that_others_need_are_made():
    q = Quantised()
    y = q.conv(q.quant("x", 0.03, 100), 0.03, (6, 5, 1, 1), 0.02)
    rewritten(q.model({"x": [1, 5, 4, 4]}, q.quant(y, 0.05, 90), y),
              {"QuantizeBytes": 2, "QConv": 1, "DequantizeBytes": 1}, 0.05)


@pytest.mark.parametrize("kind", [np.uint8, np.int8], ids=str)
def test_operators_with_scales_among_their_inputs(kind):
    q = Quantised()
    zero = 100 if kind == np.uint8 else -28
    x, at, wide = q.bytes("x", 0.03, zero, kind), q.scale(0.03, zero, kind), q.scale(0.09, zero, kind)
    info = np.iinfo(np.int8)
    w = q.constant(q.rng.integers(info.min, info.max, (6, 6, 3, 3)).astype(np.int8))
    scales = q.constant(SCALES), q.constant(np.zeros(6, np.int8))
    y = q.op("QLinearConv", x, *at, w, *scales, *wide, q.constant(q.rng.integers(-999, 999, 6).astype(np.int32)), pads=[1, 1, 1, 1])
    y = q.op("QLinearAdd", y, *wide, x, *at, *wide, domain=MICROSOFT)
    y = q.op("QLinearMul", y, *wide, x, *at, *wide, domain=MICROSOFT)
    s = q.op("QLinearSigmoid", y, *wide, *at, domain=MICROSOFT)
    t = q.op("QLinearLeakyRelu", y, *wide, *at, domain=MICROSOFT, alpha=0.1)
    y = q.op("QLinearConcat", *at, s, *at, t, *at, y, *wide, domain=MICROSOFT, axis=1)
    y = q.op("Reshape", y, q.constant(np.array([18, 25])))
    b = q.constant(q.rng.integers(info.min, info.max, (25, 4)).astype(np.int8))
    y = q.op("QLinearMatMul", y, *at, b, *q.scale(0.01, 0, np.int8), *wide)
    once = dict.fromkeys(("QuantizeBytes", "QConv", "QMul", "Concat", "Reshape", "QMatMul"), 1)
    rewritten(q.model({"x": [1, 6, 5, 5]}, y), {"ByteTable": 3 + (kind == np.int8), **once})


def test_signed_inputs_and_outputs_of_a_graph_stay_signed():
    q = Quantised()
    at = q.scale(0.03, -5, np.int8)
    y = q.conv(q.op("DequantizeLinear", "x", *at), 0.03, (6, 5, 1, 1), 0.02)
    proto = q.model({"x": [1, 5, 4, 4]}, q.bytes(y, 0.05, 7, np.int8), types={"x": TensorProto.INT8})
    feeds = {"x": np.random.default_rng(0).integers(-128, 128, (1, 5, 4, 4)).astype(np.int8)}
    rewritten(proto, {"ByteTable": 2, "QConv": 1}, feeds=feeds)


@pytest.mark.parametrize("op_type, attrs", [
    ("GlobalAveragePool", {}), ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 0]}), ("ReduceMean", {"axes": [2, 3]})], ids=str)
def test_means(op_type, attrs):
    q = Quantised()
    y = q.op(op_type, q.quant("x", 0.03, 100), **attrs)
    kind = "QAveragePool" if op_type == "AveragePool" else "QGlobalAveragePool"
    rewritten(q.model({"x": [2, 6, 5, 5]}, q.bytes(y, 0.0113, 90)), {"QuantizeBytes": 1, kind: 1})


def test_softmax_of_bytes_is_made_in_floats():
    q = Quantised()
    at, shares = q.scale(0.03, 100), q.scale(1 / 256, 0)
    y = q.op("QLinearSoftmax", q.bytes("x", 0.03, 100), *at, *shares, domain=MICROSOFT, opset=13, axis=1)
    rewritten(q.model({"x": [3, 6]}, y), {"QuantizeBytes": 2, "DequantizeBytes": 1, "Softmax": 1})


@pytest.mark.parametrize("opset", [11, 13])
def test_the_largest_is_picked_among_bytes(opset):
    q = Quantised()
    y = q.op("MaxPool", q.quant("x", 0.03, 100), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    rewritten(q.model({"x": [2, 6, 5, 5]}, q.bytes(y, 0.03, 100), opset=opset), {"QuantizeBytes": 1, "MaxPool": 1})


@pytest.mark.parametrize("kind", [np.uint8, np.int8], ids=str)
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("window", [{"pads": [1, 0, 1, 2], "strides": [2, 1]}, {}], ids=str)
def test_integer_convolutions(kind, computed, window):
    """A zero point that is computed is what a Pad writes, and taken off the sums."""
    q = Quantised()
    x, zero = ("x", "z") if computed else ("x", q.constant(np.array(-3 if kind == np.int8 else 117, kind)))
    w = q.constant(q.rng.integers(-128, 128, (6, 5, 3, 3)).astype(np.int8))
    element = TensorProto.INT8 if kind == np.int8 else TensorProto.UINT8
    inputs = {"x": [2, 5, 7, 6], "z": []} if computed else {"x": [2, 5, 7, 6]}
    proto = q.model(inputs, q.op("ConvInteger", x, w, zero, **window), types=dict.fromkeys(inputs, element))
    info = np.iinfo(kind)
    feeds = {name: q.rng.integers(info.min, info.max + 1, shape).astype(kind) for name, shape in inputs.items()}
    graph = run_passes(read(proto))
    assert {"QConv"} <= graph.operators() and ("Pad" in graph.operators()) == (computed and bool(window))
    for after in (evaluate_graph(graph, feeds), dict(zip((o.name for o in graph.outputs), native(proto, feeds)))):
        for name, y in evaluate_graph(read(proto), feeds).items():
            np.testing.assert_array_equal(after[name], y)


def native(proto: ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Results without a fallback."""
    with fastcnn.load(proto, threads=1) as loaded:
        results = loaded.run(None, feeds)
        assert not loaded.fallback_nodes
        return results


@pytest.mark.parametrize("op_type", ["MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_dynamic_products(op_type):
    """By what onnxruntime makes of them."""
    q = Quantised()
    w = q.constant(q.rng.integers(-SEVEN_BITS, SEVEN_BITS + 1, (30, 6)).astype(np.int8))
    scales, bias = q.constant(SCALES), q.constant(np.arange(6, dtype=np.float32))
    if op_type == "DynamicQuantizeMatMul":
        y = q.op(op_type, "x", w, scales, q.constant(np.zeros(6, np.int8)), bias, domain=MICROSOFT)
    else:
        x = q.op("DynamicQuantizeLinear", "x", outputs=3)
        if op_type == "MatMulInteger":
            y = q.op("Mul", q.op("Cast", q.op(op_type, x, w, f"{x}.2"), to=TensorProto.FLOAT), f"{x}.1")
        else:
            y = q.op(op_type, x, w, f"{x}.1", scales, f"{x}.2", q.constant(np.zeros(6, np.int8)), bias, domain=MICROSOFT)
    proto = q.model({"x": [4, 30]}, y)
    feeds = {"x": q.rng.normal(size=(4, 30)).astype(np.float32)}
    assert "QMatMul" in run_passes(read(proto)).operators()
    np.testing.assert_allclose(native(proto, feeds)[0], onnxruntime_run(proto, feeds)[0], rtol=1e-4, atol=1e-3)


def test_orders_of_channels_of_bytes_go_into_the_weights_too():
    """Two units of a shuffle network: what convolutions read are slices, the part that passes through alone is gathered."""
    q = Quantised()
    at = (0.05, 100)

    def conv(x: str, shape: tuple[int, ...], **attrs: object) -> str:
        return q.quant(q.conv(x, at[0], shape, np.resize(SCALES, shape[0]) * 0.2, **attrs), *at)

    y = conv(q.quant("x", *at), (12, 5, 1, 1))
    for _ in range(2):
        first, second = (q.op("Slice", y, *(q.constant(np.array([v])) for v in part)) for part in ((0, 6, 1), (6, 12, 1)))
        branch = conv(conv(q.quant(second, *at), (6, 6, 1, 1)), (6, 1, 3, 3), group=6, pads=[1] * 4)
        joined = q.quant(q.op("Concat", q.quant(first, *at), conv(branch, (6, 6, 1, 1)), axis=1), *at)
        split = q.op("Reshape", joined, q.constant(np.array([1, 2, 6, 9, 8])))
        y = q.quant(q.op("Reshape", q.op("Transpose", split, perm=[0, 2, 1, 3, 4]), q.constant(np.array([1, 12, 9, 8]))), *at)
    after = rewritten(q.model({"x": [1, 5, 9, 8]}, q.quant(q.op("Relu", conv(y, (12, 12, 1, 1))), *at)),
                      {"QuantizeBytes": 1, "QConv": 8, "Slice": 2, "Concat": 2, "Gather": 2}, at[0])
    orders = [after.constants[node.inputs[1]] for node in after.nodes if node.op_type == "Gather"]
    assert any(np.all(np.diff(order) == 1) for order in orders)
