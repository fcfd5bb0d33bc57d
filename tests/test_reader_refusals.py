"""What contradicts itself is refused at load, with the node, operator, attribute or value in the message."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper

from fastcnn.ir.errors import FastCNNError, ModelError
from fastcnn.reader import read
from fastcnn.schema.form import newest_opset

X = {"x": [1, 4, 8, 8]}
W = {"w": floats(6, 4, 3, 3)}


def refused(proto: Any, *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(proto)
    for part in parts:
        assert part in str(caught.value)


# node, further constants, parts of the message
INCONSISTENT: list[tuple[Any, dict[str, np.ndarray], list[str]]] = [
    (
        node("Conv", ["x", "w"], ["y"], name="c1", kernel_shape=[3, 5]),
        W,
        ["Conv 'c1'", "kernel_shape=[3, 5]", "[6, 4, 3, 3]"],
    ),
    (node("Conv", ["x", "w"], ["y"], name="c1"), {"w": floats(6, 3, 3, 3)}, ["Conv 'c1'", "4 channels", "needs 3"]),
    (node("Conv", ["x", "w"], ["y"], name="c1", group=2), W, ["Conv 'c1'", "group=2", "needs 8"]),
    (
        node("Conv", ["x", "w"], ["y"], name="c1", group=4),
        {"w": floats(6, 1, 3, 3)},
        ["Conv 'c1'", "group=4 does not divide the 6"],
    ),
    (node("Conv", ["x", "w"], ["y"], name="c1", group=0), W, ["Conv 'c1'", "group=0"]),
    (node("Conv", ["x", "w", "b"], ["y"], name="c1"), {**W, "b": floats(5)}, ["Conv 'c1'", "bias", "[5]", "[6]"]),
    (node("Conv", ["x", "w", "b"], ["y"], name="c1"), {**W, "b": floats(6, 1)}, ["Conv 'c1'", "bias", "[6, 1]"]),
    (node("Conv", ["x", "w"], ["y"], name="c1", strides=[1]), W, ["Conv 'c1'", "strides=[1]"]),
    (node("Conv", ["x", "w"], ["y"], name="c1", strides=[0, 1]), W, ["Conv 'c1'", "strides=[0, 1]"]),
    (node("Conv", ["x", "w"], ["y"], name="c1", dilations=[1, -1]), W, ["Conv 'c1'", "dilations=[1, -1]"]),
    (node("Conv", ["x", "w"], ["y"], name="c1", pads=[1, 1]), W, ["Conv 'c1'", "pads=[1, 1]"]),
    (node("Conv", ["x", "w"], ["y"], name="c1"), {"w": floats(6, 4, 3)}, ["Conv 'c1'", "4 axes", "[6, 4, 3]"]),
    (node("Conv", ["x", "w"], ["y"], name="c1"), {"w": floats(6, 4)}, ["Conv 'c1'", "[6, 4]"]),
    (
        node("ConvTranspose", ["x", "w"], ["y"], name="t"),
        {"w": floats(3, 4, 3, 3)},
        ["ConvTranspose 't'", "4 channels", "needs 3"],
    ),
    (
        node("ConvTranspose", ["x", "w", "b"], ["y"], name="t", group=2),
        {"w": floats(4, 3, 3, 3), "b": floats(3)},
        ["ConvTranspose 't'", "bias", "[6]"],
    ),
    (
        node("ConvTranspose", ["x", "w"], ["y"], name="t", group=3),
        {"w": floats(4, 3, 3, 3)},
        ["ConvTranspose 't'", "group=3"],
    ),
    (node("MaxPool", ["x"], ["y"], name="p", kernel_shape=[2]), {}, ["MaxPool 'p'", "kernel_shape=[2]", "4 axes"]),
    (node("MaxPool", ["x"], ["y"], name="p", kernel_shape=[2, 0]), {}, ["MaxPool 'p'", "kernel_shape=[2, 0]"]),
    (
        node("AveragePool", ["x"], ["y"], name="p", kernel_shape=[2, 2], strides=[1, 1, 1]),
        {},
        ["AveragePool 'p'", "strides=[1, 1, 1]"],
    ),
    (
        node("BatchNormalization", ["x", "s", "s", "s", "v"], ["y"], name="bn"),
        {"s": floats(4), "v": floats(3)},
        ["BatchNormalization 'bn'", "var", "[3]"],
    ),
    (
        node("InstanceNormalization", ["x", "s", "b"], ["y"], name="in"),
        {"s": floats(5), "b": floats(4)},
        ["InstanceNormalization 'in'", "scale", "[5]"],
    ),
    (node("MatMul", ["x", "m"], ["y"], name="m"), {"m": floats(7, 2)}, ["MatMul 'm'", "8 and 7 differ"]),
    (
        node("QLinearConv", ["q", "s", "z", "qw", "s", "z", "s", "z"], ["y"], name="q"),
        {
            "q": np.zeros((1, 4, 5, 5), np.uint8),
            "qw": np.zeros((6, 3, 3, 3), np.uint8),
            "s": np.float32(1),
            "z": np.uint8(0),
        },
        ["QLinearConv 'q'", "4 channels"],
    ),
]


@pytest.mark.parametrize("case", INCONSISTENT, ids=lambda c: " ".join(c[2][:2]))
def test_inconsistent_node_is_refused(case: tuple[Any, dict[str, np.ndarray], list[str]]) -> None:
    wrong, constants, parts = case
    refused(model([wrong], X, ["y"], constants), *parts)


@pytest.mark.parametrize("attrs, b, c, parts", [
    ({}, (3, 5), None, ["inner sizes 4 and 3"]),
    ({"transB": 1}, (5, 3), None, ["inner sizes 4 and 3"]),
    ({"transA": 1}, (4, 5), None, ["inner sizes 2 and 4"]),
    ({}, (4, 5), (4,), ["C has shape [4]"]),
    ({}, (4, 5), (3, 5), ["C has shape [3, 5]"]),
    ({}, (4, 5, 1), None, ["B has shape [4, 5, 1]"]),
], ids=str)
def test_inconsistent_gemm_is_refused(
    attrs: dict[str, int], b: tuple[int, ...], c: tuple[int, ...] | None, parts: list[str]
) -> None:
    constants = {"b": floats(*b), **({} if c is None else {"c": floats(*c)})}
    refused(
        model([node("Gemm", ["x", *constants], ["y"], name="fc", **attrs)], {"x": [2, 4]}, ["y"], constants),
        "Gemm 'fc'",
        *parts,
    )


def test_channels_known_by_inference_only_are_checked() -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("Conv", ["b", "v"], ["y"], name="second")],
        {"x": ["n", 4, "h", "w"]},
        ["y"],
        {**W, "v": floats(2, 5, 1, 1)},
    )
    refused(proto, "Conv 'second'", "6 channels", "needs 5")


def test_cycle_is_refused_with_its_nodes() -> None:
    nodes = [
        node("Add", ["x", "c"], ["a"], name="one"),
        node("Relu", ["a"], ["b"], name="two"),
        node("Abs", ["b"], ["c"], name="three"),
        node("Neg", ["c"], ["y"], name="after"),
    ]
    refused(model(nodes, X, ["y"]), "cycle of 3 nodes", "Add 'one'", "Relu 'two'", "Abs 'three'")


def test_missing_value_is_refused() -> None:
    refused(model([node("Add", ["x", "nobody"], ["y"], name="sum")], X, ["y"]), "Add 'sum'", "'nobody'")


def test_value_missing_in_a_body_is_refused() -> None:
    branch = helper.make_graph(
        [node("Neg", ["nobody"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, None)]
    )
    proto = model(
        [node("If", ["c"], ["y"], name="if", then_branch=branch, else_branch=branch)], X, ["y"], {"c": np.array(True)}
    )
    refused(proto, "If 'if'", "'nobody'")


def test_value_assigned_twice_is_refused() -> None:
    refused(
        model([node("Relu", ["x"], ["y"], name="r"), node("Abs", ["x"], ["y"], name="a")], X, ["y"]),
        "Abs 'a'",
        "'y'",
        "Relu 'r'",
    )
    refused(model([node("Relu", ["x"], ["w"], name="r")], X, ["w"], W), "Relu 'r'", "'w'")
    refused(model([node("Relu", ["x"], ["x"], name="r")], X, ["x"]), "Relu 'r'", "'x'")


def test_initializer_given_twice_is_refused() -> None:
    proto = model([node("Conv", ["x", "w"], ["y"])], X, ["y"], W)
    proto.graph.initializer.append(proto.graph.initializer[0])
    refused(proto, "initializer 'w'", "twice")


def test_output_nobody_makes_is_refused() -> None:
    refused(model([node("Relu", ["x"], ["y"])], X, ["y", "z"]), "output 'z'")


def test_no_outputs_are_refused() -> None:
    refused(model([node("Relu", ["x"], ["y"])], X, []), "no outputs")


@pytest.mark.parametrize("wrong, parts", [
    (node("Konv", ["x"], ["y"], name="k"), ["Konv 'k'", "no such operator"]),
    (node("Gelu", ["x", "x"], ["y"], name="g"), ["Gelu 'g'", "2 inputs", "opset 13"]),
    (node("Upsample", ["x", "x"], ["y"], name="u"), ["Upsample 'u'", "withdrawn since opset 10"]),
    (node("Conv", ["x"], ["y"], name="c"), ["Conv 'c'", "1 inputs"]),
    (node("Conv", ["x", ""], ["y"], name="c"), ["Conv 'c'", "'W'"]),
    (node("Relu", ["x", "x"], ["y"], name="r"), ["Relu 'r'", "2 inputs"]),
    (node("Relu", ["x"], ["y", "z"], name="r"), ["Relu 'r'", "2 outputs"]),
    (node("MaxPool", ["x"], ["y"], name="p"), ["MaxPool 'p'", "'kernel_shape'"]),
    (node("Relu", ["x"], ["y"], name="r", alpha=0.1), ["Relu 'r'", "unknown attribute 'alpha'"]),
    (node("LeakyRelu", ["x"], ["y"], name="l", alpha=1), ["LeakyRelu 'l'", "'alpha'", "FLOAT", "int 1"]),
    (node("MaxPool", ["x"], ["y"], name="p", kernel_shape=3), ["MaxPool 'p'", "'kernel_shape'", "INTS"]),
    (node("Foo", ["x"], ["y"], name="f", domain="ai.onnx.ml"), ["ai.onnx.ml::Foo 'f'", "no such operator"]),
    (node("Constant", [], ["y"], name="k"), ["Constant 'k'", "exactly one"]),
    (node("Constant", [], ["y"], name="k", value_int=1, value_float=1.0), ["Constant 'k'", "exactly one"]),
], ids=lambda v: v[0] if isinstance(v, list) else "")
def test_node_against_its_schema_is_refused(wrong: Any, parts: list[str]) -> None:
    refused(model([wrong], X, ["y"]), *parts)


def test_attribute_given_twice_is_refused() -> None:
    proto = model([node("LeakyRelu", ["x"], ["y"], name="l", alpha=0.1)], X, ["y"])
    proto.graph.node[0].attribute.append(proto.graph.node[0].attribute[0])
    refused(proto, "LeakyRelu 'l'", "'alpha'", "twice")


def test_attribute_of_a_function_outside_of_one_is_refused() -> None:
    proto = model([node("LeakyRelu", ["x"], ["y"], name="l")], X, ["y"])
    proto.graph.node[0].attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="slope"))
    refused(proto, "LeakyRelu 'l'", "'alpha'", "'slope'")


@pytest.mark.parametrize("opset", [0, newest_opset() + 1])
def test_opset_out_of_range_is_refused(opset: int) -> None:
    proto = model([node("Relu", ["x"], ["y"])], X, ["y"])
    proto.opset_import[0].version = opset
    refused(proto, f"opset {opset}", f"1 to {newest_opset()}")


def test_no_opset_is_refused() -> None:
    proto = model([node("Relu", ["x"], ["y"])], X, ["y"])
    del proto.opset_import[:]
    refused(proto, "no opset")


def test_domain_without_opset_is_refused() -> None:
    proto = model([node("Gelu", ["x"], ["y"], name="g", domain="com.microsoft")], X, ["y"])
    del proto.opset_import[1:]
    refused(proto, "com.microsoft::Gelu 'g'", "no opset of domain")


def with_tensor(**fields: Any) -> Any:
    proto = model([node("Conv", ["x", "w"], ["y"])], X, ["y"])
    proto.graph.initializer.append(TensorProto(name="w", **fields))
    return proto


@pytest.mark.parametrize("fields, parts", [
    ({"data_type": 1, "dims": [6, 4, 3, 3], "raw_data": b"1234"}, ["'w'", "4 bytes", "864"]),
    ({"data_type": 1, "dims": [2], "float_data": [1.0, 2.0, 3.0]}, ["'w'", "3 elements"]),
    ({"data_type": 1, "dims": [1 << 62, 1 << 62], "raw_data": b""}, ["'w'", "bytes"]),
    ({"data_type": 1, "dims": [-1, 4]}, ["'w'", "negative"]),
    ({"data_type": 99, "dims": [1]}, ["'w'", "element type 99"]),
    ({"data_type": 0, "dims": [1]}, ["'w'", "element type 0"]),
    ({"data_type": 1, "dims": [2]}, ["'w'", "0 elements"]),
    ({"data_type": 8, "dims": [1], "string_data": [b"\xff"]}, ["'w'"]),
    ({"data_type": 22, "dims": [9], "raw_data": b"12"}, ["'w'", "2 bytes"]),
], ids=str)
def test_tensor_whose_data_does_not_fit_is_refused(fields: dict[str, Any], parts: list[str]) -> None:
    refused(with_tensor(**fields), *parts)


@pytest.mark.parametrize(
    "dims, indices, values",
    [([1 << 40], [1], 1), ([-2], [0], 1), ([4], [4], 1), ([4], [-1], 1), ([4], [0, 1], 1), ([2, 2], [[0, 2]], 1)],
    ids=str,
)
def test_sparse_tensor_that_does_not_fit_is_refused(dims: list[int], indices: list[Any], values: int) -> None:
    proto = model([node("Add", ["x", "s"], ["y"])], X, ["y"])
    sparse = onnx.SparseTensorProto(dims=dims)
    sparse.values.CopyFrom(onnx.numpy_helper.from_array(np.ones(values, np.float32), "s"))
    sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.array(indices, np.int64)))
    proto.graph.sparse_initializer.append(sparse)
    refused(proto, "'s'")


@pytest.mark.parametrize(
    "data, part",
    [
        (b"", "empty"),
        (b"hello world, this is no model", "not an ONNX model"),
        (b"\0" * 64, "not an ONNX model"),
        (b"abcdORTMxyz", "ORT format"),
        (b"PK\x03\x04" + b"\0" * 60, "not an ONNX model"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, part: str, tmp_path: Path) -> None:
    refused(data, part)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    refused(path, part, "m.onnx")


def test_empty_proto_is_refused() -> None:
    refused(onnx.ModelProto(), "no graph")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "none.onnx", "No such file")
    refused(tmp_path, "cannot be read")
    refused("a\0b", "cannot be read")


DATA = model(
    [
        node("Conv", ["x", "w", "b"], ["c"], name="c1", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("Shape", ["r"], ["s"]),
        node("Reshape", ["r", "s"], ["y"]),
    ],
    X,
    ["y"],
    {**W, "b": floats(6)},
).SerializeToString()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9, 0.999])
def test_cut_off_file_is_refused(share: float) -> None:
    refused(DATA[:int(len(DATA) * share)], "cut off")


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_file_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(DATA)
    for position, value in changes:
        damaged[position] = value
    with suppress(FastCNNError):
        read(bytes(damaged))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    refused(data)
