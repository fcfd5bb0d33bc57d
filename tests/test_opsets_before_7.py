"""Models of opsets 1 to 6: each operator version by the formula of its own text, and onnx's converted PyTorch models."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx_cases import node_cases
from single_node import feeds_of, single_node
from test_old_opsets import CASES as NEWER
from test_old_opsets import check_against_onnxruntime

import fastcnn
from fastcnn.ir.errors import ModelError, UnsupportedOperatorError
from fastcnn.reader import read
from fastcnn.reader.old_forms import OLD_FORMS

pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")

A, IMAGE, WIDE = floats(2, 3, 4, 5), floats(2, 3, 4, 5, seed=2), np.abs(floats(2, 3, 4, 5, seed=3)) + 0.5
C3, C4 = floats(3, seed=4), floats(3, 4, seed=5)
POSITIVE, BOOLS = np.abs(C3) + 0.5, A > 0
Formula = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A node at every one of these opsets, and what its text makes of the inputs."""

    op: str
    opsets: Sequence[int]
    inputs: Mapping[str, np.ndarray]
    expected: Formula
    attrs: Mapping[str, Any] = field(default_factory=dict)
    constants: Sequence[str] = ()
    outputs: int = 1


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def batch_norm(x: np.ndarray, scale: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    shape = (-1, 1, 1) if scale.ndim == 1 else scale.shape
    scale, b, mean, var = (v.reshape(shape) for v in (scale, b, mean, var))
    return (x - mean) / np.sqrt(var + np.float32(eps)) * scale + b


def trained(x: np.ndarray, scale: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray) -> tuple[np.ndarray, ...]:
    own = x.mean((0, 2, 3)), x.var((0, 2, 3))
    running = (0.75 * old + 0.25 * new for old, new in zip((mean, var), own))
    return batch_norm(x, scale, b, *own), *running, *own


def lp_norm(p: float) -> Formula:
    return lambda x: (np.abs(x.astype(np.float64)) ** p).sum((2, 3), keepdims=True) ** (1 / p)


def windows(x: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))


def halfway(x: np.ndarray) -> np.ndarray:
    """Two columns as four, a new one between each two, the last one repeated."""
    return (x[..., [0, 0, 1, 1]] + x[..., [0, 1, 1, 1]]) / 2


NORM = {"x": IMAGE, "scale": C3, "b": floats(3, seed=7), "mean": floats(3, seed=8), "var": POSITIVE}
PIXELS = {"x": IMAGE, **{name: floats(3, 4, 5, seed=k) for k, name in enumerate(("scale", "b", "mean"))}, "var": WIDE[0]}
BINARY: dict[str, Formula] = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
                              "Greater": np.greater, "Less": np.less, "Equal": np.equal, "And": np.logical_and, "Or": np.logical_or,
                              "Xor": np.logical_xor}
# Shape of B, axis, B as numpy's rules align it.
PLACES: list[tuple[Sequence[int], Mapping[str, int], Sequence[int]]] = [
    ((2, 3, 4, 5), {}, (2, 3, 4, 5)), ((4, 5), {"broadcast": 1}, (4, 5)), ((3, 4), {"broadcast": 1, "axis": 1}, (3, 4, 1)),
    ((2,), {"broadcast": 1, "axis": 0}, (2, 1, 1, 1)), ((3,), {"broadcast": 1, "axis": -3}, (3, 1, 1)), ((), {"broadcast": 1}, ()),
    ((1, 1), {"broadcast": 1, "axis": 3}, (1, 1)), ((5,), {"broadcast": 1, "axis": 3}, (5,)),
    ((2, 1), {"broadcast": 1, "axis": 0}, (2, 1, 1, 1))]
UNARY: dict[str, Formula] = {
    "Abs": np.abs, "Ceil": np.ceil, "Exp": np.exp, "Floor": np.floor, "Log": np.log, "Neg": np.negative, "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Sqrt": np.sqrt, "Tanh": np.tanh}
USED_UP = {"consumed_inputs": [0]}
# Operators that are the same in opsets 1 and 6 but for an attribute without meaning.
BOTH: list[tuple[Sequence[int], dict[str, Any]]] = [((1,), USED_UP), ((6,), {})]


def operand(op: str, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A and B of the types and values that the operator is for."""
    a, b = WIDE, np.abs(floats(*shape, seed=6)) + 0.5
    if op in ("And", "Or", "Xor"):
        return a > 1, np.asarray(b > 1)
    return ((2 * a).astype(np.int64), np.asarray(2 * b).astype(np.int64)) if op == "Equal" else (a, np.asarray(b, np.float32))


def binary_cases() -> list[Case]:
    cases = []
    for op, f in BINARY.items():
        for shape, attrs, aligned in PLACES:
            a, b = operand(op, shape)
            cases.append(Case(op, (1, 6), {"a": a, "b": b}, lambda a, b, f=f, aligned=aligned: f(a, b.reshape(aligned)), attrs,
                              ("b",) if shape == (3,) else ()))
    return cases


CASES = [
    *binary_cases(),
    *(Case(op, opsets, {"x": WIDE}, f, attrs) for opsets, attrs in BOTH for op, f in UNARY.items()),
    *(Case(op, opsets, {"a": A, "b": IMAGE, "c": WIDE}, f, attrs) for opsets, attrs in BOTH
      for op, f in (("Max", lambda *v: np.maximum.reduce(v)), ("Min", lambda *v: np.minimum.reduce(v)), ("Sum", lambda *v: sum(v)),
                    ("Mean", lambda *v: sum(v) / 3))),
    *(Case("Clip", opsets, {"x": A}, lambda x: np.clip(x, -0.5, 0.25), {"min": -0.5, "max": 0.25, **attrs})
      for opsets, attrs in BOTH),
    Case("Clip", (1,), {"x": A}, lambda x: np.minimum(x, 0.25), {"max": 0.25}),
    *(Case("Elu", opsets, {"x": A}, lambda x: np.where(x < 0, 2 * np.expm1(x), x), {"alpha": 2.0, **attrs})
      for opsets, attrs in BOTH),
    *(Case("LeakyRelu", opsets, {"x": A}, lambda x: np.where(x < 0, 0.01 * x, x), attrs) for opsets, attrs in BOTH),
    *(Case("HardSigmoid", opsets, {"x": A}, lambda x: np.clip(0.2 * x + 0.5, 0, 1), attrs)
      for opsets, attrs in BOTH),
    Case("Selu", (1,), {"x": A}, lambda x: 1.0507 * np.where(x < 0, 1.6732 * np.expm1(x), x), USED_UP),
    Case("Selu", (1, 6), {"x": A}, lambda x: 3 * np.where(x < 0, 2 * np.expm1(x), x), {"alpha": 2.0, "gamma": 3.0}),
    Case("Selu", (6,), {"x": A}, lambda x: 1.05070102 * np.where(x < 0, 1.67326319 * np.expm1(x), x)),
    *(Case("PRelu", opsets, {"x": A, "slope": slope}, lambda x, slope: np.where(x < 0, slope.reshape(-1, 1, 1) * x, x), attrs, constants)
      for opsets, attrs in BOTH for slope in (C3, C3[:1]) for constants in ((), ("slope",))),
    Case("PRelu", (6,), {"x": C4.T.copy(), "slope": C3}, lambda x, slope: np.where(x < 0, slope * x, x)),
    *(Case("InstanceNormalization", opsets, {"x": A, "scale": C3, "b": C3 + 1},
           lambda x, scale, b: batch_norm(x, scale, b, np.float32(0), np.float32(1), 0) if x.ndim < 4 else np.stack(
               [batch_norm(i[None], scale, b, i.mean((1, 2)), i.var((1, 2)))[0] for i in x]), attrs)
      for opsets, attrs in BOTH),
    # training by is_test=0 or by the statistics it makes
    *(Case("BatchNormalization", opsets, NORM, batch_norm, {"is_test": 1, **attrs}, constants)
      for opsets, attrs in BOTH for constants in ((), ("scale", "b", "mean", "var"))),
    Case("BatchNormalization", (1, 6), NORM, batch_norm),
    Case("BatchNormalization", (1, 6), NORM, lambda *v: (batch_norm(*v), *v[3:], *v[3:]), {"is_test": 1}, outputs=5),
    Case("BatchNormalization", (1, 6), NORM, lambda *v: trained(*v)[0], {"is_test": 0}),
    *(Case("BatchNormalization", (1, 6), NORM, lambda *v, n=n: trained(*v)[:n], {"momentum": 0.75, **attrs}, outputs=n)
      for n in (3, 5) for attrs in ({}, {"is_test": 0})),
    Case("BatchNormalization", (1, 6), PIXELS, batch_norm, {"is_test": 1, "spatial": 0}),
    Case("BatchNormalization", (6, 7, 8), PIXELS, lambda *v: batch_norm(*v, eps=0.1), {"spatial": 0, "epsilon": 0.1},
         ("scale", "b", "mean", "var")),
    Case("BatchNormalization", (1, 7), NORM, batch_norm, {"spatial": 0}),
    Case("Dropout", (1, 6), {"x": A}, lambda x: x),
    *(Case("Dropout", opsets, {"x": A}, lambda x: x, {"is_test": 1, **attrs}) for opsets, attrs in BOTH),
    Case("Dropout", (1, 6), {"x": A}, lambda x: (x, np.ones_like(x)), {"is_test": 0, "ratio": 0.0}, outputs=2),
    # names and places that changed
    *(Case("Cast", (1,), {"x": 3 * A}, lambda x, t=t: x.astype(t), {"to": name})
      for name, t in (("INT32", np.int32), ("DOUBLE", np.float64), ("BOOL", np.bool_), ("FLOAT16", np.float16))),
    Case("Cast", (6,), {"x": 3 * A}, lambda x: x.astype(np.int64), {"to": TensorProto.INT64}),
    Case("Concat", (1,), {"a": A, "b": IMAGE}, lambda a, b: np.concatenate([a, b], 1)),
    Case("Concat", (1, 4), {"a": A, "b": IMAGE}, lambda a, b: np.concatenate([a, b], 2), {"axis": 2}),
    Case("Pad", (1,), {"x": C4}, lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=1.5), {"paddings": [1, 2, 0, 3], "value": 1.5}),
    Case("Pad", (1,), {"x": C4}, lambda x: np.pad(x, ((1, 0), (2, 3)), "reflect"), {"paddings": [1, 2, 0, 3], "mode": "reflect"}),
    Case("Pad", (2, 6), {"x": C4}, lambda x: np.pad(x, ((1, 0), (2, 3)), "edge"), {"pads": [1, 2, 0, 3], "mode": "edge"}),
    Case("Reshape", (1,), {"x": A}, lambda x: x.reshape(2, -1), {"shape": [0, -1], **USED_UP}),
    Case("Reshape", (5, 6), {"x": A, "shape": ints(0, 3, -1)}, lambda x, shape: x.reshape(2, 3, -1), {}, ("shape",)),
    Case("Split", (1, 2), {"x": A}, lambda x: np.split(x, [1, 3], 2), {"axis": 2, "split": [1, 2, 1]}, outputs=3),
    Case("Split", (1, 2), {"x": A}, lambda x: np.split(x, 2, 0), outputs=2),
    *(Case("Split", (1,), {"x": A, "split": np.array([1, 2], np.float32)}, lambda x, split: np.split(x, [1], 1), {"axis": 1}, constants, 2)
      for constants in ((), ("split",))),
    Case("Tile", (1,), {"x": A, "tiles": np.float32(3), "axis": np.float32(1)},
         lambda x, *_: np.tile(x, (1, 3, 1, 1)), {}, ("tiles", "axis")),
    Case("Tile", (6,), {"x": A, "repeats": ints(1, 3, 1, 2)}, lambda x, _: np.tile(x, (1, 3, 1, 2)), {}, ("repeats",)),
    Case("Upsample", (1, 6), {"x": A}, lambda x: x.repeat(2, 2).repeat(3, 3), {"height_scale": 2.0, "width_scale": 3.0}),
    Case("Upsample", (1,), {"x": A[..., :2].copy()}, halfway, {"height_scale": 1.0, "width_scale": 2.0, "mode": "bilinear"}),
    *(Case("GlobalLpPool", (1,), {"x": A}, lp_norm(p), {"p": p}) for p in (1.0, 2.0, 3.0, 2.5)),
    Case("GlobalLpPool", (1,), {"x": A}, lp_norm(2)),
    Case("GlobalLpPool", (2, 6), {"x": A}, lp_norm(3), {"p": 3}),
    *(Case("LpPool", (1,), {"x": A}, lambda x, p=p: (np.abs(windows(x)) ** p).sum((4, 5)) ** (1 / p), {"p": p, "kernel_shape": [2, 2]})
      for p in (1.0, 2.0, 1.5)),
    Case("LpPool", (2, 6), {"x": A}, lambda x: np.sqrt((windows(x) ** 2).sum((4, 5))), {"kernel_shape": [2, 2]}),
    Case("AveragePool", (1, 6), {"x": A}, lambda x: windows(x).mean((4, 5)), {"kernel_shape": [2, 2]}),
    *(Case("Gemm", (1, 6), {"a": floats(3, 4), "b": floats(5, 4), "c": c}, lambda a, b, c: 0.5 * a @ b.T + 2 * c,
           {"transB": 1, "alpha": 0.5, "beta": 2.0, **attrs})
      for c, attrs in ((floats(5), {"broadcast": 1}), (floats(3, 5), {}), (floats(3, 1), {"broadcast": 1}))),
]


def load_and_run(proto: onnx.ModelProto, inputs: Mapping[str, np.ndarray], threads: int = 1) -> list[np.ndarray]:
    return fastcnn.load(proto, threads=threads).run(None, feeds_of(proto, inputs))


def assert_close(got: Sequence[np.ndarray], expected: Any) -> None:
    expected = list(expected) if isinstance(expected, (tuple, list)) else [expected]
    assert len(got) == len(expected)
    for g, w in zip(got, expected):
        w = np.asarray(w)
        assert g.shape == w.shape and (g.dtype == w.dtype or w.dtype == np.float64), (g.shape, w.shape, g.dtype, w.dtype)
        np.testing.assert_allclose(g, w, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case, opset", [pytest.param(case, opset, id=f"{case.op}-{opset}-{k}")
                                         for k, case in enumerate(CASES) for opset in case.opsets])
def test_operator_of_an_opset_before_7_follows_its_text(case, opset):
    proto = single_node(case.op, case.inputs, case.constants, opset, case.outputs, **case.attrs)
    for output in proto.graph.output:
        output.ClearField("type")               # of Cast-1 that onnx does not infer
    assert_close(load_and_run(proto, case.inputs), case.expected(*case.inputs.values()))


def versions_before_7() -> set[tuple[str, int]]:
    return {(s.name, s.since_version) for s in onnx.defs.get_all_schemas_with_history() if not s.domain and s.since_version < 7}


def test_every_version_that_opset_7_replaced_has_a_case():
    """An operator whose newest version before 7 differs from an older one, or from that of 7."""
    by_name: dict[str, list[int]] = {}
    for name, version in versions_before_7():
        by_name.setdefault(name, []).append(version)
    newest = {name: onnx.defs.get_schema(name, 7, "").since_version for name in by_name}
    replaced = {(name, v) for name, versions in by_name.items() for v in versions if v != newest[name]}
    recurrent = {("GRU", 1), ("GRU", 3), ("LSTM", 1), ("RNN", 1)}
    covered = {(case.op, max(v for v in by_name[case.op] if v <= opset)) for case in CASES for opset in case.opsets if opset < 7}
    assert replaced - recurrent - covered == set()
    assert set(OLD_FORMS) <= {name for name, _ in replaced}


SINCE = {case.op: onnx.defs.get_schema(case.op, 7, "").since_version for case in NEWER if 7 in case.opsets}
UNCHANGED = [(case, SINCE[case.op]) for case in NEWER if 7 in case.opsets and SINCE[case.op] < 7]


@pytest.mark.parametrize("case, since", [pytest.param(case, since, id=f"{case.op}-{k}") for k, (case, since) in enumerate(UNCHANGED)])
def test_operator_that_opset_7_left_alone_is_the_same_before(case, since):
    for opset in {since, 6}:
        check_against_onnxruntime(case, opset, as_of=7)


@pytest.mark.parametrize("op, gates, attrs", [("LSTM", 4, {}), ("GRU", 3, {}), ("RNN", 1, {})])
@pytest.mark.parametrize("opset", [1, 3, 6])
def test_recurrent_operators_before_7_say_whether_they_make_the_sequence(op, gates, attrs, opset):
    inputs = {"x": floats(4, 2, 3), "w": floats(1, 4 * gates, 3), "r": floats(1, 4 * gates, 4)}
    new = single_node(op, inputs, ("w", "r"), 7, 2, hidden_size=4, **attrs)
    old = single_node(op, inputs, ("w", "r"), opset, 2, hidden_size=4, output_sequence=1, **attrs)
    for g, w in zip(load_and_run(old, inputs), load_and_run(new, inputs)):
        np.testing.assert_array_equal(g, w)


# ---- graphs ----


def test_axes_count_from_what_nodes_before_make():
    """The number of axes of A comes from inference through old nodes; the value added is folded into the convolution."""
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "b"], ["d"], broadcast=1, axis=1), node("PRelu", ["d", "b"], ["p"]),
             node("Mul", ["p", "b"], ["m"], broadcast=1, axis=1), node("Dropout", ["m"], ["o"], is_test=1)]
    weights = {"w": floats(3, 2, 1, 1), "b": C3}
    proto, x = model(nodes, {"x": ["N", 2, 4, 4]}, ["o"], weights, opset=6), floats(2, 2, 4, 4)
    loaded = fastcnn.load(proto)
    assert [n.op_type for n in read(proto).nodes if n.op_type == "Shape"] == []
    c = np.einsum("nchw,mc->nmhw", x, weights["w"][:, :, 0, 0]) + C3.reshape(-1, 1, 1)
    assert_close(loaded.run(None, {"x": x}), np.where(c < 0, C3.reshape(-1, 1, 1) * c, c) * C3.reshape(-1, 1, 1))


@pytest.mark.parametrize("op, attrs", [("Add", {"broadcast": 1, "axis": 1}), ("PRelu", {})])
def test_axes_of_inputs_without_a_shape_are_counted_when_it_runs(op, attrs):
    graph = helper.make_graph([node(op, ["x", "b"], ["y"], **attrs)], "g", [helper.make_tensor_value_info(n, 1, None) for n in "xb"],
                              [helper.make_tensor_value_info("y", 1, None)])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=3)
    b = C3.reshape(3, 1, 1)
    for x in (A, A[..., 0].copy()):
        by_axis = b if x.ndim == 4 else C3.reshape(3, 1)
        assert_close(fastcnn.load(proto).run(None, {"x": x, "b": C3}), x + by_axis if op == "Add" else np.where(x < 0, x * by_axis, x))


def test_bodies_of_old_graphs_are_in_new_forms_too():
    """If at opset 6, whose branches know the axes of a value from around them."""
    branches = {}
    for name, op in (("then_branch", "Add"), ("else_branch", "Sub")):
        inner = node(op, ["r", "b"], [name], broadcast=1, axis=1)
        branches[name] = helper.make_graph([inner], name, [], [helper.make_empty_tensor_value_info(name)])
    nodes = [node("Relu", ["x"], ["r"]), node("If", ["c"], ["y"], **branches)]
    proto = model(nodes, {"x": [2, 3, 4], "c": []}, ["y"], {"b": C3}, opset=6, types={"c": TensorProto.BOOL})
    x = A[..., 0].copy()
    loaded, b = fastcnn.load(proto), C3.reshape(3, 1)
    for c in (True, False):
        r = np.maximum(x, 0)
        assert_close(loaded.run(None, {"x": x, "c": np.array(c)}), r + b if c else r - b)


def test_model_without_opset_is_of_opset_1_before_ir_version_3():
    proto = single_node("Relu", {"x": A}, opset=1, consumed_inputs=[0])
    del proto.opset_import[:]
    for ir_version in (1, 2):
        proto.ir_version = ir_version
        for attribute in proto.graph.node[0].attribute:
            attribute.ClearField("type")                 # IR version 1 had none
        assert_close(load_and_run(proto, {"x": A}), np.maximum(A, 0))
    for ir_version in (0, 3):
        proto.ir_version = ir_version
        with pytest.raises(ModelError, match="imports no opset"):
            read(proto)


def test_initializers_may_be_inputs_too_or_not_before_ir_version_4():
    proto = single_node("Add", {"x": A, "b": C3}, ("b",), 6, broadcast=1, axis=1)
    for ir_version in (1, 3):
        proto.ir_version = ir_version
        assert [i.name for i in fastcnn.load(proto).get_inputs()] == ["x"]
        listed = onnx.ModelProto.FromString(proto.SerializeToString())
        listed.graph.input.append(helper.make_tensor_value_info("b", 1, [3]))
        loaded = fastcnn.load(listed)
        assert [i.name for i in loaded.get_inputs()] == ["x"] and not loaded.get_overridable_initializers()
        assert_close(loaded.run(None, {"x": A}), A + C3.reshape(-1, 1, 1))


def test_initializer_that_may_be_fed_is_not_taken_for_constant():
    proto = single_node("Split", {"x": A, "split": np.array([1, 2], np.float32)}, ("split",), 1, 2, axis=1)
    proto.graph.input.append(helper.make_tensor_value_info("split", 1, [2]))
    assert_close(fastcnn.load(proto).run(None, {"x": A, "split": np.array([2, 1], np.float32)}), np.split(A, [2], 1))


def test_nodes_keep_their_names():
    assert [n.name for n in read(single_node("Clip", {"x": A}, opset=1, min=0.0, consumed_inputs=[0])).nodes] == ["node"]


# operator, opset, inputs, attributes, parts of the message
REFUSED: list[tuple[str, int, dict[str, np.ndarray], dict[str, Any], str]] = [
    ("Add", 6, {"a": A, "b": C3}, {"broadcast": 1, "axis": 4}, "axis=4, but A has 4 axes and B 1"),
    ("Add", 6, {"a": A, "b": C3}, {"broadcast": 1, "axis": -5}, "axis=-5"),
    ("Add", 6, {"a": A, "b": C4}, {"broadcast": 1, "axis": 3}, "axis=3, but A has 4 axes and B 2"),
    ("Cast", 1, {"x": A}, {"to": "FLAOT"}, "to='FLAOT' is no type"),
    ("Reshape", 1, {"x": A}, {}, "attribute 'shape' is missing"),
    ("Tile", 1, {"x": A, "tiles": np.float32(2), "axis": np.float32(0)}, {}, "tiles and axis that are computed"),
    ("BatchNormalization", 6, PIXELS, {"is_test": 0, "spatial": 0}, "spatial=0 in training"),
    ("Relu", 7, {"x": A}, {"consumed_inputs": [0]}, "unknown attribute 'consumed_inputs'"),
]


@pytest.mark.parametrize("op, opset, inputs, attrs, message", [pytest.param(*row, id=f"{row[0]}-{k}") for k, row in enumerate(REFUSED)])
def test_what_contradicts_its_version_is_refused(op, opset, inputs, attrs, message):
    with pytest.raises(ModelError, match=f"{op} 'node'.*{message}") as caught:
        read(single_node(op, inputs, opset=opset, **attrs))
    assert isinstance(caught.value, UnsupportedOperatorError) == ("computed" in message or "training" in message)


# ---- onnx's own ----

NODE_CASES = ("test_elu", "test_selu", "test_hardsigmoid", "test_softplus", "test_softsign", "test_instancenorm", "test_globalaveragepool",
              "test_globalmaxpool", "test_not_2d", "test_abs", "test_transpose_default", "test_leakyrelu",
              "test_softmax_axis_2", "test_logsoftmax_axis_2")


@pytest.mark.parametrize("case", [c for c in node_cases() if c.name in NODE_CASES], ids=lambda c: c.name)
@pytest.mark.parametrize("opset", [1, 6])
def test_node_case_of_onnx_at_an_old_opset(case, opset):
    proto = onnx.ModelProto.FromString(case.model.SerializeToString())
    proto.opset_import[0].version, proto.ir_version = opset, 3
    for inputs, outputs in case.data_sets:
        assert_close(fastcnn.load(proto).run(None, dict(zip([i.name for i in proto.graph.input], inputs))), list(outputs))


@pytest.mark.parametrize("case", [c for kind in ("pytorch-converted", "pytorch-operator") for c in load_model_tests(kind=kind)],
                         ids=lambda c: c.name)
def test_converted_pytorch_model_of_opset_6_runs_natively(case):
    proto = onnx.load(f"{case.model_dir}/model.onnx")
    loaded = fastcnn.load(f"{case.model_dir}/model.onnx")
    arrays = [[numpy_helper.to_array(onnx.load_tensor(f"{case.model_dir}/test_data_set_0/{side}_{k}.pb")) for k in range(count)]
              for side, count in (("input", len(loaded.get_inputs())), ("output", len(proto.graph.output)))]
    got = loaded.run(None, dict(zip([i.name for i in loaded.get_inputs()], arrays[0])))
    assert not loaded.fallback_nodes
    for g, w in zip(got, arrays[1]):
        assert g.shape == w.shape and g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=case.rtol, atol=case.atol)
