"""Operators of later opsets in models of earlier ones: taken as what they came to be, with one warning; refused where that is not plain."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node, onnxruntime_run
from onnx import TensorProto, helper
from single_node import feeds_of, single_node
from test_old_opsets import CASES as OLD

import fastcnn
from fastcnn.ir.errors import ModelError
from fastcnn.reader import read
from fastcnn.reader.early import MEANINGS

quiet = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning", "ignore:the model says opset:UserWarning")
X, GRID = floats(2, 4, 5, 6), np.clip(floats(2, 3, 3, 2, seed=2), -1, 1)
BOX = np.array([[1, 1, 4, 4]], np.float32)
Arrays = Mapping[str, np.ndarray]

# Operator -> the opset that it came in.
FIRST: dict[str, int] = {}
for schema in onnx.defs.get_all_schemas_with_history():
    if not schema.domain:
        FIRST[schema.name] = min(FIRST.get(schema.name, schema.since_version), schema.since_version)

# Operator, the opset it is of, inputs, constants among them, attributes.
CASES: list[tuple[str, int, Arrays, tuple[str, ...], dict[str, Any]]] = [
    ("LayerNormalization", 17, {"x": X, "scale": floats(6), "b": floats(6, seed=2)}, ("scale", "b"), {"axis": -1, "epsilon": 1e-6}),
    ("LayerNormalization", 17, {"x": X, "scale": floats(5, 6)}, (), {"axis": 2}),
    ("GroupNormalization", 18, {"x": X, "scale": floats(2), "b": floats(2, seed=2)}, ("scale", "b"), {"num_groups": 2}),
    ("GroupNormalization", 21, {"x": X, "scale": floats(4), "b": floats(4, seed=2)}, ("scale", "b"), {"num_groups": 2}),
    ("GroupNormalization", 21, {"x": X, "scale": floats(4), "b": floats(4, seed=2)}, ("scale", "b"), {"num_groups": 4}),
    ("RMSNormalization", 23, {"x": X, "scale": floats(6)}, ("scale",), {}),
    ("MeanVarianceNormalization", 9, {"x": X}, (), {"axes": [0, 2, 3]}),
    ("Gelu", 20, {"x": X}, (), {}), ("Gelu", 20, {"x": X}, (), {"approximate": "tanh"}),
    ("Mish", 18, {"x": X}, (), {}), ("HardSwish", 14, {"x": X}, (), {}), ("Swish", 24, {"x": X}, (), {"alpha": 1.5}),
    ("Celu", 12, {"x": X}, (), {"alpha": 2.0}), ("Shrink", 9, {"x": X}, (), {"lambd": 0.5}), ("Erf", 9, {"x": X}, (), {}),
    ("GridSample", 16, {"x": X, "grid": GRID}, (), {"align_corners": 1}),
    ("GridSample", 16, {"x": X, "grid": GRID}, (), {"mode": "bicubic"}), ("GridSample", 20, {"x": X, "grid": GRID}, (), {"mode": "linear"}),
    ("GridSample", 16, {"x": X, "grid": GRID}, (), {"mode": "nearest", "padding_mode": "border"}),
    ("Trilu", 14, {"x": X}, (), {"upper": 0}), ("Einsum", 12, {"a": floats(3, 4), "b": floats(4, 5)}, (), {"equation": "ij,jk->ki"}),
    ("Col2Im", 18, {"x": floats(1, 8, 4), "size": np.array([4, 4]), "block": np.array([2, 2])}, ("size", "block"), {"strides": [2, 2]}),
    ("CenterCropPad", 18, {"x": X, "shape": np.array([3, 8])}, ("shape",), {"axes": [2, 3]}),
    ("LessOrEqual", 12, {"a": X, "b": floats(6)}, (), {}), ("Round", 11, {"x": 3 * X}, (), {}), ("Det", 11, {"x": floats(3, 2, 2)}, (), {}),
    ("CumSum", 11, {"x": X, "axis": np.array(1)}, ("axis",), {}), ("BitwiseNot", 18, {"x": np.arange(5)}, (), {}),
    ("DFT", 17, {"x": floats(1, 8, 1)}, (), {"axis": 1}), ("Sinh", 9, {"x": X}, (), {}),
    ("RoiAlign", 16, {"x": X, "rois": BOX, "i": np.array([0])}, (), {"coordinate_transformation_mode": "half_pixel"}),
    ("Resize", 10, {"x": X, "scales": np.float32([1, 1, 2, 2])}, ("scales",), {"mode": "linear"}),
    ("DeformConv", 19, {"x": X, "w": floats(2, 4, 2, 2), "offset": floats(2, 8, 4, 5)}, ("w",), {}),
    *((case.op, FIRST[case.op], {name: np.asarray(a) for name, a in case.inputs.items()}, tuple(case.constants), dict(case.attrs))
      for case in OLD if 7 < FIRST[case.op] == min(case.opsets) and case.op != "RoiAlign" and case.outputs == 1
      and not any(a is None for a in case.inputs.values())),
]


@quiet
@pytest.mark.parametrize("op, opset, inputs, constants, attrs", [pytest.param(*row, id=f"{row[0]}-{k}") for k, row in enumerate(CASES)])
def test_operator_of_a_later_opset_means_what_it_came_to_be(op, opset, inputs, constants, attrs):
    wanted = run(single_node(op, inputs, constants, opset, **attrs), inputs)
    for earlier in {FIRST[op] - 1, 8, 7} - ({8} if FIRST[op] <= 8 else set()):
        proto = single_node(op, inputs, constants, earlier, **attrs)
        proto.graph.output[0].ClearField("type")
        got = run(proto, inputs)
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-6)


def run(proto: onnx.ModelProto, inputs: Arrays) -> np.ndarray:
    y, = fastcnn.load(proto, threads=1).run(None, feeds_of(proto, inputs))
    return y


@quiet
@pytest.mark.parametrize("opset", range(7, 17))
def test_layer_normalization_before_opset_17_agrees_with_onnxruntime(opset):
    """Within a small network: what is known of shapes stays right around it."""
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Flatten", ["c"], ["f"], axis=1), node("LayerNormalization", ["f", "s", "b"], ["n"]),
             node("MatMul", ["n", "m"], ["y"])]
    constants = {"w": floats(3, 4, 2, 2), "s": floats(60), "b": floats(60, seed=3), "m": floats(60, 7)}
    proto = model(nodes, {"x": ["N", 4, 5, 6]}, ["y"], constants, opset)
    loaded = fastcnn.load(proto)
    np.testing.assert_allclose(loaded.run(None, {"x": X})[0], onnxruntime_run(proto, {"x": X})[0], rtol=2e-5, atol=2e-5)
    assert not loaded.fallback_nodes


@quiet
def test_sizes_after_an_early_operator_are_its_own():
    """Einsum at opset 11 does not keep the shape of its first input, which is what follows to hear of."""
    nodes = [node("Einsum", ["x", "w"], ["e"], equation="nk,km->nm"), node("Shape", ["e"], ["s"]), node("ConstantOfShape", ["s"], ["z"])]
    y, = fastcnn.load(model(nodes, {"x": ["N", 4]}, ["z"], {"w": floats(4, 9)}, 11)).run(None, {"x": floats(3, 4)})
    assert y.shape == (3, 9)


def test_one_warning_names_the_operators():
    branch = helper.make_graph([node("Mish", ["x"], ["a"])], "t", [], [helper.make_tensor_value_info("a", 1, None)])
    other = helper.make_graph([node("Relu", ["x"], ["b"])], "e", [], [helper.make_tensor_value_info("b", 1, None)])
    nodes = [node("HardSwish", ["x"], ["h"]), node("HardSwish", ["h"], ["i"]),
             node("If", ["c"], ["j"], then_branch=branch, else_branch=other), node("Add", ["i", "j"], ["y"])]
    proto = model(nodes, {"x": [2], "c": []}, ["y"], opset=11, types={"c": TensorProto.BOOL})
    for load in (fastcnn.load, fastcnn.InferenceSession):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load(proto)
        assert [str(w.message) for w in caught] == [
            "the model says opset 11, but has operators that came later: HardSwish (opset 14), Mish (opset 18)"]
        assert caught[0].filename == __file__


# Operator, opset, inputs, attributes, part of the message.
REFUSED: list[tuple[str, int, Arrays, dict[str, Any], str]] = [
    ("GroupNormalization", 17, {"x": X, "s": floats(4), "b": floats(4)}, {"num_groups": 2}, "different meanings"),
    ("RoiAlign", 9, {"x": X, "rois": BOX, "i": np.array([0])}, {}, "different meanings"),
    ("DFT", 16, {"x": floats(1, 8, 1)}, {}, "different meanings"),
    ("LayerNormalization", 12, {"x": X}, {}, "1 inputs, the operator takes 2 to 3 .in opset 12 there is no such operator"),
    ("Gelu", 12, {"x": X}, {"exact": 1}, "unknown attribute 'exact'"),
    ("Elephant", 12, {"x": X}, {}, "no such operator in domain 'ai.onnx'"),
]


@pytest.mark.parametrize("op, opset, inputs, attrs, message", [pytest.param(*row, id=row[0]) for row in REFUSED])
def test_operator_of_several_meanings_or_none_is_refused(op, opset, inputs, attrs, message):
    with pytest.raises(ModelError, match=f"{op} 'node': .*{message}"):
        read(single_node(op, inputs, opset=opset, **attrs))


def test_scan_before_opset_8_is_refused():
    assert MEANINGS["Scan"](onnx.NodeProto(), {}) is None


def test_operators_that_changed_their_defaults_are_known_to():
    """Operators that came after opset 7 and later got another default, or lost an attribute, are in MEANINGS or told by their form."""
    told_by_form = {"Resize"}                   # two inputs are those of 10; 11 and later share their defaults
    by_name: dict[str, list[Any]] = {}
    for s in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: s.since_version):
        if not s.domain and FIRST[s.name] > 7:
            by_name.setdefault(s.name, []).append(s)
    for name, versions in by_name.items():
        for older, newer in pairwise(versions):
            shared = older.attributes.keys() & newer.attributes.keys()
            changed = any(older.attributes[k].default_value != newer.attributes[k].default_value for k in shared)
            gone = bool(older.attributes.keys() - newer.attributes.keys())
            if changed or gone:
                assert name in MEANINGS.keys() | told_by_form, (name, newer.since_version)
