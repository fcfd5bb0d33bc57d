"""Single nodes where onnx.reference is wrong or absent: a list of them each operator family."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from graph_helper import floats
from onnx import helper

from fastcnn.ir.graph import Node

MICROSOFT = "com.microsoft"
NO_ROI = np.zeros(0, np.float32)


@dataclass
class Case:
    """One node: operator, opset, inputs (None: omitted), attributes."""

    op: str
    opset: int
    inputs: list[Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = ""
    tolerance: float = 2e-5
    infers: bool = True

    def __str__(self) -> str:
        shapes = "-".join("x".join(map(str, np.shape(x))) for x in self.inputs if x is not None)
        return f"{self.op}-{self.opset}-{shapes}-{','.join(f'{k}={v}' for k, v in self.attrs.items())}"


def u8(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, shape).astype(np.uint8)


def i8(*shape: int) -> np.ndarray:
    return np.random.default_rng(4).integers(-127, 127, shape).astype(np.int8)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


F, U = np.float32, np.uint8


def softmaxes() -> list[Case]:
    return [
        Case(op, opset, [floats(2, 3, 4)], attrs)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for opset in (7, 11, 13)
        for attrs in ({}, {"axis": 0}, {"axis": 1}, {"axis": 2})
    ]


def pools() -> list[Case]:
    x, cases = floats(1, 2, 7, 8), []
    for attrs in ({"pads": [1, 0, 1, 1], "strides": [2, 2]}, {"pads": [1, 0, 1, 1], "strides": [2, 2], "ceil_mode": 1},
                  *({"auto_pad": a, "strides": [2, 3]} for a in ("SAME_UPPER", "SAME_LOWER", "VALID"))):
        window = {"kernel_shape": [3, 2], **attrs}
        cases += [Case("MaxPool", 12, [x], window, 2), Case("MaxPool", 12, [x], {**window, "storage_order": 1}, 2)]
        cases += [Case("AveragePool", 11, [x], {**window, "count_include_pad": c}) for c in (0, 1)]
        if "ceil_mode" not in attrs:
            cases += [Case("LpPool", 11, [x], {**window, "p": p}) for p in (1, 2, 3)]
    cases += [
        Case(
            "AveragePool",
            19,
            [x],
            {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1] * 4, "count_include_pad": c, "ceil_mode": m},
        )
        for c in (0, 1)
        for m in (0, 1)
    ]
    cases += [
        Case("MaxPool", 12, [x], {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [2, 1]}),
        Case("MaxPool", 12, [u8(1, 2, 5, 5)], {"kernel_shape": [2, 2], "pads": [1] * 4}),
        Case("MaxPool", 12, [i8(1, 2, 5, 5)], {"kernel_shape": [2, 2], "pads": [1] * 4}),
        Case("MaxPool", 12, [floats(1, 2, 9)], {"kernel_shape": [3]}),
        Case("AveragePool", 12, [floats(1, 2, 9)], {"kernel_shape": [3]}),
        Case("MaxPool", 12, [floats(1, 2, 5, 4, 6)], {"kernel_shape": [3, 2, 2]}, 2),
        Case("GlobalLpPool", 7, [x], {"p": 3}),
        Case("GlobalMaxPool", 7, [x]),
        Case("MaxUnpool", 11, [floats(1, 2, 2, 3), np.arange(12).reshape(1, 2, 2, 3)],
             {"kernel_shape": [1, 2], "strides": [1, 2], "pads": [0, 1, 0, 1]}),
        Case("MaxUnpool", 11, [floats(1, 2, 2, 3), np.arange(0, 48, 4).reshape(1, 2, 2, 3)], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        Case("LpNormalization", 7, [x], {"axis": 1, "p": 1}),
        Case("LpNormalization", 7, [x]),
    ]
    return cases


def convolutions() -> list[Case]:
    x, w, b = floats(1, 4, 7, 8), floats(6, 4, 3, 2), floats(6)
    cases = [
        Case("Conv", 11, [x, w, b], a)
        for a in (
            {},
            {"strides": [2, 3], "pads": [1, 0, 2, 1]},
            {"dilations": [2, 3]},
            *({"auto_pad": p, "strides": [2, 3]} for p in ("SAME_UPPER", "SAME_LOWER", "VALID")),
        )
    ]
    cases += [
        Case("Conv", 11, [x, floats(6, 2, 3, 2)], {"group": 2}),
        Case("Conv", 11, [x, floats(8, 1, 3, 2)], {"group": 4}),
        Case("Conv", 11, [floats(2, 4, 9), floats(6, 4, 3)], {"pads": [1, 2]}),
        Case("Conv", 11, [floats(1, 2, 5, 6, 4), floats(3, 2, 2, 2, 2)]),
    ]
    t = floats(4, 3, 3, 2)
    cases += [
        Case("ConvTranspose", 11, [x, t, floats(3)], a)
        for a in (
            {},
            {"strides": [2, 3], "pads": [1, 0, 1, 1]},
            {"strides": [2, 2], "output_padding": [1, 1]},
            {"strides": [2, 2], "output_shape": [14, 17]},
            {"strides": [2, 2], "output_shape": [14, 17], "auto_pad": "SAME_UPPER"},
            {"dilations": [2, 2]},
            *({"auto_pad": p, "strides": [2, 3]} for p in ("SAME_UPPER", "SAME_LOWER", "VALID")),
        )
    ]
    cases += [Case("ConvTranspose", 11, [x, t, floats(6)], {"group": 2, "strides": [2, 2]}),
              Case("ConvTranspose", 11, [floats(1, 4, 5), floats(4, 3, 3)], {"strides": [2]})]
    return cases


def resizes() -> list[Case]:
    x, cases = floats(1, 2, 4, 5), []
    for scales in ([1, 1, 2, 1.5], [1, 1, 0.5, 0.6], [1, 1, 33, 7.787879]):
        s = np.array(scales, F)
        cases += [
            Case(op, v, [x, s], {"mode": m})
            for op, v in (("Upsample", 9), ("Resize", 10))
            for m in ("nearest", "linear")
            if op == "Resize" or min(scales) >= 1
        ]
        for mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"):
            attrs = {"coordinate_transformation_mode": mode}
            cases += [Case("Resize", 11, [x, NO_ROI, s], {**attrs, "mode": "nearest", "nearest_mode": n})
                      for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")]
            cases += [Case("Resize", 11, [x, NO_ROI, s], {**attrs, "mode": m}) for m in ("linear", "cubic")]
    cases += [Case("Upsample", 7, [x], {"mode": m, "scales": [1.0, 1.0, 2.0, 3.0]}) for m in ("nearest", "linear")]
    cases += [
        Case("Resize", 13, [x, None, None, ints(1, 2, h, w)], {"mode": m, "coordinate_transformation_mode": c})
        for m in ("nearest", "linear", "cubic")
        for c in ("half_pixel", "pytorch_half_pixel", "align_corners")
        for h, w in ((7, 9), (1, 1))
    ]
    cases += [
        Case(
            "Resize",
            19,
            [x, None, np.array([1, 1, 2, 1.4], F)],
            {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        ),
        Case("Resize", 13, [x, None, np.array([1, 1, 2, 1.5], F)], {"mode": "cubic", "exclude_outside": 1}),
        Case("Resize", 18, [x, None, np.array([0.5, 0.6], F)], {"mode": "linear", "axes": [2, 3]}),
        Case(
            "Resize",
            18,
            [x, None, None, ints(4, 6)],
            {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
        ),
        Case("Resize", 18, [x, None, np.array([1, 1, 0.5, 0.6], F)], {"mode": "linear", "antialias": 1}),
        Case(
            "Resize",
            11,
            [x, np.array([0, 0, 0.2, 0.3, 1, 1, 1.2, 0.7], F), NO_ROI, ints(1, 2, 5, 6)],
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0},
        ),
    ]
    return cases


def quantisations() -> list[Case]:
    x = floats(2, 3, 4)
    cases = [Case("QuantizeLinear", 13, [np.array([1e20, -1e20, 3], F), F(0.02), U(128)])]      # far beyond int32
    for opset in (10, 13, 19, 21):
        cases += [
            Case("QuantizeLinear", opset, [x, F(0.02), U(128)]),
            Case("DequantizeLinear", opset, [u8(2, 3), F(0.02), U(128)]),
            Case("DequantizeLinear", opset, [i8(2, 3), F(0.02)]),
        ]
        if opset >= 13:
            cases += [Case("DequantizeLinear", opset, [i8(2, 3, 4), np.abs(floats(3)), i8(3)], {"axis": 1}),
                      Case("QuantizeLinear", opset, [x, np.abs(floats(3)), u8(3)], {"axis": 1})]
    q = [
        u8(1, 4, 6, 6),
        F(0.02),
        U(100),
        i8(4, 1, 3, 3),
        np.abs(floats(4)) * F(0.01),
        np.zeros(4, np.int8),
        F(0.05),
        U(128),
    ]
    odd = np.array([[[1, 3, 5, 255]]], np.uint8)
    cases += [
        Case("QLinearConv", 10, q, {"group": 4, "auto_pad": "SAME_UPPER"}, tolerance=0.006),
        Case(
            "QLinearMatMul",
            10,
            [u8(3, 4), F(0.02), U(100), u8(4, 5), F(0.01), U(120), F(0.05), U(128)],
            tolerance=0.006,
        ),
        # sums of 1 and 3 halves of y's scale beside an odd zero point: ties; and sums that saturate
        Case("QLinearMatMul", 10, [odd.reshape(4, 1), F(0.5), U(0), np.array([[1, 200]], np.uint8), F(1), U(0), F(1), U(7)]),
        Case("QLinearConv", 10, [odd, F(0.5), U(0), np.ones((2, 1, 1), np.int8), F(1), np.int8(0), F(1), U(7)]),
        Case("ConvInteger", 10, [u8(1, 2, 6, 6), u8(3, 2, 3, 3), U(7), U(120)], {"pads": [1] * 4, "strides": [2, 2]}),
        Case("MatMulInteger", 10, [u8(3, 4), i8(4, 5), U(7), i8(5)]),
        Case("DynamicQuantizeLinear", 11, [floats(3, 4)], {}, 3),
    ]
    return cases


def recurrences() -> list[Case]:
    x, cases = floats(5, 2, 3), []
    for direction, n in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
        attrs: dict[str, Any] = {"hidden_size": 4, "direction": direction}
        lstm, gru = (
            [x, floats(n, 16, 3), floats(n, 16, 4), floats(n, 32)],
            [x, floats(n, 12, 3), floats(n, 12, 4), floats(n, 24)],
        )
        lengths = np.array([5, 3], np.int32)
        cases += [
            Case("LSTM", 14, lstm, attrs, 3),
            Case("LSTM", 14, [*lstm, lengths], attrs, 3),
            Case("GRU", 14, gru, attrs, 2),
            Case("GRU", 14, [*gru, lengths], {**attrs, "linear_before_reset": 1}, 2),
            Case("LSTM", 14, [*lstm, None, floats(n, 2, 4), floats(n, 2, 4), floats(n, 12)], attrs, 3),
        ]
    one = [x, floats(1, 16, 3), floats(1, 16, 4)]
    cases += [Case("LSTM", 7, one, {"hidden_size": 4, **a}, 3) for a in (
        {"clip": 0.5}, {"input_forget": 1}, {"activations": ["Sigmoid", "Relu", "Tanh"]},
        {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.3], "activation_beta": [0.4]})]
    return cases


def others() -> list[Case]:
    image, norm = floats(2, 3, 4, 4), [floats(3), floats(3), floats(3), np.abs(floats(3))]
    boxes = np.sort(np.random.default_rng(1).random((1, 12, 2, 2), np.float32), 2).reshape(1, 12, 4)
    scores, roi = np.random.default_rng(2).random((1, 2, 12), np.float32), np.array([[1, 1, 5, 6]], F)
    cases = [Case("BatchNormalization", v, [image, *norm], {"epsilon": 1e-3}) for v in (7, 9, 14, 15)]
    cases += [Case("Dropout", 7, [image]), Case("Dropout", 10, [image], {}, 2), Case("Dropout", 13, [image], {}, 2)]
    cases += [
        Case("LRN", 13, [floats(1, 7, 3, 3)], {"size": 5, "alpha": 0.1}),
        Case("LRN", 7, [floats(1, 3, 3, 3)], {"size": 3, "beta": 0.5, "bias": 2.0}),
    ]
    for mode in ("constant", "reflect", "edge", "wrap"):
        fill = [F(1.5)] if mode == "constant" else []
        cases.append(Case("Pad", 19, [image, ints(0, 1, 2, 1, 0, 0, 1, 1), *fill], {"mode": mode}))
    cases += [
        Case("Pad", 7, [image], {"pads": [0, 0, 1, -1, 0, 0, -2, 2], "value": 0.5}),
        Case("Pad", 13, [image, ints(0, 0, -1, 1, 0, 0, 1, -1)]),
        Case("Pad", 18, [image, ints(1, 2), None, ints(-1)]),
    ]
    cases += [Case(kind, opset, [floats(3, 4), axis], {"exclusive": exclusive, "reverse": reverse})
              for kind, opset in (("CumSum", 14), ("CumProd", 26)) for axis in (np.array(0), ints(-1))
              for exclusive in (0, 1) for reverse in (0, 1)]
    cases += [Case("Trilu", 14, [floats(2, 3, 4), np.array(k)], {"upper": upper}) for k in (-(1 << 40), -1, 2, 1 << 40) for upper in (0, 1)]
    cases += [Case("GatherElements", 13, [floats(3, 40, 5), ints(*range(-40, 40)).reshape(2, 10, 4)], {"axis": 1})]
    cases += [Case("OneHot", 11, [ints(0, 2, -1, 9), ints(4), np.array([0, 1], F)], a) for a in ({}, {"axis": 0})]
    cases += [
        Case("NonMaxSuppression", 11, [boxes, scores, *rest], {"center_point_box": c}, infers=False)
        for c in (0, 1)
        for rest in ([], [ints(3)], [ints(3), np.array([0.3], F), np.array([0.1], F)])
    ]
    cases += [
        Case("RoiAlign", v, [floats(1, 2, 8, 8), roi, ints(0)], {"output_height": 3, "output_width": 3})
        for v in (10, 16)
    ]
    cases += [Case("MaxRoiPool", 7, [floats(1, 2, 8, 8), np.array([[0, 1, 1, 5, 6]], F)], {"pooled_shape": [2, 2]}),
              Case("Scatter", 9, [floats(3, 3), ints(0, 1, 2).reshape(1, 3), floats(1, 3)], {"axis": 0})]
    cases += [
        Case("GridSample", 16, [floats(1, 2, 4, 5), floats(1, 3, 3, 2) * F(0.7)], a)
        for a in (
            {},
            {"mode": "nearest", "padding_mode": "border", "align_corners": 1},
            {"mode": "bicubic", "padding_mode": "reflection"},
        )
    ]
    cases += [
        Case("ReduceSumSquare", 13, [np.arange(24, dtype=np.int32).reshape(2, 3, 4)], {"keepdims": 0}),
        Case("TopK", 10, [floats(3, 5), ints(2)], {"axis": 0}, 2, infers=True),
        Case("TopK", 11, [floats(3, 5), ints(2)], {"largest": 0}, 2),
        Case("GroupNormalization", 21, [floats(2, 4, 3, 3), floats(4), floats(4)], {"num_groups": 2}),
        Case("MeanVarianceNormalization", 9, [image]),
        Case("LessOrEqual", 12, [floats(2, 3), floats(3)]),
        Case("GreaterOrEqual", 12, [floats(2, 3), floats(3)]),
    ]
    return cases


def scatters() -> list[Case]:
    """Updates along any axis, of any rank; sequences turned round."""
    x, updates, index = floats(2, 1, 3, 2, 2), floats(1, 1, 2, 2, 2), ints(0, -1, 1, 2, 0, 1, -3, 2).reshape(1, 1, 2, 2, 2)
    cases = [Case("ScatterElements", 18, [x, index, updates], {"axis": 2, "reduction": each})
             for each in ("none", "add", "mul", "min", "max")]
    cases += [Case("ScatterElements", 11, [floats(3, 4), ints(1, -1, 0, 2, 3, 1).reshape(3, 2), floats(3, 2)], {"axis": 1})]
    return cases + [Case("ReverseSequence", 10, [floats(4, 3, 2), ints(4, 1, 2)], {"time_axis": 0, "batch_axis": 1}),
                    Case("ReverseSequence", 10, [floats(3, 4, 2), ints(4, 1, 2)], {"time_axis": 1, "batch_axis": 0})]


def contributed() -> list[Case]:
    a, b = [u8(2, 3, 4), F(0.02), U(128)], [u8(3, 4), F(0.03), U(100)]
    image, out = [u8(2, 3, 7, 8), F(0.02), U(128)], [F(0.02), U(120)]
    window = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}
    q: dict[str, Any] = {"domain": MICROSOFT, "tolerance": 0.006}
    cases = [Case(op, 13, [*a, *b, F(0.05), U(120)], **q) for op in ("QLinearAdd", "QLinearMul")]
    cases += [Case("QLinearAveragePool", 13, [*image, *out], {**window, **p}, **q) for p in (
        {}, {"count_include_pad": 1}, {"ceil_mode": 1}, {"channels_last": 1})]
    cases += [Case("QLinearGlobalAveragePool", 13, [*image, *out], {"channels_last": c}, **q) for c in (0, 1)]
    cases += [
        Case("QLinearSoftmax", 13, [*a, F(1 / 256), U(0)], {"axis": 1, "opset": o}, domain=MICROSOFT, tolerance=0.02)
        for o in (12, 13)
    ]
    cases += [
        Case("QLinearSigmoid", 13, [*a, F(1 / 256), U(0)], **q),
        Case("QLinearLeakyRelu", 13, [*a, F(0.01), U(20)], {"alpha": 0.1}, **q),
        Case(
            "QLinearConcat", 13, [F(0.04), U(128), u8(2, 3), F(0.02), U(128), u8(2, 4), F(0.05), U(3)], {"axis": 1}, **q
        ),
    ]
    return cases


CASES = softmaxes() + pools() + convolutions() + resizes() + quantisations() + recurrences() + others() + scatters() + contributed()


def names_of(case: Case) -> tuple[list[str], list[str]]:
    return [f"x{i}" if x is not None else "" for i, x in enumerate(case.inputs)], [f"y{i}" for i in range(case.outputs)]


def as_node(case: Case) -> Node:
    inputs, outputs = names_of(case)
    return Node(case.op, tuple(inputs), tuple(outputs), case.attrs, "n", case.domain, 1 if case.domain else case.opset)


def as_model(case: Case) -> onnx.ModelProto:
    inputs, outputs = names_of(case)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.asarray(x).dtype), np.shape(x))
        for n, x in zip(inputs, case.inputs)
        if n
    ]
    graph = helper.make_graph(
        [helper.make_node(case.op, inputs, outputs, domain=case.domain, **case.attrs)],
        "g",
        infos,
        [onnx.ValueInfoProto(name=o) for o in outputs],
    )
    imports = [helper.make_opsetid("", case.opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def arrays(case: Case) -> list[np.ndarray | None]:
    return [None if x is None else np.asarray(x) for x in case.inputs]
