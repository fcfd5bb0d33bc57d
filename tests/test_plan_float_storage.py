"""Values of bytes that lie in memory as floats where nothing multiplies bytes: which, and that the numbers are those of bytes."""
from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from quantized_models import Quantised, agree
from test_ops_quantized import (  # the same operators, here on floats
    SCALES,
    test_a_sum_is_rounded_twice,
    test_convolutions,
    test_convolutions_dilated_far,
    test_depthwise_convolutions,
    test_narrow_groups_are_joined,
    test_ties_go_to_the_even_neighbour,
    test_transposed_convolutions,
    test_volumes,
)

import fastcnn
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.quantized_gemm import has_dots
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.fusions import conv_depthwise, conv_pool, rounded_product
from fastcnn.ops.quantized import in_floats
from fastcnn.plan import float_storage
from fastcnn.plan.lowering import StageLowering
from fastcnn.reference import evaluate_graph

REUSED = (test_a_sum_is_rounded_twice, test_convolutions, test_convolutions_dilated_far, test_depthwise_convolutions,
          test_narrow_groups_are_joined, test_ties_go_to_the_even_neighbour, test_transposed_convolutions, test_volumes)
SIDE = 9


@pytest.fixture(autouse=True)
def floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has a form on floats takes it."""
    monkeypatch.setattr(float_storage, "_costs", lambda bound, b: (1e9, 0.0))


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the steps that are emitted."""
    emitted: list[str] = []
    emit = StageLowering.emit

    def noting(self: StageLowering, kind: str, operands: Sequence[Any], work: int, /, **fields: Any) -> None:
        emitted.append(kind)
        emit(self, kind, operands, work, **fields)

    monkeypatch.setattr(StageLowering, "emit", noting)
    return emitted


def check(proto: ModelProto, quantum: float = 1.0) -> None:
    """Results of several layers are within a quantum of the definition's."""
    with fastcnn.load(proto, threads=2) as loaded:
        graph = loaded._default.graph
        rng = np.random.default_rng(0)
        feeds = {i.name: (rng.normal(size=i.shape) * 4).astype(np.float32) for i in graph.inputs}
        got = loaded.run(None, feeds)
        assert not loaded.fallback_nodes
    for g, w in zip(got, evaluate_graph(graph, feeds).values()):
        agree(g, w, quantum, share=0.02)


def conv(q: Quantised, x: str, scale: float, shape: tuple[int, ...] = (7, 7, 3, 3), **attrs: Any) -> str:
    return q.conv(x, scale, shape, SCALES, **{"pads": [shape[-1] // 2] * 4, **attrs})


@pytest.mark.parametrize("relu", [False, True])
def test_bytes_are_made_at_the_end_alone(level: str, kinds: list[str], relu: bool) -> None:
    q = Quantised()
    x, scale = q.quant("x", 0.031, 117), 0.031
    for zero in (131, 90, 3):
        y = conv(q, x, scale)
        scale *= 10     # a quantum here is less than one of the next value
        x = q.quant(q.op("Relu", y) if relu else y, scale, zero)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(conv(q, x, scale), 10 * scale, 100)))
    if not has_dots():
        assert (kinds.count("quantise"), kinds.count("dequantise")) == (1, 0), kinds


@pytest.mark.parametrize("moved", [
    ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}), ("Transpose", {"perm": [0, 1, 3, 2]}), ("Identity", {})], ids=str)
def test_floats_are_moved_between_products(level: str, kinds: list[str], moved: tuple[str, dict[str, Any]]) -> None:
    q = Quantised()
    a = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131)
    b = q.quant(q.op(moved[0], a, **moved[1]), 0.3113, 131)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(conv(q, b, 0.3113), 3.1, 100)))
    if not has_dots():
        assert (kinds.count("quantise"), kinds.count("dequantise")) == (1, 0), kinds


@pytest.mark.parametrize("scales", [(0.3, 0.3), (0.2113, 0.3), (0.3, 0.4117)], ids=str)
def test_joined_values_get_the_scale_of_all(level: str, kinds: list[str], scales: tuple[float, float]) -> None:
    """U-Net's joins: one of them is read before it is joined, too. A change of scale is a table of bytes."""
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    a, b = (q.quant(conv(q, x, 0.031), scale, zero) for scale, zero in zip(scales, (131, 17)))
    joined = q.quant(q.op("Concat", a, b, axis=1), 0.3, 131)
    y = q.bytes(q.conv(joined, 0.3, (7, 14, 3, 3), SCALES), 3.1, 100)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, y, q.bytes(conv(q, a, scales[0]), 3.1, 9)))
    if not has_dots():
        assert (kinds.count("quantise"), kinds.count("dequantise"), kinds.count("table")) == (2, 0, 0), kinds


def test_a_change_of_scale_follows_what_makes_the_value(level: str, kinds: list[str]) -> None:
    """In the file it stands before the join, two convolutions later."""
    q = Quantised()
    first = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.2113, 131)
    last = q.quant(conv(q, q.quant(conv(q, first, 0.2113), 2.1, 90), 2.1), 21.0, 131)
    y = q.quant(q.op("Concat", first, last, axis=1), 21.0, 131)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(q.conv(y, 21.0, (7, 14, 3, 3), SCALES), 210.0, 100)))
    scaled = len(kinds) - 1 - kinds[::-1].index("table" if has_dots() else "round_sum")
    assert sum(kind in ("qconv", "conv", "winograd", "im2col") for kind in kinds[:scaled]) == 1, kinds


def test_what_others_read_is_bytes_too(level: str, kinds: list[str]) -> None:
    """A table that is no change of scale, and an output read bytes; so one value is both."""
    q = Quantised()
    a = conv(q, q.quant("x", 0.031, 117), 0.031)
    out = q.bytes(a, 0.3113, 131)
    value = q.op("DequantizeLinear", out, *q.scale(0.3113, 131))
    y = conv(q, value, 0.3113, (7, 7, 1, 1))
    z = q.op("Tanh", value)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, out, q.bytes(y, 3.1, 100), q.bytes(z, 0.0078, 128)))


@pytest.mark.parametrize("pool", [("GlobalAveragePool", {}), ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
                                  ("AveragePool", {"kernel_shape": [2, 3], "strides": [2, 1], "ceil_mode": 1, "count_include_pad": 1})],
                         ids=str)
def test_means(level: str, kinds: list[str], pool: tuple[str, dict[str, Any]]) -> None:
    q = Quantised()
    a = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(q.op(pool[0], a, **pool[1]), 0.2177, 100)))
    if not has_dots():
        assert kinds.count("qpool") == 0, kinds


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("zeros", [(0, 0), (117, 131)], ids=str)
def test_residuals_are_added_in_the_tiles(level: str, kinds: list[str], kernel: int, zeros: tuple[int, int]) -> None:
    """Behind the first rounding; of a depthwise convolution by a step of its own."""
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    a = q.quant(conv(q, x, 0.031), 0.3113, 131)
    y = q.quant(conv(q, a, 0.3113, (7, 7, kernel, kernel)), 1.21, zeros[0])
    y = q.quant(q.op("Add", y, a), 1.51, zeros[1])
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(conv(q, y, 1.51), 15.1, 100)))
    if not has_dots():
        assert (kinds.count("round_sum"), kinds.count("qadd")) == (1, 0), kinds     # of the input


def test_a_residual_of_a_depthwise_convolution(level: str, kinds: list[str]) -> None:
    q = Quantised()
    a = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131)
    y = q.quant(conv(q, a, 0.3113, (7, 1, 3, 3), group=7), 1.21, 117)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(conv(q, q.quant(q.op("Add", y, a), 1.51, 90), 1.51), 15.1, 100)))


@pytest.mark.parametrize("shape, attrs", [((7, 7, 1, 1), {}), ((7, 7, 3, 3), {}), ((7, 1, 3, 3), {"group": 7}),
                                          ((7, 1, 5, 5), {"group": 7, "strides": [2, 2]})], ids=str)
def test_tables_behind_convolutions(level: str, kinds: list[str], shape: tuple[int, ...], attrs: dict[str, Any]) -> None:
    """SiLU with its sigmoid as bytes."""
    q = Quantised()
    a = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131)
    y = q.quant(conv(q, a, 0.3113, shape, **attrs), 0.151, 120)
    z = q.quant(q.op("Mul", y, q.quant(q.op("Sigmoid", y), 1 / 255, 0)), 0.11, 3)
    check(q.model({"x": [2, 7, 20, 20]}, q.bytes(conv(q, z, 0.11), 3.1, 100)))
    if not has_dots():
        assert (kinds.count("quantise"), kinds.count("table"), kinds.count("lookup")) == (1, 0, 0), kinds


def test_a_table_by_itself(level: str, kinds: list[str]) -> None:
    """Behind a transposed convolution, whose steps have none."""
    q = Quantised()
    y = q.quant(q.op("ConvTranspose", q.quant("x", 0.031, 117), q.weights((7, 7, 2, 2), SCALES, axis=1), strides=[2, 2]), 0.2113, 131)
    check(q.model({"x": [2, 7, 5, SIDE]}, q.bytes(conv(q, q.quant(q.op("Tanh", y), 0.0078, 128), 0.0078), 0.31, 100)))
    if not has_dots():
        assert kinds.count("lookup") == 1 and "table" not in kinds, kinds


@pytest.mark.parametrize("side", [6, 40])
def test_one_number_a_channel(level: str, kinds: list[str], monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """A squeeze-and-excitation block: the product on its way to the 1x1 convolution that reads it where the map is large."""
    monkeypatch.setattr(rounded_product, "SHARE_OF_L2", 0)
    q = Quantised()
    a = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131)
    s = q.quant(conv(q, q.quant(q.op("GlobalAveragePool", a), 0.031, 90), 0.031, (7, 7, 1, 1)), 0.0117, 90)
    for swapped in (False, True):
        y = q.quant(q.op("Mul", *((s, a) if swapped else (a, s))), 0.2113, 131)
        a = q.quant(conv(q, y, 0.2113, (7, 7, 1, 1)), 0.3113, 131)
    check(q.model({"x": [2, 7, side, side]}, q.bytes(a, 0.3113, 131)))
    if not has_dots():
        assert kinds.count("round_product") == 2 * (side < rounded_product.NARROWEST) and "qmul" not in kinds, kinds


def test_a_normalisation_is_rounded_in_the_band(level: str, kinds: list[str]) -> None:
    """DenseNet's layers."""
    q = Quantised()
    a = q.op("DequantizeLinear", q.bytes(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131), *q.scale(0.3113, 131))
    rng = np.random.default_rng(3)
    norm = [q.constant(rng.uniform(0.5, 2, 7).astype(np.float32)) for _ in range(4)]
    b = q.quant(q.op("Relu", q.op("BatchNormalization", q.op("Neg", a), *norm)), 0.2, 0)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, q.bytes(conv(q, b, 0.2, (7, 7, 1, 1)), 3.1, 100)))
    if not has_dots():
        assert "scale_shift" not in kinds and "quantise_scaled" not in kinds, kinds


@pytest.mark.parametrize("after", ["", "pool", "depthwise"])
@pytest.mark.parametrize("stride, kernel", [(2, 3), (1, 3), (1, 5)])
def test_an_image_is_rounded_in_the_band(level: str, kinds: list[str], monkeypatch: pytest.MonkeyPatch, after: str, stride: int,
                                         kernel: int) -> None:
    """Of the first convolution, alone and in a step with its reader; by a step of its own where that reads pixels."""
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 0)
    q = Quantised()
    a = q.quant(conv(q, q.quant("x", 0.031, 117), 0.031, (7, 3, kernel, kernel), strides=[stride] * 2), 0.3113, 131)
    if after == "pool":
        a = q.quant(q.op("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 0.3113, 131)
    elif after == "depthwise":
        a = q.quant(conv(q, a, 0.3113, (7, 1, 3, 3), group=7), 0.3113, 131)
    check(q.model({"x": [2, 3, 20, 22]}, q.bytes(conv(q, a, 0.3113, (7, 7, 1, 1)), 3.1, 100)))
    if not has_dots() and (stride, kernel) == (2, 3):
        assert "round_sum" not in kinds, kinds


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 7)], ids=str)
def test_rows(level: str, shape: tuple[int, ...]) -> None:
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    y = q.quant(q.op("MatMul", x, q.weights((7, 5), SCALES[:5], axis=1)), 0.2113, 131)
    z = q.op("MatMul", y, q.weights((5, 7), SCALES, axis=1))
    check(q.model({"x": shape}, q.bytes(z, 0.7, 100)))


def test_results_as_floats(level: str) -> None:
    """Of a product itself, and of one that is rounded before."""
    q = Quantised()
    x = q.quant("x", 0.031, 117)
    a = q.quant(conv(q, x, 0.031), 0.3113, 131)
    check(q.model({"x": [2, 7, SIDE, SIDE]}, conv(q, a, 0.3113), q.op("Neg", q.quant(conv(q, a, 0.3113), 3.1, 100))), quantum=3.1)


def test_plans_of_several_shapes_share_the_weights(level: str) -> None:
    q = Quantised()
    y = q.bytes(conv(q, q.quant(conv(q, q.quant("x", 0.031, 117), 0.031), 0.3113, 131), 0.3113), 0.9, 100)
    with fastcnn.load(q.model({"x": ["n", 7, "h", SIDE]}, y), threads=1) as loaded:
        loaded(np.zeros((1, 7, 9, SIDE), np.float32))
        packs = dict(loaded._default.planning.packs)
        loaded(np.zeros((1, 7, 8, SIDE), np.float32))
        assert packs.keys() == loaded._default.planning.packs.keys()


def test_the_least_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chain whose ends are faster on bytes and whose middle is faster on floats, by more than the conversions take."""
    choices = float_storage.Choices([], [(0.0, 1e4), (5e5, 0.0), (10.0, 0.0), (5e5, 0.0), (0.0, 1e4)], {f"v{k}": 1000 for k in range(4)},
                                    {f"v{k}": k for k in range(4)}, {f"v{k}": [k + 1] for k in range(4)})
    nodes = [type("B", (), {"node": type("N", (), {"reads": (f"v{k - 1}",) if k else (), "outputs": (f"v{k}",)})}) for k in range(5)]
    choices.nodes = nodes       # type: ignore[assignment]
    assert choices.best() == [float_storage.BYTES, *[float_storage.FLOATS] * 3, float_storage.BYTES]


def test_bytes_or_floats_whatever_the_number_of_threads(monkeypatch):
    """A product of floats rounds otherwise than one of bytes: what is chosen for one thread is chosen for all."""
    monkeypatch.setattr(in_floats, "has_dots", lambda: False)
    for ic, oc, extent in itertools.product((1, 8, 24, 112), (3, 16, 64), (1, 4, 14)):
        shape = ConvShape(1, 1, ic, oc, 3, 3, 1, 1, 1, 1, 1, 1, extent, extent, extent, extent, arithmetic=U8S8)
        assert len({in_floats.pays(Problem(shape, own_places(shape), threads)) for threads in (1, 2, 8)}) == 1
