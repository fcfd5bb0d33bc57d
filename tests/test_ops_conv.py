"""Conv, ConvTranspose, Gemm, MatMul as models of one node against onnxruntime, and what convolution keeps by any kernel."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from single_node import check_fallback, check_native, expected_outputs, single_node

import fastcnn
from fastcnn.ops.convolution import conv_transpose

RTOL = 1e-5


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """x and w shapes and attributes; ids say what is special."""

    name: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    bias: bool = True

    def __str__(self) -> str:
        return self.name

    def inputs(self, outputs: int) -> dict[str, np.ndarray]:
        fan = np.float32(np.prod(self.w[1:]) ** 0.5)
        tensors = {"x": normal(*self.x), "w": normal(*self.w, seed=1) / fan}
        return {**tensors, "b": normal(outputs, seed=2)} if self.bias else tensors


CONV = [
    Case("pointwise", (1, 8, 7, 7), (16, 8, 1, 1)),
    Case("pointwise of a batch", (5, 17, 6, 5), (9, 17, 1, 1), bias=False),
    Case("pointwise on large planes", (2, 8, 11, 13), (30, 8, 1, 1)),
    Case("pointwise on large planes without bias", (1, 5, 10, 10), (3, 5, 1, 1), bias=False),
    Case("pointwise on large planes, 3 groups", (2, 9, 10, 11), (15, 3, 1, 1), {"group": 3}),
    Case("pointwise on long lines", (2, 6, 130), (7, 6, 1)),
    Case("3-D pointwise on large planes", (2, 6, 4, 6, 7), (33, 6, 1, 1, 1)),
    Case("pointwise strided", (2, 6, 9, 10), (7, 6, 1, 1), {"strides": [2, 3]}),
    Case("pointwise padded", (1, 6, 5, 5), (7, 6, 1, 1), {"pads": [1, 2, 0, 1]}),
    Case("one pixel", (1, 33, 1, 1), (65, 33, 1, 1)),
    Case("3x3", (1, 16, 14, 14), (32, 16, 3, 3), {"pads": [1, 1, 1, 1]}),
    Case("3x3 without padding", (2, 3, 11, 13), (5, 3, 3, 3)),
    Case("3x3 wide, by Winograd", (1, 64, 28, 28), (64, 64, 3, 3), {"pads": [1, 1, 1, 1]}),
    Case("3x3 of many channels on a small map", (1, 256, 7, 7), (256, 256, 3, 3), {"pads": [1, 1, 1, 1]}),
    Case("3x3 stride 2", (1, 16, 15, 14), (24, 16, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("3x3 stride 2, by Winograd", (2, 64, 57, 58), (72, 64, 3, 3), {"pads": [1, 0, 1, 2], "strides": [2, 2]}),
    Case("3x3 dilated", (1, 8, 16, 15), (12, 8, 3, 3), {"pads": [2, 3, 2, 3], "dilations": [2, 3]}),
    Case("7x7 stride 2, the first layer of ResNet", (1, 3, 56, 56), (64, 3, 7, 7),
         {"pads": [3, 3, 3, 3], "strides": [2, 2]}),
    Case("5x5", (1, 6, 14, 14), (16, 6, 5, 5)),
    Case("1x7", (1, 12, 17, 17), (13, 12, 1, 7), {"pads": [0, 3, 0, 3]}),
    Case("7x1", (1, 12, 17, 17), (13, 12, 7, 1), {"pads": [3, 0, 3, 0]}),
    Case("5x5 wide, by Winograd", (1, 48, 19, 17), (64, 48, 5, 5), {"pads": [2, 2, 2, 2]}),
    Case("4x4 wide, by Winograd", (1, 32, 29, 31), (32, 32, 4, 4), {"pads": [1, 1, 1, 1]}),
    Case("2x2 wide, by Winograd", (2, 64, 33, 31), (64, 64, 2, 2), {"pads": [0, 0, 1, 1]}),
    Case("3x3 dilated by 2 and 4, by Winograd", (1, 64, 28, 32), (64, 64, 3, 3), {"pads": [2, 4, 2, 4], "dilations": [2, 4]}),
    Case("5x5 dilated, by Winograd", (1, 32, 28, 28), (48, 32, 5, 5), {"pads": [4, 4, 4, 4], "dilations": [2, 2]}),
    Case("1x7 wide, by Winograd", (1, 64, 17, 17), (96, 64, 1, 7), {"pads": [0, 3, 0, 3]}),
    Case("7x1 wide, by Winograd", (2, 64, 17, 16), (96, 64, 7, 1), {"pads": [3, 0, 2, 0]}),
    Case("1x3 wide, by Winograd", (1, 64, 28, 30), (64, 64, 1, 3), {"pads": [0, 1, 0, 2]}),
    Case("3x1 wide, by Winograd", (1, 64, 28, 30), (64, 64, 3, 1)),
    Case("even kernel", (1, 5, 8, 9), (6, 5, 2, 4), {"pads": [1, 2, 0, 1]}),
    Case("asymmetric pads", (1, 4, 9, 7), (5, 4, 3, 3), {"pads": [0, 2, 3, 1]}),
    Case("more padding than kernel", (1, 4, 3, 3), (5, 4, 3, 3), {"pads": [4, 4, 4, 4]}),
    Case("kernel as large as the image", (2, 5, 6, 7), (8, 5, 6, 7)),
    Case("SAME_UPPER", (1, 3, 10, 11), (4, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("SAME_LOWER", (1, 3, 10, 11), (4, 3, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("VALID", (1, 3, 10, 11), (4, 3, 4, 3), {"auto_pad": "VALID", "strides": [2, 1]}),
    Case("2 groups", (1, 8, 9, 9), (6, 4, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    Case("32 groups, ResNeXt", (1, 128, 14, 14), (128, 4, 3, 3), {"group": 32, "pads": [1, 1, 1, 1]}),
    Case("7 groups of 24, RegNetY", (1, 168, 14, 14), (168, 24, 3, 3), {"group": 7, "pads": [1, 1, 1, 1]}),
    Case("5 groups of 24, stride 2", (2, 120, 13, 16), (120, 24, 3, 3), {"group": 5, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("4 groups of 12", (1, 48, 9, 9), (48, 12, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}, bias=False),
    Case("3 groups of 24, each by Winograd", (1, 72, 40, 40), (72, 24, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    Case("2 groups of 32, each by Winograd", (1, 64, 40, 40), (96, 32, 3, 3), {"group": 2, "pads": [1, 0, 1, 2]}),
    Case("4 groups of one channel, pointwise", (1, 4, 5, 7), (16, 1, 1, 1), {"group": 4}, bias=False),
    Case("one column wide, dilated and strided", (1, 15, 6, 1), (13, 15, 1, 1),
         {"dilations": [3, 2], "strides": [1, 2], "pads": [1, 3, 0, 0]}),
    Case("3 groups, pointwise", (2, 9, 8, 8), (15, 3, 1, 1), {"group": 3}),
    Case("depthwise 3x3", (1, 32, 14, 14), (32, 1, 3, 3), {"group": 32, "pads": [1, 1, 1, 1]}),
    Case("depthwise 3x3 stride 2", (2, 19, 15, 14), (19, 1, 3, 3),
         {"group": 19, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("depthwise 5x5", (1, 40, 12, 12), (40, 1, 5, 5), {"group": 40, "pads": [2, 2, 2, 2]}),
    Case("depthwise dilated", (1, 16, 20, 20), (16, 1, 3, 3), {"group": 16, "pads": [4, 4, 4, 4], "dilations": [4, 4]}),
    Case("depthwise asymmetric", (1, 7, 9, 9), (7, 1, 2, 3), {"group": 7, "pads": [0, 1, 1, 2]}),
    Case("depthwise, two filters a channel", (1, 12, 9, 9), (24, 1, 3, 3), {"group": 12, "pads": [1, 1, 1, 1]}),
    Case("1-D", (2, 5, 40), (7, 5, 9), {"pads": [4, 4]}),
    Case("1-D wide, by Winograd", (2, 64, 300), (64, 64, 5), {"pads": [2, 2]}),
    Case("1-D dilated, by Winograd", (3, 64, 400), (64, 64, 5), {"pads": [16, 0], "dilations": [4]}),
    Case("1x7 dilated, by Winograd", (2, 64, 9, 40), (96, 64, 1, 7), {"pads": [0, 6, 0, 6], "dilations": [1, 2]}),
    Case("7x1 dilated, by Winograd", (2, 64, 40, 9), (96, 64, 7, 1), {"pads": [6, 0, 6, 0], "dilations": [2, 1]}),
    Case("1-D strided, dilated", (1, 4, 33), (6, 4, 3), {"strides": [2], "dilations": [3], "pads": [2, 0]}),
    Case("1-D depthwise", (1, 16, 50), (16, 1, 5), {"group": 16, "pads": [2, 2]}),
    Case("3-D", (1, 3, 5, 6, 7), (4, 3, 3, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}),
    Case("3-D strided", (2, 4, 6, 7, 5), (5, 4, 2, 3, 1), {"strides": [2, 1, 2], "pads": [0, 1, 0, 1, 1, 0]}),
    Case("3-D depth dilated", (2, 4, 7, 6, 5), (5, 4, 3, 3, 3), {"dilations": [2, 1, 1], "pads": [2, 1, 1, 1, 1, 1]}),
    Case("3-D depth dilated, by Winograd", (1, 64, 5, 28, 28), (64, 64, 3, 3, 3), {"dilations": [2, 1, 1], "pads": [2, 1, 1, 2, 1, 1]}),
    Case("3-D grouped, by Winograd", (1, 128, 3, 28, 28), (128, 64, 3, 3, 3), {"group": 2, "pads": [1] * 6}),
    Case("3-D grouped", (2, 6, 5, 6, 5), (8, 3, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1, 1, 1]}),
    Case("3-D depthwise", (2, 17, 5, 6, 7), (17, 1, 3, 3, 3), {"group": 17, "pads": [1] * 6, "strides": [2, 1, 1]}),
    Case("3-D pointwise", (2, 6, 5, 6, 7), (9, 6, 1, 1, 1)),
    Case("3-D pointwise strided", (2, 6, 5, 6, 7), (9, 6, 1, 1, 1), {"strides": [2, 2, 2]}),
    Case("3-D one deep", (2, 6, 5, 6, 7), (9, 6, 1, 3, 3), {"pads": [0, 1, 1, 0, 1, 1], "strides": [2, 1, 1]}),
    Case("3-D one deep, depthwise", (1, 16, 5, 6, 7), (16, 1, 1, 3, 3), {"pads": [0, 1, 1, 0, 1, 1], "group": 16}),
    Case("3-D one deep, padded depth", (1, 6, 3, 6, 7), (5, 6, 1, 1, 1), {"pads": [2, 0, 0, 1, 0, 0]}),
    Case("3-D only deep", (1, 6, 7, 6, 5), (5, 6, 3, 1, 1), {"pads": [1, 0, 0, 1, 0, 0]}),
]


@pytest.mark.parametrize("case", CONV, ids=str)
def test_conv_against_onnxruntime(case):
    check_native("Conv", case.inputs(case.w[0]), ("w", "b"), RTOL, **case.attrs)


@pytest.mark.parametrize("opset", [7, 11, 22])
def test_conv_every_version(opset):
    check_native("Conv", CONV[0].inputs(16), ("w", "b"), RTOL, opset=opset)


def test_conv_bias_computed_at_run_time():
    case = Case("", (1, 8, 7, 7), (16, 8, 3, 3))
    check_native("Conv", case.inputs(16), ("w",), RTOL)


@pytest.mark.parametrize("case", CONV, ids=str)
def test_conv_weights_computed_at_run_time(case):
    check_native("Conv", case.inputs(case.w[0]), (), RTOL, **case.attrs)


def test_conv_three_axes_with_a_huge_window_falls_back():
    check_fallback("Conv", Case("", (1, 2, 2, 20, 20), (2, 2, 2, 18, 18)).inputs(2), ("w", "b"))


TRANSPOSED = [
    Case("2x2 stride 2, U-Net's", (1, 16, 8, 8), (16, 8, 2, 2), {"strides": [2, 2]}),
    Case("3x3", (1, 5, 6, 7), (5, 4, 3, 3)),
    Case("3x3 stride 2 with output_padding", (1, 5, 6, 7), (5, 4, 3, 3),
         {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    Case("4x4 stride 2, by Winograd", (2, 64, 32, 30), (64, 48, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("4x4 stride 2, DCGAN's", (2, 6, 5, 5), (6, 9, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("stride larger than kernel", (1, 3, 4, 5), (3, 4, 2, 2), {"strides": [3, 4]}),
    Case("dilated", (1, 3, 6, 5), (3, 4, 3, 3), {"dilations": [2, 3]}),
    Case("dilated and strided", (1, 3, 6, 5), (3, 4, 3, 3),
         {"dilations": [2, 2], "strides": [2, 3], "pads": [1, 0, 2, 1]}),
    Case("asymmetric pads", (1, 3, 6, 5), (3, 4, 4, 3), {"strides": [2, 1], "pads": [0, 1, 2, 0]}),
    Case("2 groups", (1, 6, 5, 5), (6, 4, 3, 3), {"group": 2, "strides": [2, 2]}),
    Case("2 groups of one channel, phases of one tap", (1, 2, 5, 6), (2, 3, 1, 3), {"group": 2, "strides": [1, 3]}),
    Case("depthwise", (1, 8, 5, 6), (8, 1, 4, 4), {"group": 8, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("output_shape", (1, 3, 5, 5), (3, 4, 3, 3), {"strides": [2, 2], "output_shape": [10, 10]}),
    Case("SAME_UPPER", (1, 3, 5, 5), (3, 4, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("SAME_LOWER", (1, 3, 5, 5), (3, 4, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    Case("SAME_UPPER with gaps", (1, 3, 5, 5), (3, 4, 2, 2), {"strides": [3, 2], "auto_pad": "SAME_UPPER"}),
    Case("bilinear x8, FCN's", (1, 2, 7, 7), (2, 2, 16, 16), {"strides": [8, 8], "pads": [4, 4, 4, 4]}),
    Case("without bias", (1, 3, 5, 5), (3, 4, 3, 3), {"strides": [2, 2]}, bias=False),
    Case("1-D", (1, 6, 11), (6, 5, 4), {"strides": [2], "pads": [1, 1]}),
    Case("3-D", (2, 5, 4, 5, 6), (5, 4, 3, 3, 3)),
    Case("3-D U-Net's", (1, 8, 3, 4, 5), (8, 6, 2, 2, 2), {"strides": [2, 2, 2]}),
    Case("3-D padded", (2, 5, 4, 5, 3), (5, 4, 3, 4, 3), {"strides": [2, 2, 1], "pads": [1, 1, 0, 1, 2, 1], "output_padding": [1, 0, 0]}),
    Case("3-D stride larger than kernel", (1, 3, 3, 4, 3), (3, 4, 2, 2, 2), {"strides": [3, 3, 4]}),
    Case("3-D dilated", (1, 3, 4, 4, 5), (3, 4, 3, 2, 3), {"dilations": [2, 1, 2], "pads": [1, 0, 1, 1, 0, 1]}),
    Case("3-D grouped", (2, 6, 3, 4, 5), (6, 4, 3, 3, 3), {"group": 2, "strides": [2, 2, 2], "pads": [1] * 6}),
    Case("3-D depthwise", (1, 8, 3, 4, 5), (8, 1, 4, 4, 4), {"group": 8, "strides": [2, 2, 2], "pads": [1] * 6}),
]


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_conv_transpose_against_onnxruntime(case):
    check_native("ConvTranspose", case.inputs(case.w[1] * case.attrs.get("group", 1)), ("w", "b"), RTOL, **case.attrs)


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_conv_transpose_weights_computed_at_run_time(case):
    check_native("ConvTranspose", case.inputs(case.w[1] * case.attrs.get("group", 1)), (), RTOL, **case.attrs)


OVERLAPPING = [
    Case("inverse Fourier transform", (1, 130, 9), (130, 1, 128), {"strides": [32], "pads": [16, 16]}),
    Case("vocoder's end", (2, 32, 23), (32, 3, 16), {"strides": [5], "pads": [3, 2], "output_padding": [1]}),
    Case("mask of one channel", (1, 48, 11, 13), (48, 1, 8, 8), {"strides": [4, 4], "pads": [2, 2, 2, 2]}),
    Case("picture", (1, 40, 9, 8), (40, 3, 9, 9), {"strides": [3, 2], "pads": [3, 4, 3, 4]}),
]


@pytest.mark.parametrize("as_product", [True, False])
@pytest.mark.parametrize("case", TRANSPOSED + OVERLAPPING, ids=str)
def test_conv_transpose_as_a_product_and_by_phases(case, as_product, monkeypatch):
    monkeypatch.setattr(conv_transpose, "takes_product", lambda shape, joins: as_product)
    inputs = case.inputs(case.w[1] * case.attrs.get("group", 1))
    check_native("ConvTranspose", inputs, ("w", "b"), RTOL, **case.attrs)
    check_native("ConvTranspose", inputs, (), RTOL, threads=3, **case.attrs)


@pytest.mark.parametrize("case", OVERLAPPING, ids=str)
@pytest.mark.parametrize("machine", ["haswell", "zen4", "zen5", "sapphire_rapids"])
def test_conv_transpose_to_few_channels_is_one_product(case, machine, plan_for):
    plan_for(machine)
    model = single_node("ConvTranspose", case.inputs(case.w[1]), ("w", "b"), **case.attrs)
    with fastcnn.load(model, threads=1) as session:
        session.run(None, {"x": normal(*case.x)})
        assert len(session.choices()) == 1


def test_conv_transpose_as_a_product_keeps_what_outputs_do_not_see_apart():
    """One NaN of x reaches the outputs of its own window and no others."""
    case = OVERLAPPING[2]
    values = case.inputs(1)
    values["x"][0, 5, 4, 6] = np.nan
    with fastcnn.load(single_node("ConvTranspose", values, ("w", "b"), **case.attrs), threads=1) as session:
        y, = session.run(None, {"x": values["x"]})
    seen = np.zeros_like(y, bool)
    seen[:, :, 14:22, 22:30] = True
    np.testing.assert_array_equal(np.isnan(y), seen)


RESIDUAL = [case for case in CONV + TRANSPOSED if len(case.x) == 5]


@pytest.mark.parametrize("case", RESIDUAL, ids=str)
def test_conv_three_axes_residual_and_activation_after_the_whole_sum(case):
    op_type = "Conv" if case in CONV else "ConvTranspose"
    m = case.w[0] if op_type == "Conv" else case.w[1] * case.attrs.get("group", 1)
    values = case.inputs(m)
    nodes = [helper.make_node(op_type, ["x", "w", "b"], ["a"], **case.attrs),
             helper.make_node(op_type, ["x", "w", "b"], ["c"], **case.attrs),
             helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Add", ["a", "s"], ["t"]),
             helper.make_node("LeakyRelu", ["t"], ["y"], alpha=0.3)]
    graph = helper.make_graph(nodes, "pair", [helper.make_tensor_value_info("x", TensorProto.FLOAT, case.x)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(values[name], name) for name in ("w", "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    got, = fastcnn.load(model, threads=2).run(None, {"x": values["x"]})
    wanted, = expected_outputs(model, {"x": values["x"]})
    np.testing.assert_allclose(got, wanted, rtol=0, atol=RTOL * np.abs(wanted).max())


def test_nodes_that_share_weights_pack_them_by_their_own_groups():
    """One tensor w (16, 1, 1, 1): for one group of one channel, 4 groups and 16."""
    w, x = normal(16, 1, 1, 1), {f"x{g}": normal(1, g, 6, 7, seed=g) for g in (1, 4, 16)}
    nodes = [helper.make_node("Conv", [f"x{g}", "w"], [f"y{g}"], group=g) for g in (1, 4, 16)]
    graph = helper.make_graph(nodes, "shared", [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name, a in x.items()],
                              [helper.make_tensor_value_info(f"y{g}", TensorProto.FLOAT, None) for g in (1, 4, 16)],
                              [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for g, got in zip((1, 4, 16), fastcnn.load(model).run(None, x)):
        np.testing.assert_allclose(got, np.repeat(x[f"x{g}"], 16 // g, axis=1) * w[:, 0], rtol=1e-6)


@pytest.mark.parametrize("a, b, attrs", [
    ((1, 64), (64, 10), {}),
    ((5, 7), (7, 3), {"alpha": 0.5, "beta": 2.0}),
    ((7, 5), (7, 3), {"transA": 1}),
    ((5, 7), (3, 7), {"transB": 1}),
    ((7, 5), (3, 7), {"transA": 1, "transB": 1, "alpha": -1.5}),
    ((1, 4096), (4096, 100), {}),
    ((33, 129), (129, 65), {}),
], ids=str)
@pytest.mark.parametrize("c", ["none", "row", "scalar", "one row"])
def test_gemm_against_onnxruntime(a, b, attrs, c):
    n = b[0] if attrs.get("transB") else b[1]
    inputs = {"a": normal(*a), "b": normal(*b, seed=1) / np.float32(b[0] ** 0.5)}
    shape = {"row": (n,), "scalar": (1,), "one row": (1, n)}.get(c)
    if shape:
        inputs["c"] = normal(*shape, seed=2)
    check_native("Gemm", inputs, ("b", "c"), RTOL, **attrs)


@pytest.mark.parametrize("turned", [{}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1}], ids=str)
@pytest.mark.parametrize("c", [None, (37,), (1, 37)], ids=str)
def test_gemm_of_what_the_run_computes(c, turned):
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((13, 21), dtype=np.float32), rng.standard_normal((21, 37), dtype=np.float32)
    inputs = {"a": a.T.copy() if "transA" in turned else a, "b": b.T.copy() if "transB" in turned else b,
              "c": None if c is None else rng.standard_normal(c, dtype=np.float32)}
    check_native("Gemm", inputs, (), RTOL, **turned)


@pytest.mark.parametrize("a, b", [
    ((4, 5), (5, 6)), ((1, 300), (300, 40)), ((3, 4, 5), (5, 6)), ((2, 3, 4, 5), (5, 6)), ((2, 3, 4, 5), (2, 3, 5, 6)),
    ((3, 4, 5), (3, 5, 6)),
    ((2, 1, 4, 5), (3, 5, 6)), ((5,), (5, 6)), ((4, 5), (5,)), ((5,), (5,)), ((3, 4, 5), (5,)), ((5,), (3, 5, 6)),
    ((17, 64), (64, 33)),
], ids=str)
@pytest.mark.parametrize("constant", [(), ("b",), ("a",)], ids=["both computed", "b constant", "a constant"])
def test_matmul_against_onnxruntime(a, b, constant):
    check_native("MatMul", {"a": normal(*a), "b": normal(*b, seed=1)}, constant, RTOL)


@pytest.mark.parametrize("op, shapes, message", [
    ("Conv", {"x": (1, 4, 8, 8), "w": (6, 3, 3, 3)}, "4 channels"),
    ("Conv", {"x": (1, 4, 2, 2), "w": (6, 4, 3, 3)}, "does not fit"),
    ("ConvTranspose", {"x": (1, 4, 8, 8), "w": (3, 6, 3, 3)}, "4 channels"),
    ("Gemm", {"a": (2, 3), "b": (4, 5)}, "inner sizes 3 and 4"),
    ("MatMul", {"a": (2, 3), "b": (4, 5)}, "inner sizes 3 and 4"),
    ("MatMul", {"a": (2, 4, 3), "b": (5, 3, 5)}, "broadcast"),
], ids=str)
def test_shapes_that_do_not_fit_are_refused_at_load(op, shapes, message):
    inputs = {name: normal(*shape) for name, shape in shapes.items()}
    constants = [name for name in inputs if name in ("w", "b")]
    with pytest.raises((fastcnn.ShapeError, fastcnn.ModelError), match=f"node.*{message}|{message}"):
        fastcnn.load(single_node(op, inputs, constants))


# ---- properties ----


def convolution(w: np.ndarray, channels: int, group: int = 1, pads: int = 0) -> fastcnn.Model:
    """A convolution of any extent without bias."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=group, pads=[pads] * 4)
    graph = helper.make_graph([node], "conv",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, "h", "w"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [helper.make_tensor("w", TensorProto.FLOAT, w.shape, w.tobytes(), raw=True)])
    return fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), threads=2)


KINDS = {"pointwise": (8, 16, 1, 1), "3x3": (5, 7, 3, 1), "Winograd": (32, 32, 3, 1), "depthwise": (16, 16, 3, 16),
         "grouped": (12, 18, 3, 3),
         "5x5": (4, 6, 5, 1)}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(dy=st.integers(0, 4), dx=st.integers(0, 4), height=st.integers(6, 20), width=st.integers(6, 20),
       seed=st.integers(0, 1000))
def test_conv_of_a_shifted_image_is_the_shifted_result(kind, dy, dx, height, width, seed):
    ic, oc, kernel, group = KINDS[kind]
    model = convolution(normal(oc, ic // group, kernel, kernel, seed=seed), ic, group)
    image = normal(1, ic, height + 4, width + 4, seed=seed + 1)
    whole = model(image)
    part = model(image[:, :, dy:dy + height, dx:dx + width])
    expected = whole[:, :, dy:dy + part.shape[2], dx:dx + part.shape[3]]
    np.testing.assert_allclose(part, expected, rtol=0, atol=2e-5 * np.abs(whole).max())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][3] == 1])
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_conv_does_not_care_for_the_order_of_channels(kind, seed):
    ic, oc, kernel, _ = KINDS[kind]
    rng = np.random.default_rng(seed)
    w, x = normal(oc, ic, kernel, kernel, seed=seed), normal(1, ic, 12, 13, seed=seed + 1)
    inputs, outputs = rng.permutation(ic), rng.permutation(oc)
    y = convolution(w, ic, pads=kernel // 2)(x)
    permuted = convolution(np.ascontiguousarray(w[outputs][:, inputs]), ic, pads=kernel // 2)(x[:, inputs])
    np.testing.assert_allclose(permuted, y[:, outputs], rtol=0, atol=2e-5 * np.abs(y).max())


@settings(max_examples=10)
@given(scale=st.floats(-4, 4, width=32), seed=st.integers(0, 1000))
def test_conv_is_linear(scale, seed):
    model = convolution(normal(32, 32, 3, 3, seed=seed), 32, pads=1)
    a, b = normal(1, 32, 14, 14, seed=seed + 1), normal(1, 32, 14, 14, seed=seed + 2)
    expected = model(a) + np.float32(scale) * model(b)
    np.testing.assert_allclose(model(a + np.float32(scale) * b), expected, rtol=0,
                               atol=5e-5 * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_computed_bias_of_the_wrong_length_is_refused(operator):
    """A bias that only the run computes would be read past its end."""
    proto = helper.make_model(helper.make_graph(
        [helper.make_node(operator, ["x", "w", "b"], ["y"], name="short")], "bias",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, 4, 5, 5]), ("b", ["n"]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = fastcnn.load(proto, threads=1)
    x = np.ones((1, 4, 5, 5), np.float32)
    with pytest.raises(fastcnn.FastCNNError, match="short"):
        model.run(None, {"x": x, "b": np.ones(2, np.float32)})
    assert model.run(None, {"x": x, "b": np.ones(4, np.float32)})[0].shape[1] == 4
