"""Operators on bytes by native steps, at every instruction set and its sub-levels, against their exact definition."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto
from quantized_models import Quantised

import fastcnn
from fastcnn.ir.record import replace
from fastcnn.machine.current import current, using
from fastcnn.machine.table import ROWS
from fastcnn.operators.cards import FAMILIES
from fastcnn.ops.quantized import in_floats, products
from fastcnn.plan import stage
from fastcnn.plan.lowering import StageLowering
from fastcnn.reference import evaluate_graph

SCALES = np.array([0.011, 0.02, 0.007, 0.013, 0.03, 0.017, 0.009], np.float32)


def check(proto: ModelProto, *operators: str, quantum: float = 1.0, seed: int = 0, spread: float = 4.0) -> None:
    """Native results are those of the definition: equal, but where that is as good as a tie."""
    with fastcnn.load(proto, threads=2) as loaded:
        graph = loaded._default.graph
        assert set(operators) <= {node.op_type for node in graph.nodes}
        rng = np.random.default_rng(seed)
        feeds = {i.name: (rng.normal(size=i.shape) * spread).astype(np.float32) for i in graph.inputs}
        got = loaded.run(None, feeds)
        assert not loaded.fallback_nodes
    for g, w in zip(got, evaluate_graph(graph, feeds).values()):
        off = np.abs(g.astype(np.float64) - w) / quantum
        assert g.dtype == w.dtype and g.shape == w.shape and off.max(initial=0) < 1.01, off.max()
        assert (off > 0.01).mean() < 5e-3, (off > 0.01).mean()


@pytest.mark.parametrize("zero", [0, 117, 255])
@pytest.mark.parametrize("shape, attrs", [
    ((7, 5, 3, 3), {"pads": [1, 1, 1, 1]}), ((7, 3, 7, 7), {"pads": [3, 3, 3, 3], "strides": [2, 2]}), ((7, 6, 1, 1), {}),
    ((7, 9, 1, 1), {"strides": [2, 2]}), ((7, 4, 1, 1), {"pads": [1, 0, 0, 1]}),
    ((7, 2, 3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    ((14, 3, 3, 3), {"group": 7, "pads": [1, 1, 0, 0]}), ((7, 5, 3), {"pads": [1, 1]})], ids=str)
def test_convolutions(level, zero, shape, attrs):
    q = Quantised()
    scales = np.tile(SCALES, shape[0] // 7)
    y = q.conv(q.quant("x", 0.031, zero), 0.031, shape, scales, **attrs)
    check(q.model({"x": [2, shape[1] * attrs.get("group", 1), *(11, 10)[:len(shape) - 2]]}, q.bytes(y, 0.2113, 131)), "QConv")


@pytest.mark.parametrize("zero", [0, 117, 255])
@pytest.mark.parametrize("kernel, dilations", [((3, 3), (12, 9)), ((3, 3), (4, 5)), ((3, 5), (1, 4)), ((5, 3), (5, 20))], ids=str)
@pytest.mark.parametrize("group", [1, 3, 7])
def test_convolutions_dilated_far(level, zero, kernel, dilations, group):
    """Taps that most outputs, or all, do not see: columns are steps of their own, and what only meets padding is left out."""
    q = Quantised()
    pads = [d * (k // 2) for k, d in zip(kernel, dilations)]
    y = q.conv(q.quant("x", 0.031, zero), 0.031, (21, 21 // group if group == 7 else 5, *kernel), np.tile(SCALES, 3), group=group,
               dilations=dilations, pads=[*pads, *pads])
    check(q.model({"x": [2, 21 if group == 7 else 5 * group, 11, 10]}, q.bytes(y, 0.2113, 131)), "QConv")


@pytest.mark.parametrize("groups, each, kernel", [(28, 4, 3), (14, 3, 3), (16, 8, 1), (12, 7, 5), (32, 2, 3)])
def test_narrow_groups_are_joined(level, groups, each, kernel):
    q = Quantised()
    m = 7 * groups
    y = q.conv(q.quant("x", 0.031, 117), 0.031, (m, each, kernel, kernel), np.tile(SCALES, groups), group=groups, pads=[kernel // 2] * 4)
    check(q.model({"x": [2, each * groups, 9, 8]}, q.bytes(y, 0.2113, 131)), "QConv")


@pytest.mark.parametrize("zero", [0, 117])
@pytest.mark.parametrize("shape, attrs", [
    ((7, 5, 3, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}), ((7, 3, 3, 5, 5), {"pads": [1, 2, 2, 1, 2, 2], "strides": [1, 2, 2]}),
    ((7, 6, 1, 1, 1), {}), ((7, 9, 1, 1, 1), {"strides": [2, 2, 2]}), ((7, 4, 2, 3, 3), {"pads": [4, 1, 1, 3, 1, 0], "strides": [2, 1, 1]}),
    ((7, 2, 3, 3, 3), {"dilations": [1, 2, 3], "pads": [0, 2, 3, 0, 2, 3]})], ids=str)
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("l2_bytes", [1 << 20, 1], ids=["whole", "in pieces"])
def test_volumes(level, zero, shape, attrs, add, l2_bytes, monkeypatch):
    monkeypatch.setattr(products, "LEAST_ROWS", 3)
    q = Quantised()
    x = q.quant("x", 0.031, zero)
    y = q.quant(q.conv(x, 0.031, shape, SCALES, **attrs), 0.2113, 131)
    if add:
        z = q.quant(q.conv(x, 0.031, shape, 0.02, **attrs), 0.2113, 131)
        y = q.op("Relu", q.op("Add", y, z))
    with using(replace(current(), l2_bytes=l2_bytes)):
        check(q.model({"x": [2, shape[1], 5, 8, 7]}, q.bytes(y, 0.2317, 90)), "QConv")


@pytest.mark.parametrize("zero", [0, 117])
@pytest.mark.parametrize("shape, attrs", [
    ((5, 7, 2, 2), {"strides": [2, 2]}), ((6, 7, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}), ((5, 7, 3, 3), {"strides": [2, 1]}),
    ((5, 7, 3, 2), {"strides": [2, 3], "output_padding": [1, 1], "dilations": [2, 1]}), ((5, 7, 1, 1), {"strides": [3, 2]}),
    ((6, 7, 3, 3), {"group": 2, "strides": [2, 2]}), ((21, 1, 4, 4), {"group": 21, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((5, 7, 4), {"strides": [2], "pads": [1, 1]})], ids=str)
@pytest.mark.parametrize("after", ["", "Add", "Tanh"])
def test_transposed_convolutions(level, zero, shape, attrs, after):
    q = Quantised()
    scales = SCALES[:shape[1]]
    group = attrs.get("group", 1)
    factors = np.tile(scales, group) * np.float32(0.031)
    y = q.op("ConvTranspose", q.quant("x", 0.031, zero), q.weights(shape, scales, axis=1), q.bias(shape[1] * group, factors), **attrs)
    inputs = {"x": [2, shape[0], *(6, 5)[:len(shape) - 2]]}
    if after == "Add":
        inputs["z"] = [1]
        y = q.op("Add", q.quant(y, 0.2113, 131), q.quant("z", 0.031, 3))
    elif after:
        y = q.op(after, q.quant(y, 0.0113, 131))
    check(q.model(inputs, q.bytes(y, 0.0113 if after == "Tanh" else 0.2113, 90)), "QConvTranspose")


@pytest.mark.parametrize("zero", [0, 117, 255])
@pytest.mark.parametrize("kernel, attrs", [
    ([3, 3], {"pads": [1, 1, 1, 1]}), ([3, 3], {"pads": [0, 0, 1, 1], "strides": [2, 2]}), ([5, 5], {"pads": [2, 2, 2, 2]}),
    ([5, 3], {"pads": [4, 1, 4, 1], "dilations": [2, 1], "strides": [1, 2]}), ([7], {"pads": [3, 3]}), ([1, 1], {})], ids=str)
@pytest.mark.parametrize("after", ["", "Tanh", "Add", "float"])
def test_depthwise_convolutions(level, zero, kernel, attrs, after):
    """With what a product may take in behind it; these add nothing and make no floats."""
    q = Quantised()
    y = q.conv(q.quant("x", 0.031, zero), 0.031, (21, 1, *kernel), np.tile(SCALES, 3), group=21, **attrs)
    y = q.op("Tanh", q.quant(y, 0.0713, 131)) if after == "Tanh" else q.op("Add", q.quant(y, 0.0713, 131), q.quant("z", 0.031, 3)) \
        if after == "Add" else y
    extents = [2, 21, *(11, 10)[:len(kernel)]]
    inputs = {"x": extents}
    if after == "Add":
        inputs["z"] = [1]
    result = q.op("Neg", q.quant(y, 0.0713, 90)) if after == "float" else q.bytes(y, 0.0713, 131)
    proto = q.model(inputs, result)
    check(proto, "QConv", quantum=0.0713 if after == "float" else 1)


@pytest.mark.parametrize("relu", [False, True])
def test_a_sum_is_rounded_twice(level, relu):
    q = Quantised()
    x = q.quant("x", 0.031, 100)
    a = q.quant(q.conv(x, 0.031, (7, 7, 1, 1), 0.02), 0.1511, 91)
    b = q.quant(q.conv(x, 0.031, (7, 7, 3, 3), SCALES, pads=[1, 1, 1, 1]), 0.1713, 131)
    y = q.op("Add", a, b)
    q.op("Relu", y)
    check(q.model({"x": [2, 7, 9, 8]}, q.bytes(f"v{q.count}" if relu else y, 0.1617, 3)), "QConv")


def test_ties_go_to_the_even_neighbour(level):
    """Powers of two for scales: every result is exact, half of them lie between two bytes."""
    q = Quantised()
    x = q.quant("x", 0.25, 117)
    y = q.quant(q.conv(x, 0.25, (8, 4, 1, 1), 0.125, bias=False), 16.0, 131)
    z = q.bytes(q.op("Add", y, q.quant(q.conv(x, 0.25, (8, 4, 1, 1), 0.125, bias=False), 8.0, 3)), 32.0, 77)
    proto = q.model({"x": [1, 4, 9, 8]}, z)
    with fastcnn.load(proto, threads=1) as loaded:
        feeds = {"x": np.random.default_rng(0).normal(size=(1, 4, 9, 8)).astype(np.float32) * 9}
        np.testing.assert_array_equal(loaded.run(None, feeds)[0], next(iter(evaluate_graph(loaded._default.graph, feeds).values())))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 64, 130])
@pytest.mark.parametrize("rows", [1, 5])
def test_matrix_products(level, k, rows):
    q = Quantised()
    w, b = q.weights((7, k), SCALES), q.bias(7, SCALES * np.float32(0.031))
    y = q.quant(q.op("Gemm", q.quant("x", 0.031, 117), w, b, transB=1), 0.2113, 90)
    z = q.op("MatMul", y, q.weights((7, 3), SCALES[:3], axis=1))
    check(q.model({"x": [rows, k]}, q.op("Tanh", z)), "QMatMul", quantum=1e-2)


@pytest.mark.parametrize("op_type", ["Add", "Mul"])
@pytest.mark.parametrize("other", [[2, 7, 9, 8], [2, 7, 1, 1], [1, 7, 1, 1], [2, 1, 9, 8], [8]], ids=str)
def test_sums_and_products(level, op_type, other):
    q = Quantised()
    y = q.op(op_type, q.quant("x", 0.031, 117), q.quant("z", 0.023, 55))
    check(q.model({"x": [2, 7, 9, 8], "z": other}, q.bytes(y, 0.0913, 131)), "QMul" if op_type == "Mul" else "QAdd")


@pytest.mark.parametrize("slope", [(7, 1, 1), (1, 7, 1, 1), (8,), (9, 1), (7, 9, 8)], ids=str)
def test_prelu(level, slope):
    """Of convolutions, whose pixels lie together, and of what is fed, in planes."""
    q = Quantised()
    x = q.quant("x", 0.031, -11, np.int8)
    for made in (x, q.quant(q.conv(x, 0.031, (7, 7, 1, 1), 0.02), 0.1511, 91)):
        y = q.op("PRelu", made, q.constant(q.rng.normal(size=slope).astype(np.float32)))
        check(q.model({"x": [2, 7, 9, 8]}, q.bytes(y, 0.0913, 131)), "QPRelu")


@pytest.mark.parametrize("shape", [(3, 7), (2, 7, 9), (2, 7, 9, 8), (1, 70, 3, 3)], ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_normalisations(level, shape, relu):
    """BatchNormalization of what is fed, in planes, and of pooled pixels."""
    q, c = Quantised(), shape[1]
    x = q.quant("x", 0.031, 117)
    numbers = [q.constant(v.astype(np.float32)) for v in (*q.rng.normal(size=(3, c)), q.rng.uniform(0.5, 2, c))]
    for _ in range(2):
        y = q.op("BatchNormalization", x, *numbers)
        x = q.quant(q.op("Relu", y) if relu else y, 0.0513, 33)
    check(q.model({"x": list(shape)}, x), "QAffine", quantum=0.0513)


@pytest.mark.parametrize("shape", [(3, 7), (2, 7, 9), (2, 7, 9, 8), (1, 70, 3, 3), (2, 7, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_normalisations_of_floats(level, shape, relu):
    """Of what is fed, in planes, and of pixels that a convolution made, for another that reads the bytes."""
    q, c, images = Quantised(), shape[1], len(shape) == 4
    numbers = [q.constant(v.astype(np.float32)) for v in (*q.rng.normal(size=(3, c)), q.rng.uniform(0.5, 2, c))]
    x = q.op("Conv", "x", q.constant(q.rng.normal(size=(c, c, 1, 1)).astype(np.float32))) if images else "x"
    y = q.op("BatchNormalization", q.op("Tanh", x), *numbers)
    y = q.quant(q.op("Relu", y) if relu else y, 0.0513, 33)
    y = q.quant(q.conv(y, 0.0513, (7, c, 3, 3), 0.02), 0.3, 90) if images else y
    check(q.model({"x": list(shape)}, y), "QuantizeScaled", quantum=0.3 if images else 0.0513)


@pytest.mark.parametrize("after", ["bytes", "floats"])
@pytest.mark.parametrize("shapes", [([5, 19], [19, 70]), ([2, 3, 17, 8], [2, 3, 8, 33]), ([3, 9, 7], [7, 5]), ([9, 7], [4, 7, 5])], ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_what_the_run_computes(level, shapes, turned, after):
    q = Quantised()
    left, right = (list(shape) for shape in shapes)
    if turned:
        right[-2:] = right[:-3:-1]
    a, b = q.quant("x", 0.031, 117), q.quant("z", 0.027, -7, np.int8)
    b = q.op("Transpose", b, perm=[*range(len(right) - 2), len(right) - 1, len(right) - 2]) if turned else b
    y = q.op("MatMul", a, b)
    check(q.model({"x": left, "z": right}, q.bytes(q.op("Relu", y), 0.2113, 31) if after == "bytes" else y), "QBatchMatMul",
          quantum=1.0 if after == "bytes" else 1e-2)


def test_tables(level):
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    y = q.quant(q.conv(x, 0.031, (7, 5, 3, 3), SCALES), 0.1511, 91)
    parts = [q.op("Tanh", y), q.op("Sigmoid", q.op("Slice", x, *(q.constant(np.array([v])) for v in (1, 8, 2))))]
    shrunk = q.op("Slice", parts[1], *(q.constant(np.array([v])) for v in (1, 7, 3)))
    check(q.model({"x": [1, 5, 9, 8]}, *(q.bytes(v, 0.0083, 3) for v in (parts[0], shrunk))), "ByteTable", "QConv")


def test_parts_of_channels_and_signed_bytes(level):
    """Concat and Split along channels are places in the same memory, of any number of bytes."""
    q = Quantised()
    x = q.quant("x", 0.031, -11, np.int8)
    a, b = (q.quant(q.conv(x, 0.031, (m, 5, 1, 1), 0.02), 0.1511, -37, np.int8) for m in (7, 3))
    joined = q.quant(q.op("Concat", a, b, axis=1), 0.1511, -37, np.int8)
    first = q.op("Split", joined, q.constant(np.array([4, 6])), axis=1, outputs=2)
    y = q.conv(q.quant(f"{first}.1", 0.1511, -37, np.int8), 0.1511, (7, 6, 1, 1), SCALES)
    check(q.model({"x": [1, 5, 9, 8]}, q.bytes(y, 0.9113, 5, np.int8)), "QConv", "Concat", "Split")


def test_a_batch_image_by_image(level):
    """Every operator on bytes: a batch cut into images gives what the images do."""
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    a = q.quant(q.conv(x, 0.031, (8, 8, 3, 3), 0.02, pads=[1, 1, 1, 1]), 0.0911, 91)
    b = q.quant(q.op("Sigmoid", q.quant(q.conv(x, 0.031, (8, 8, 1, 1), 0.01), 0.0511, 91)), 0.0039, 0)
    c = q.quant(q.op("Add", q.quant(q.op("Mul", a, b), 0.0313, 101), x), 0.0413, 99)
    d = q.quant(q.op("AveragePool", q.quant(q.op("MaxPool", c, kernel_shape=[2, 2]), 0.0413, 99), kernel_shape=[2, 2]), 0.0217, 77)
    e = q.quant(q.op("Flatten", q.quant(q.op("GlobalAveragePool", d), 0.0117, 71)), 0.0117, 71)
    y = q.op("Gemm", e, q.weights((7, 8), SCALES), q.bias(7, SCALES * np.float32(0.0117)), transB=1)
    proto = q.model({"x": ["n", 8, 30, 30]}, q.bytes(y, 0.2113, 90), q.op("Tanh", d))
    x = np.random.default_rng(0).normal(size=(6, 8, 30, 30)).astype(np.float32)
    with fastcnn.load(proto, threads=2) as loaded:
        made = {node.op_type for node in loaded._default.graph.nodes if node.op_type in FAMILIES["8 bits"]}
        assert made >= {"QConv", "QAdd", "QMul", "QAveragePool", "QGlobalAveragePool", "QMatMul"}
        whole = loaded.run(None, {"x": x})
        each = [loaded.run(None, {"x": x[k:k + 1]}) for k in range(6)]
    for k, result in enumerate(whole):
        np.testing.assert_array_equal(result, np.concatenate([image[k] for image in each]))


@pytest.mark.parametrize("op_type, attrs", [
    ("GlobalAveragePool", {}), ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    ("AveragePool", {"kernel_shape": [2, 2], "pads": [0, 1, 0, 1], "count_include_pad": 1})], ids=str)
def test_means(level, op_type, attrs):
    q = Quantised()
    y = q.op(op_type, q.quant("x", 0.031, 117), **attrs)
    check(q.model({"x": [2, 70, 9, 8]}, q.bytes(y, 0.0117, 131)), "QAveragePool" if attrs else "QGlobalAveragePool")


@pytest.mark.parametrize("x, attrs", [
    ([2, 70, 9, 8], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ([1, 5, 9], {"kernel_shape": [2], "dilations": [3]}),
    ([1, 3, 5, 6], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})], ids=str)
@pytest.mark.parametrize("kind", [np.uint8, np.int8], ids=str)
def test_the_largest(level, x, attrs, kind):
    q = Quantised()
    y = q.op("MaxPool", q.quant("x", 0.031, 17, kind), **attrs)
    check(q.model({"x": x}, q.bytes(y, 0.031, 17, kind)), "MaxPool")


def test_layers_are_computed_in_floats_where_bytes_have_no_dot_products(level):
    """Winograd's algorithm saves more than bytes do there; a sum and a table behind it are steps of their own."""
    q = Quantised()
    x = q.quant("x", 0.031, 100)
    a = q.quant(q.conv(x, 0.031, (32, 32, 3, 3), 0.02, pads=[1, 1, 1, 1]), 0.2511, 91)
    y = q.bytes(q.op("Add", q.quant(q.conv(a, 0.2511, (32, 32, 3, 3), 0.01, pads=[1, 1, 1, 1]), 0.3017, 131), x), 0.3017, 3)
    proto = q.model({"x": [1, 32, 28, 28]}, y)
    with using(ROWS["zen5"]), fastcnn.load(proto, threads=1) as loaded:
        algorithms = {choice.algorithm for choice in loaded.choices()}
    assert algorithms == ({"8-bit GEMM through a band"} if "vnni" in level or "amx" in level else {"Winograd F(4,3)"}), algorithms
    check(proto, "QConv")


def test_floats_of_what_several_products_read_are_made_once(level, monkeypatch):
    """Where products are made of floats; of each zero point, here one."""
    kinds, emit = [], StageLowering.emit

    def noting(self, kind, *rest, **fields):
        kinds.append(kind)
        emit(self, kind, *rest, **fields)

    monkeypatch.setattr(StageLowering, "emit", noting)
    monkeypatch.setattr(in_floats, "pays", lambda problem: True)
    monkeypatch.setattr(stage, "has_dots", lambda: True)        # or values would be floats in memory as well
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    y = [q.bytes(q.conv(x, 0.031, (7, 5, k, k), SCALES, pads=[k // 2] * 4), 0.2113, 131) for k in (1, 3)]
    check(q.model({"x": [1, 5, 9, 8]}, *y), "QConv")
    assert kinds.count("dequantise") == 1 and kinds.count("quantise") == 3
