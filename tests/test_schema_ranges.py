"""Attributes out of range are refused when a model is loaded, with the node, the attribute and the value named."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import TensorProto, helper

import fastcnn
from fastcnn.ir.graph import Node
from fastcnn.ops import OPS
from fastcnn.schema.axes import NAMED
from fastcnn.schema.ranges import RULES, RULES_OF, check_ranges

node = helper.make_node
BIG = (1 << 63) - 1
SCHEMAS = [s for s in onnx.defs.get_all_schemas_with_history() if not s.domain and not s.deprecated and ("", s.name) in OPS]
# Kinds of attributes whose values need a rule; floats are finite, tensors and bodies have no range.
RANGED = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.STRING, onnx.AttributeProto.STRINGS)


def test_every_attribute_of_native_operators_has_a_rule():
    names = {(s.name, a.name) for s in SCHEMAS for a in s.attributes.values() if a.type.value in RANGED}
    assert not [pair for pair in sorted(names) if pair not in RULES_OF and pair[1] not in RULES]


def test_every_rule_is_of_an_attribute():
    named = {(s.name, a) for s in onnx.defs.get_all_schemas_with_history() if not s.domain for a in s.attributes}
    assert RULES_OF.keys() <= named and RULES.keys() <= {a for _, a in named}
    assert {(op, axes.attribute) for op, axes in NAMED.items()} <= named


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: f"{s.name}-{s.since_version}")
def test_defaults_are_in_range(schema):
    if (schema.name, schema.since_version) in (("GRU", 1), ("LSTM", 1), ("RNN", 1)):
        pytest.skip("onnx spells forward wrong")
    attrs = {name: onnx.helper.get_attribute_value(a.default_value) for name, a in schema.attributes.items() if a.default_value.name}
    check_ranges(Node(schema.name, (), (), {k: v.decode() if isinstance(v, bytes) else v for k, v in attrs.items()}))


WINDOW = {"kernel_shape": [2, 2]}
GRAMS = {"mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "ngram_indexes": [0], "pool_int64s": [3]}
BAD = [
    ("LRN", {"size": value}) for value in (-3, 0, 1 << 61, BIG)] + [
    ("Conv", {name: value}) for name, value in (
        ("group", 0), ("group", -1), ("group", BIG), ("strides", [0, 1]), ("strides", [1 << 40, 1]), ("dilations", [1, -1]),
        ("dilations", [1 << 31, 1]), ("pads", [1 << 31, 0, 0, 0]), ("pads", [-(1 << 40), 0, 0, 0]), ("auto_pad", "SAME"),
        ("kernel_shape", [0, 0]), ("kernel_shape", [BIG, BIG]), ("strides", [1] * 200))] + [
    ("MaxPool", {**WINDOW, name: value}) for name, value in (
        ("ceil_mode", 2), ("storage_order", -1), ("kernel_shape", [-2, 2]), ("strides", [BIG, 1]), ("dilations", [0, 1]))] + [
    ("LpPool", {**WINDOW, "p": value}) for value in (0, -1, (1 << 31) - 1)] + [
    ("Softmax", {"axis": value}) for value in (-5, 4, 1 << 31, -BIG)] + [
    ("LayerNormalization", {"axis": value}) for value in (4, -5, 1 << 31, BIG)] + [
    ("LayerNormalization", {"epsilon": value}) for value in (float("nan"), float("inf"), -1.0)] + [
    ("DepthToSpace", {"blocksize": value}) for value in (0, -1, BIG)] + [
    ("DepthToSpace", {"blocksize": 1, "mode": "RCD"}),
    ("Transpose", {"perm": [0, 1, 2]}), ("Transpose", {"perm": [0, 0, 1, 2]}), ("Transpose", {"perm": [0, 1, 2, 4]}),
    ("GatherND", {"batch_dims": -7}), ("GatherND", {"batch_dims": -(1 << 31)}), ("GatherND", {"batch_dims": 9}),
    ("ReduceMean", {"axes": [0, 0]}), ("ReduceMean", {"axes": [4]}), ("ReduceMean", {"axes": [-5]}), ("ReduceMean", {"keepdims": 7}),
    ("Flatten", {"axis": 5}), ("Concat", {"axis": 4}), ("Split", {"axis": -5}), ("Einsum", {"equation": "ij" * 5000}),
    ("LeakyRelu", {"alpha": float("nan")}), ("Selu", {"gamma": float("inf")}), ("Resize", {"mode": "sinc"}), ("Pad", {"mode": "mirror"}),
    ("ScatterElements", {"reduction": "sub"}), ("GridSample", {"padding_mode": "none"}), ("IsInf", {"detect_positive": -1}),
    ("RoiAlign", {"output_height": 0}), ("RoiAlign", {"sampling_ratio": -1}), ("RoiAlign", {"spatial_scale": float("nan")}),
    ("LSTM", {"hidden_size": 0}), ("LSTM", {"direction": "backward"}), ("LSTM", {"clip": -1.0}), ("Mod", {"fmod": 3}),
    ("Split", {"num_outputs": 3}), ("TfIdfVectorizer", {**GRAMS, "ngram_counts": [0], "max_skip_count": BIG}),
    ("TfIdfVectorizer", {**GRAMS, "max_skip_count": 0, "ngram_counts": [0, BIG]}),
    ("Trilu", {"upper": 2}), ("BitShift", {"direction": "UP"}), ("Col2Im", {"strides": [0, 1]}), ("GroupNormalization", {"num_groups": 0}),
]


@pytest.mark.parametrize("op_type, attrs", BAD, ids=lambda v: str(v)[:40])
def test_attribute_out_of_range_is_refused(op_type, attrs):
    """Whatever the inputs: no shape inference and no kernel sees the value."""
    opset = 11 if op_type == "ReduceMean" else 21
    schema = onnx.defs.get_schema(op_type, opset)
    kind = TensorProto.FLOAT if op_type != "BitShift" else TensorProto.UINT8
    integers = {"Pad": [1], "GatherND": [1], "ScatterElements": [1], "Col2Im": [1, 2], "RoiAlign": [2]}.get(op_type, [])
    inputs = ["n" if k in integers else "x" for k in range(min(schema.min_input, 8))]
    count = "LSTM GRU RNN".count(op_type) and 3
    proto = model([node(op_type, inputs[:count or None], ["y"], name="node", **attrs)], {"x": [1, 4, 6, 6], "n": [1, 4, 6, 6]}, ["y"],
                  opset=opset, types={"x": kind, "n": TensorProto.INT64})
    with pytest.raises(fastcnn.ModelError, match=f"{op_type} 'node': {next(reversed(attrs))}=") as error:
        fastcnn.load(proto)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("op_type, attrs", [("FusedConv", {"strides": [0, 0]}), ("FusedConv", {"pads": "wide"}),
                                            ("NhwcMaxPool", {"kernel_shape": [1 << 40, 1]}), ("FusedConv", {"group": 1.5})])
def test_attributes_of_contributed_operators_have_ranges_too(op_type, attrs):
    proto = model([node(op_type, ["x", "x"], ["y"], name="node", domain="com.microsoft", **attrs)], {"x": [1, 1, 4, 4]}, ["y"])
    with pytest.raises(fastcnn.ModelError, match=f"{op_type} 'node': {next(iter(attrs))}="):
        fastcnn.load(proto)


def test_ranges_hold_inside_bodies():
    body = helper.make_graph([node("LRN", ["x"], ["z"], size=-3, name="inner")], "body", [], [onnx.ValueInfoProto(name="z")])
    proto = model([node("If", ["c"], ["y"], then_branch=body, else_branch=body)], {"x": [1, 2, 3, 3], "c": []}, ["y"],
                  types={"c": TensorProto.BOOL})
    with pytest.raises(fastcnn.ModelError, match="LRN 'inner': size=-3"):
        fastcnn.load(proto)


def test_axes_of_ranks_that_only_the_run_tells():
    """An input of unknown rank: the axis is looked at when the rank is known."""
    proto = model([node("Softmax", ["x"], ["y"], axis=2, name="node")], {"x": []}, ["y"])
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", 1, None))
    loaded = fastcnn.load(proto)
    assert loaded.run(None, {"x": np.ones((2, 2, 2), np.float32)})[0].ravel().tolist() == [0.5] * 8
    with pytest.raises(fastcnn.ModelError, match="Softmax 'node': axis=2 for an input of 2 axes"):
        loaded.run(None, {"x": np.ones((2, 2), np.float32)})


@pytest.mark.parametrize("name, value", [("min", -np.inf), ("max", np.inf)])
def test_limits_may_be_infinite(name, value):
    proto = model([node("Clip", ["x"], ["y"], **{name: value})], {"x": [3]}, ["y"], opset=7)
    x = np.array([-1e30, 0, 1e30], np.float32)
    np.testing.assert_array_equal(fastcnn.load(proto).run(None, {"x": x})[0], x)
