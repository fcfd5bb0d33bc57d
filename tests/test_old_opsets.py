"""Models at old operator versions, opsets 7 to 13 and the steps after: each version follows its own semantics, as onnxruntime runs it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from single_node import expected_outputs, feeds_of, single_node

import fastcnn
from fastcnn.ops import OPS

pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")


@dataclass(frozen=True)
class Case:
    """A node at every one of these opsets; `constants` names the inputs that are initializers."""

    op: str
    opsets: Sequence[int]
    inputs: Mapping[str, np.ndarray | None]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    constants: Sequence[str] = ()
    outputs: int = 1


def x(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape, dtype=np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


IMAGE, CUBE, POSITIVE = x(1, 2, 4, 5), x(2, 3, 4), np.abs(x(3)) + 0.5
EARLY = (7, 8, 9, 10, 11, 12)

CASES = [
    # the axes of a flattened matrix, before 13; one axis since
    *(Case(op, (7, 11, 12, 13), {"x": CUBE}, attrs) for op in ("Softmax", "LogSoftmax", "Hardmax")
      for attrs in ({}, {"axis": 0}, {"axis": 1}, {"axis": 2})),
    *(Case(op, (11, 12, 13), {"x": CUBE}, {"axis": -1}) for op in ("Softmax", "LogSoftmax", "Hardmax")),
    # scales as an attribute, as an input, within Resize
    *(Case("Upsample", (7, 8), {"x": IMAGE}, {"mode": mode, "scales": [1.0, 1.0, 2.0, 3.0]}) for mode in ("nearest", "linear")),
    *(Case("Upsample", (9,), {"x": IMAGE, "scales": floats(1, 1, *s)}, {"mode": mode}, ("scales",))
      for mode in ("nearest", "linear") for s in ((2, 3), (1.5, 2.5))),
    *(Case("Resize", (10,), {"x": IMAGE, "scales": floats(1, 1, *s)}, {"mode": mode}, ("scales",))
      for mode in ("nearest", "linear") for s in ((2, 2), (1.5, 0.6), (0.5, 0.5))),
    *(Case("Resize", (11, 12), {"x": IMAGE, "roi": floats(), "scales": floats(1, 1, 2, 1.5)},
           {"mode": mode, "coordinate_transformation_mode": how}, ("roi", "scales"))
      for mode in ("nearest", "linear", "cubic") for how in ("half_pixel", "asymmetric", "align_corners", "tf_half_pixel_for_nn")),
    Case("Resize", (11,), {"x": IMAGE, "roi": floats(), "scales": floats(), "sizes": ints(1, 2, 8, 3)}, {"mode": "linear"},
         ("roi", "scales", "sizes")),
    # attributes that became inputs
    *(Case("Pad", (7, 10), {"x": CUBE}, {"pads": [0, 1, 2, 1, 0, 1], "mode": mode, **value})
      for mode, value in (("constant", {}), ("constant", {"value": 1.5}), ("reflect", {}), ("edge", {}))),
    Case("Pad", (7, 10), {"x": CUBE}, {"pads": [0, -1, 2, 1, 0, -1]}),
    *(Case("Pad", (11, 12, 13), {"x": CUBE, "pads": ints(0, 1, 2, 1, 0, 1), "value": value}, {"mode": mode}, ("pads",))
      for mode, value in (("constant", np.float32(2).reshape(())), ("reflect", None), ("edge", None))),
    *(Case("Clip", (7, 10), {"x": CUBE}, attrs) for attrs in ({}, {"min": -0.5}, {"max": 0.5}, {"min": -0.5, "max": 0.5})),
    *(Case("Clip", (11, 12, 13), {"x": CUBE, "low": low, "high": high}, constants=constants)
      for low, high in ((np.float32(-0.5), np.float32(0.5)), (None, np.float32(0.5)), (np.float32(-0.5), None))
      for constants in ((), ("low", "high"))),
    Case("Clip", (12,), {"x": np.arange(-5, 5), "low": np.int64(-2), "high": np.int64(3)}),
    *(Case("Slice", (7, 9), {"x": CUBE}, attrs) for attrs in (
        {"starts": [0, 1], "ends": [2, 3]}, {"starts": [1], "ends": [1000], "axes": [2]}, {"starts": [-3], "ends": [-1], "axes": [1]})),
    *(Case("Slice", (10, 11, 13), {"x": CUBE, "starts": ints(*starts), "ends": ints(*ends), "axes": ints(*axes), "steps": ints(*steps)},
           {}, ("starts", "ends", "axes", "steps"))
      for starts, ends, axes, steps in (((0,), (4,), (2,), (2,)), ((-1,), (-10,), (1,), (-1,)), ((1, 0), (3, 9), (1, 2), (1, 3)))),
    Case("Split", (7, 11), {"x": x(4, 6)}, {"axis": 1}, outputs=2),
    Case("Split", (7, 11), {"x": x(4, 6)}, {"axis": 1, "split": [1, 2, 3]}, outputs=3),
    Case("Split", (11,), {"x": x(4, 6)}, {"axis": -2, "split": [1, 3]}, outputs=2),
    Case("Split", (13, 17), {"x": x(4, 6), "split": ints(1, 2, 3)}, {"axis": 1}, ("split",), 3),
    Case("Split", (18,), {"x": x(4, 7)}, {"axis": 1, "num_outputs": 3}, outputs=3),
    Case("Squeeze", (7, 11), {"x": x(1, 3, 1, 2)}, {"axes": [0, 2]}),
    Case("Squeeze", (7, 11, 13), {"x": x(1, 3, 1, 2)}),
    Case("Squeeze", (11,), {"x": x(1, 3, 1, 2)}, {"axes": [-2]}),
    Case("Squeeze", (13,), {"x": x(1, 3, 1, 2), "axes": ints(0)}, {}, ("axes",)),
    Case("Unsqueeze", (7, 11), {"x": x(3, 2)}, {"axes": [0, 3]}),
    Case("Unsqueeze", (11,), {"x": x(3, 2)}, {"axes": [-1]}),
    Case("Unsqueeze", (13,), {"x": x(3, 2), "axes": ints(-1, 0)}, {}, ("axes",)),
    *(Case(op, (7, 11, 12), {"x": CUBE}, attrs)
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSumSquare",
                 "ReduceLogSumExp")
      for attrs in ({}, {"axes": [1]}, {"axes": [0, 2], "keepdims": 0})),
    Case("ReduceLogSum", (7, 11), {"x": np.abs(CUBE)}, {"axes": [1]}),
    Case("ReduceSum", (13,), {"x": CUBE, "axes": ints(1)}, {"keepdims": 0}, ("axes",)),
    Case("ReduceMean", (13, 17), {"x": CUBE}, {"axes": [-1]}),
    Case("ReduceMean", (18,), {"x": CUBE, "axes": ints(-1)}, {}, ("axes",)),
    # numbers that normalise, and what training adds
    *(Case("BatchNormalization", (7, 9, 14, 15), {"x": x(2, 3, 4, 4), "scale": x(3), "b": x(3), "mean": x(3), "var": POSITIVE},
           {"epsilon": eps}, ("scale", "b", "mean", "var")) for eps in (1e-5, 0.1)),
    Case("BatchNormalization", (14, 15), {"x": x(2, 3, 4, 4), "scale": x(3), "b": x(3), "mean": x(3), "var": POSITIVE},
         {"training_mode": 1, "momentum": 0.8}, outputs=3),
    Case("InstanceNormalization", (7,), {"x": x(2, 3, 4, 4), "scale": x(3), "b": x(3)}),
    Case("LRN", (7, 13), {"x": x(1, 5, 3, 3)}, {"size": 3}),
    Case("Dropout", (7,), {"x": CUBE}, {"ratio": 0.3}),
    Case("Dropout", (10,), {"x": CUBE}, {"ratio": 0.3}, outputs=2),
    Case("Dropout", (12, 13), {"x": CUBE, "ratio": np.float32(0.3)}, outputs=2),
    Case("Dropout", (12, 13), {"x": CUBE, "ratio": np.float32(0.3), "training_mode": np.array(False)}, outputs=2),
    Case("Dropout", (12, 13), {"x": CUBE, "ratio": np.float32(0.0), "training_mode": np.array(True)}, outputs=2),
    # ceil_mode, dilations and the count of padding arrive
    *(Case("MaxPool", opsets, {"x": IMAGE}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1], **attrs})
      for opsets, attrs in (((8, 9, 10, 11, 12), {}), ((10, 12), {"ceil_mode": 1}))),
    Case("MaxPool", (8, 10, 12), {"x": IMAGE}, {"kernel_shape": [2, 2], "strides": [2, 2]}, outputs=2),
    *(Case("AveragePool", opsets, {"x": IMAGE}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1], **attrs})
      for opsets, attrs in (((7, 10, 11), {}), ((7, 10, 11), {"count_include_pad": 1}), ((10, 11), {"ceil_mode": 1}))),
    *(Case(op, (7, 11), {"x": IMAGE}, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": pad})
      for op in ("AveragePool", "LpPool") for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    Case("Conv", (7, 11), {"x": IMAGE, "w": x(3, 2, 3, 3), "b": x(3)}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, ("w", "b")),
    Case("ConvTranspose", (7, 11), {"x": IMAGE, "w": x(2, 3, 3, 3)}, {"strides": [2, 2], "output_shape": [8, 10]}, ("w",)),
    # matrices and indices
    Case("Gemm", (7, 9, 11), {"a": x(3, 4), "b": x(5, 4), "c": x(5)}, {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (11,), {"a": x(3, 4), "b": x(4, 5)}),
    Case("MatMul", (7, 9), {"a": x(2, 3, 4), "b": x(4, 5)}),
    Case("Flatten", (7, 9, 11), {"x": IMAGE}, {"axis": 2}),
    Case("Flatten", (11,), {"x": IMAGE}, {"axis": -1}),
    Case("Concat", (7, 11), {"a": x(2, 3), "b": x(2, 1)}, {"axis": 1}),
    Case("Concat", (11,), {"a": x(2, 3), "b": x(2, 1)}, {"axis": -1}),
    Case("Gather", (7, 11), {"x": CUBE, "i": ints(2, 0)}, {"axis": 1}),
    Case("Gather", (11,), {"x": CUBE, "i": ints(-1)}, {"axis": -1}),
    Case("DepthToSpace", (7, 11), {"x": x(1, 8, 2, 3)}, {"blocksize": 2}),
    Case("DepthToSpace", (11,), {"x": x(1, 8, 2, 3)}, {"blocksize": 2, "mode": "CRD"}),
    Case("OneHot", (9, 11), {"i": ints(0, 2, 1), "depth": np.int64(3), "values": floats(0, 1)}, {"axis": -1}, ("depth",)),
    Case("ArgMax", (7, 11, 12), {"x": CUBE}, {"axis": 1, "keepdims": 0}),
    Case("ArgMin", (12, 13), {"x": np.zeros((2, 3), np.float32)}, {"axis": 1, "select_last_index": 1}),
    Case("TopK", (7,), {"x": x(3, 5)}, {"k": 2}, outputs=2),
    Case("TopK", (10,), {"x": x(3, 5), "k": ints(2)}, {}, ("k",), 2),
    Case("TopK", (11,), {"x": x(3, 5), "k": ints(2)}, {"largest": 0, "axis": 0}, ("k",), 2),
    Case("Scatter", (9, 10), {"x": x(3, 3), "i": ints(1, 0, 2, 0, 2, 1).reshape(2, 3), "u": x(2, 3)}, {"axis": 0}),
    Case("ScatterElements", (11, 13), {"x": x(3, 3), "i": ints(-1, 0, 2).reshape(1, 3), "u": x(1, 3)}, {"axis": 1}),
    # elementwise, with the types each version adds
    *(Case(op, EARLY[::2], {"a": x(2, 3, 1), "b": x(4)}) for op in ("Add", "Sub", "Mul", "Div", "Greater", "Less")),
    Case("Pow", (7, 12, 13), {"a": np.abs(x(2, 3)), "b": x(3)}),
    Case("Pow", (12, 13), {"a": np.abs(x(2, 3)), "b": ints(2)}),
    Case("PRelu", (7, 9), {"x": IMAGE, "slope": x(2, 1, 1)}, {}, ("slope",)),
    *(Case(op, (8, 12, 13), {"a": x(2, 3), "b": x(3), "c": x(2, 1)}) for op in ("Sum", "Mean", "Max", "Min")),
    *(Case(op, (7, 11), {"a": ints(1, 2), "b": ints(1, 3)}) for op in ("Equal",)),
    *(Case(op, (7,), {"a": np.array([True, False]), "b": np.array([[True], [False]])}) for op in ("And", "Or", "Xor")),
    Case("Where", (9,), {"c": np.array([True, False]), "a": x(2, 2), "b": x(2)}),
    *(Case(op, (7, 12), {"x": CUBE}) for op in ("Elu", "Selu", "LeakyRelu", "HardSigmoid", "Softplus", "Softsign", "Sigmoid", "Tanh")),
    Case("Cast", (7, 9), {"x": 3 * CUBE}, {"to": 6}),
    Case("Expand", (8, 13), {"x": x(3, 1), "shape": ints(2, 1, 4)}, {}, ("shape",)),
    Case("Tile", (7, 13), {"x": x(2, 3), "repeats": ints(2, 1)}, {}, ("repeats",)),
    Case("Reshape", (7, 13), {"x": CUBE, "shape": ints(0, -1)}, {}, ("shape",)),
    Case("Transpose", (7, 13), {"x": CUBE}, {"perm": [2, 0, 1]}),
    # recurrent, quantised
    Case("LSTM", (7, 14), {"x": x(4, 2, 3), "w": x(1, 16, 3), "r": x(1, 16, 4), "b": x(1, 32)}, {"hidden_size": 4}, ("w", "r", "b"), 3),
    Case("GRU", (7, 14), {"x": x(4, 2, 3), "w": x(1, 12, 3), "r": x(1, 12, 4)}, {"hidden_size": 4, "linear_before_reset": 1},
         ("w", "r"), 2),
    Case("RNN", (7, 14), {"x": x(4, 2, 3), "w": x(1, 4, 3), "r": x(1, 4, 4)}, {"hidden_size": 4}, ("w", "r"), 2),
    Case("QuantizeLinear", (10, 13), {"x": CUBE, "scale": np.float32(0.1), "zero": np.uint8(128)}),
    Case("DequantizeLinear", (10, 13), {"x": np.arange(6, dtype=np.uint8), "scale": np.float32(0.1), "zero": np.uint8(3)}),
    Case("NonMaxSuppression", (10, 11), {"boxes": np.abs(x(1, 6, 4)), "scores": x(1, 1, 6), "n": ints(3), "iou": floats(0.5)}, {},
         ("n", "iou")),
    Case("RoiAlign", (10, 16), {"x": x(1, 2, 8, 8), "rois": floats(1, 1, 6, 6).reshape(1, 4), "i": ints(0)},
         {"output_height": 2, "output_width": 2, "sampling_ratio": 2}),
]


def check_against_onnxruntime(case: Case, opset: int, as_of: int = 0) -> None:
    """The case at an opset; `as_of` is the opset that onnxruntime runs it at, where it is another."""
    inputs = {name: None if a is None else np.asarray(a) for name, a in case.inputs.items()}
    model, peer = (single_node(case.op, inputs, case.constants, version, case.outputs, **case.attrs) for version in (opset, as_of or opset))
    feeds = feeds_of(model, inputs)
    for threads in (1, 2):
        got = fastcnn.load(model, threads=threads).run(None, feeds)
        for g, w in zip(got, expected_outputs(peer, feeds)):
            assert g.shape == w.shape and g.dtype == w.dtype, (g.shape, w.shape, g.dtype, w.dtype)
            np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case, opset", [pytest.param(case, opset, id=f"{case.op}-{opset}-{k}")
                                         for k, case in enumerate(CASES) for opset in case.opsets])
def test_operator_of_old_opset_agrees_with_onnxruntime(case, opset):
    check_against_onnxruntime(case, opset)


def test_old_opsets_cover_every_native_operator_that_changed():
    """Operators of OPS that are older than opset 7 and got a new version from 7 to 12 have a case here."""
    versions: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain:
            versions.setdefault(schema.name, set()).add(schema.since_version)
    changed = {name for name, since in versions.items() if min(since) < 7 and since & set(range(7, 13))}
    missing = changed & {name for domain, name in OPS if not domain} - {case.op for case in CASES}
    assert not missing, sorted(missing)
