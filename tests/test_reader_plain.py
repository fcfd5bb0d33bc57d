"""Reading without onnx: the message, the schemas and the shapes of plain networks are what protobuf and onnx say of them."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from graph_helper import damaged, floats, model, node
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

import fastcnn
from fastcnn import _native
from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Graph
from fastcnn.onnx_proto import messages
from fastcnn.onnx_proto.attributes import Kind
from fastcnn.onnx_proto.messages import MESSAGES, Message, OddMessage, decode
from fastcnn.onnx_proto.types import ELEMENT_NAMES, element_name, numpy_type
from fastcnn.reader import model_file, read
from fastcnn.schema import form
from fastcnn.schema.signatures import NEWEST_OPSET, OLDEST_OPSET, SIGNATURES


def network() -> ModelProto:
    """A residual block, pooling, a classifier; a Constant, metadata, negative numbers and lists of floats among it."""
    nodes = [node("Conv", ["x", "w", "b"], ["c"], name="c1", pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
             node("Add", ["r", "x"], ["a"]), node("MaxPool", ["a"], ["m"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
             node("GlobalAveragePool", ["m"], ["g"]), node("Flatten", ["g"], ["f"], axis=-3),
             helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(floats(4), "v")), node("Mul", ["f", "k"], ["s"]),
             node("LeakyRelu", ["s"], ["y"], alpha=-0.25)]
    proto = model(nodes, {"x": ["batch", 4, 9, 8]}, ["y"], {"w": floats(4, 4, 3, 3), "b": floats(4), "none": np.zeros((0, 2), np.float32)})
    proto.metadata_props.add(key="k", value="v")
    proto.producer_name, proto.model_version, proto.graph.doc_string = "test", -1, "a graph"
    proto.graph.node[0].doc_string = "skipped"
    proto.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 2]))
    return proto


def by_protobuf(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Graph:
    def odd(data: bytes) -> Message:
        raise OddMessage
    with monkeypatch.context() as patch:
        patch.setattr(model_file, "decode", odd)
        return read(data)


def assert_same(found: Graph, expected: Graph) -> None:
    assert (found.nodes, found.inputs, found.outputs, found.opsets, found.name) == (
        expected.nodes, expected.inputs, expected.outputs, expected.opsets, expected.name)
    assert found.metadata == expected.metadata
    assert found.constants.keys() == expected.constants.keys()
    for name, array in found.constants.items():
        np.testing.assert_array_equal(array, expected.constants[name], strict=True)


def test_read_plain_message_is_what_protobuf_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = network().SerializeToString()
    assert isinstance(decode(data), Message)
    assert_same(read(data), by_protobuf(data, monkeypatch))


TYPED = {"float": [1.5, -2.0], "double": [1e300, -0.5], "int64": [-(2 ** 63), 2 ** 63 - 1], "int32": [-(2 ** 31), 300], "int8": [-128, 127],
         "uint8": [0, 255], "int16": [-(2 ** 15), 129], "uint16": [0, 2 ** 16 - 1], "bool": [True, False], "float16": [0.5, -65504.0],
         "uint32": [0, 2 ** 32 - 1], "uint64": [2 ** 64 - 1, 2 ** 63], "complex64": [1 + 2j, -3j], "complex128": [1e300 - 1j, 0]}


@pytest.mark.parametrize("element", TYPED)
def test_read_numbers_in_typed_fields_is_what_protobuf_reads(element: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proto = network()
    proto.graph.initializer.append(helper.make_tensor("typed", getattr(TensorProto, element.upper()), [2], TYPED[element]))
    data = proto.SerializeToString()
    assert isinstance(decode(data), Message)
    np.testing.assert_array_equal(read(data).constants["typed"], np.array(TYPED[element], numpy_type(element)), strict=True)
    np.testing.assert_array_equal(by_protobuf(data, monkeypatch).constants["typed"], read(data).constants["typed"], strict=True)


def test_read_bodies_is_what_protobuf_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    branches = [model([node("Add", ["x", f"k{k}"], ["t"])], {}, ["t"], {f"k{k}": floats(2, seed=k)}).graph for k in (0, 1)]
    activations = {"hidden_size": 2, "direction": "bidirectional", "activations": ["Relu", "Tanh"]}
    proto = model([node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
                   node("RNN", ["s", "w", "r"], ["z"], **activations)],
                  {"x": [2], "c": [], "s": [3, 1, 4]}, ["y", "z"], {"w": floats(2, 2, 4), "r": floats(2, 2, 2)},
                  types={"c": TensorProto.BOOL})
    data = proto.SerializeToString()
    assert isinstance(decode(data), Message)
    ours, theirs = read(data), by_protobuf(data, monkeypatch)
    assert str(ours) == str(theirs) and ours.nodes[0].captures == theirs.nodes[0].captures == (("x", "x"),)
    for name, body in ours.nodes[0].bodies.items():
        assert str(body) == str(theirs.nodes[0].bodies[name])
        for key, array in body.constants.items():
            np.testing.assert_array_equal(array, theirs.nodes[0].bodies[name].constants[key])
    assert ours.nodes[1].attrs == theirs.nodes[1].attrs == activations


def test_decode_of_messages_in_each_other_without_end_is_odd() -> None:
    inner = b""
    for _ in range(2000):                                         # a graph in an attribute in a node, again and again
        for tag in (0x0a, 0x32, 0x2a):
            size, length = len(inner), bytearray()
            while size > 127:
                length.append(size & 127 | 128)
                size >>= 7
            inner = bytes([tag, *length, size]) + inner
    with pytest.raises(OddMessage):
        decode(inner)


@pytest.mark.parametrize("kind, fields", MESSAGES.items(), ids=MESSAGES)
def test_fields_are_those_of_onnx(kind: str, fields: dict) -> None:
    names = {"Opset": "OperatorSetIdProto", "Entry": "StringStringEntryProto", "Value": "ValueInfoProto", "Shape": "TensorShapeProto"}
    if kind in ("TensorType", "Dim"):
        proto = TensorProto if kind == "Dim" else onnx.TypeProto.Tensor
        proto = onnx.TensorShapeProto.Dimension if kind == "Dim" else proto
    else:
        proto = getattr(onnx, names.get(kind, f"{kind}Proto"))
    own = {field.number: field.name for field in proto.DESCRIPTOR.fields}
    assert {number: field.name for number, field in fields.items()}.items() <= own.items()


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3), st.floats(0, 1))
def test_decode_of_a_damaged_file_is_odd_or_what_protobuf_decodes(changes: list[tuple[float, int]], kept: float) -> None:
    proto = network()
    del proto.graph.value_info[:]            # nobody looks into these, broken or not
    cut = damaged(proto.SerializeToString(), changes, kept)
    try:
        found = decode(cut)
    except OddMessage:
        return
    try:
        expected = ModelProto.FromString(cut)
    except DecodeError:                      # allowed inside of what is skipped alone
        looked_into = {kind: {tag: row for tag, row in table.items() if row[2] != _native.FORM_SKIPPED}
                       for kind, table in messages._ROWS.items()}
        with mock.patch.object(messages, "_ROWS", looked_into), pytest.raises(OddMessage):
            decode(cut)
        return
    for ours, theirs in zip(found.graph.node, expected.graph.node, strict=True):
        assert (ours.name, ours.op_type, [*ours.input], [*ours.output]) == (theirs.name, theirs.op_type, [*theirs.input], [*theirs.output])
        for a, b in zip(ours.attribute, theirs.attribute, strict=True):
            assert (a.name, a.i, [*a.ints], a.s) == (b.name, b.i, [*b.ints], b.s)
    for a, b in zip(found.graph.initializer, expected.graph.initializer, strict=True):
        assert (a.name, [*a.dims], bytes(a.raw_data)) == (b.name, [*b.dims], b.raw_data)


def test_numbers_of_element_types_and_attributes_are_onnx_s() -> None:
    known = {number: name.lower() for name, number in TensorProto.DataType.items() if number}
    assert known == {number: ELEMENT_NAMES[number] for number in known}                      # an older onnx knows fewer
    assert {kind.name: kind.value for kind in Kind} == dict(AttributeProto.AttributeType.items())
    for number, name in known.items():
        assert numpy_type(name) == helper.tensor_dtype_to_np_dtype(number)
        assert name == "string" or element_name(numpy_type(name)) == name


def test_an_element_type_that_the_installed_onnx_does_not_know_is_a_model_error() -> None:
    data = model([node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)], {"x": [1]}, ["y"])
    data.graph.initializer.add(name="w", dims=[4], data_type=max(ELEMENT_NAMES), raw_data=bytes(3))
    numpy_type.cache_clear()
    with mock.patch.object(helper, "tensor_dtype_to_np_dtype", side_effect=KeyError(max(ELEMENT_NAMES))), \
            pytest.raises(ModelError, match=f"{ELEMENT_NAMES[max(ELEMENT_NAMES)]}.*newer onnx"):
        read(data.SerializeToString())
    numpy_type.cache_clear()


@pytest.mark.parametrize("operator", SIGNATURES)
def test_signatures_are_those_of_onnx(operator: str) -> None:
    for opset in range(OLDEST_OPSET, min(NEWEST_OPSET, onnx.defs.onnx_opset_version()) + 1):
        assert form.signature(operator, opset, "") == form._signature_of_schema(operator, opset, "")


def test_a_plain_network_runs_without_onnx(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "m.onnx")
    code = """if True:
        import sys
        import fastcnn
        assert "onnx" not in sys.modules
        import numpy as np
        session = fastcnn.InferenceSession(sys.argv[1])
        for batch in (1, 3):
            y, = session.run(None, {session.get_inputs()[0].name: np.ones((batch, 4, 9, 8), np.float32)})
            assert y.shape == (batch, 4)
        loaded = [name for name in sys.modules if name.split(".")[0] in ("onnx", "google", "ml_dtypes")]
        assert not loaded, loaded
        """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.onnx")], capture_output=True, text=True,
                          env={"PYTHONPATH": str(Path(fastcnn.__file__).parent.parent)})
    assert done.returncode == 0, done.stderr


def test_a_quantised_network_loads_without_onnx(tmp_path: Path) -> None:
    """Q/DQ around a Conv with weights to fold, the operators on bytes, and those of the contributed domain."""
    node, rng = helper.make_node, np.random.default_rng(0)
    arrays = {"w": rng.standard_normal((4, 4, 3, 3), np.float32), "s": np.float32(0.02), "z": np.uint8(128), "b": np.zeros(4, np.int32),
              "w8": rng.integers(0, 255, (4, 4, 3, 3), np.uint8), "m": rng.integers(0, 255, (4, 4), np.uint8)}
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("QLinearConv", ["q", "s", "z", "w8", "s", "z", "s", "z", "b"], ["c"]),
             node("QLinearAdd", ["c", "s", "z", "c", "s", "z", "s", "z"], ["a"], domain="com.microsoft"),
             node("DequantizeLinear", ["a", "s", "z"], ["f"]), node("QuantizeLinear", ["w", "s", "z"], ["wq"]),
             node("DequantizeLinear", ["wq", "s", "z"], ["wf"]), node("Conv", ["f", "wf"], ["g"]),
             node("GlobalAveragePool", ["g"], ["p"]), node("Flatten", ["p"], ["row"]),
             node("DynamicQuantizeLinear", ["row"], ["r", "rs", "rz"]), node("MatMulInteger", ["r", "m", "rz", "z"], ["y"])]
    graph = helper.make_graph(nodes, "q", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 9, 8])],
                              [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 4])],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)], ir_version=8),
              tmp_path / "m.onnx")
    code = """if True:
        import sys, warnings
        warnings.simplefilter("ignore")
        import fastcnn
        fastcnn.load(sys.argv[1])
        loaded = [name for name in sys.modules if name.split(".")[0] in ("onnx", "google", "ml_dtypes")]
        assert not loaded, loaded
        """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.onnx")], capture_output=True, text=True,
                          env={"PYTHONPATH": str(Path(fastcnn.__file__).parent.parent)})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("offset", (0, 1, 4))
@pytest.mark.parametrize("dtype", (np.float32, np.int8, np.float64, np.bool_))
def test_tensor_of_bytes_is_their_view(dtype: type, offset: int) -> None:
    raw = np.frombuffer(bytes(range(offset + 48)), np.uint8)[offset:].view()
    dims = [2, 24 // np.dtype(dtype).itemsize]
    found, expected = _native.tensor_of(raw, np.dtype(dtype), dims), raw.view(dtype).reshape(dims)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found is not None and not found.flags.writeable and found.flags.aligned == expected.flags.aligned
    assert np.shares_memory(found, raw)


@pytest.mark.parametrize("dims", ([47], [49], [-48], [0, 48], [48, 0], [1 << 62, 4, 48], [-1, -48], [1] * 17 + [48]))
def test_tensor_of_bytes_leaves_odd_shapes_to_others(dims: list[int]) -> None:
    assert _native.tensor_of(np.zeros(48, np.uint8), np.dtype(np.uint8), dims) is None


def test_nodes_like_another_are_read_as_the_first() -> None:
    given = (["x"], ["a", "", "high"], ["b"], ["c", "", "high"], ["d"])
    nodes = [helper.make_node("Clip", inputs, [made], "named" if made in "be" else "") for inputs, made in zip(given, "abcde", strict=True)]
    nodes += [helper.make_node("MaxPool", [v], [f"{v}p"], kernel_shape=[1, 1]) for v in "ab"]
    proto = model(nodes, {"x": [1, 2, 3, 3]}, ["e", "ap", "bp"], {"high": np.array(6, np.float32)})
    graph = read(proto.SerializeToString())
    assert [(n.inputs, n.outputs, n.name) for n in graph.nodes] == [
        (tuple(p.input), tuple(p.output), p.name or f"{p.op_type}_{k}") for k, p in enumerate(proto.graph.node)]
    assert [n.reads for n in graph.nodes] == [tuple(v for v in n.inputs if v) for n in graph.nodes]
    first, second = graph.nodes[-2:]
    assert first.attrs == {"kernel_shape": [1, 1]} and first.attrs is second.attrs


def test_packed_varints_are_what_protobuf_decodes() -> None:
    values = [0, 1, 127, 128, -1, 1 << 31, -(1 << 31), (1 << 62) + 5, -(1 << 63)]
    proto = model([node("Identity", ["x"], ["y"])], {"x": [1]}, ["y"])
    proto.graph.initializer.append(TensorProto(name="w", dims=[len(values)], data_type=TensorProto.INT64, int64_data=values))
    data = proto.SerializeToString()
    found = decode(data).graph.initializer[0].int64_data
    np.testing.assert_array_equal(found, np.array(values), strict=True)
    packed = TensorProto(int64_data=values).SerializeToString()[2:]
    assert packed in data
    for cut in (b"\x80" * 10 + b"\1" + b"\0" * (len(packed) - 11), packed[:-1] + b"\x80"):         # eleven bytes, no end
        with pytest.raises(OddMessage):
            decode(data.replace(packed, cut))
