"""A serialised model split into message and weights says what protobuf reads from it whole, broken ones too."""
from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from graph_helper import damaged, floats, model, node
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.reader.wire import OddMessage, split


def example() -> ModelProto:
    """Initializers with raw data, without, with none at all and with strings; fields of every wire type."""
    proto = model([node("Conv", ["x", "w"], ["c"], name="c1"), node("Add", ["c", "b"], ["y"])], {"x": [1, 4, 8, 8]}, ["y"],
                  constants={"w": floats(6, 4, 3, 3), "b": floats(6, 1, 1)})
    unpacked = helper.make_tensor("f", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    empty = numpy_helper.from_array(np.zeros((0, 4), np.float32), "e")
    strings = helper.make_tensor("s", TensorProto.STRING, [2], [b"a", b"b"])
    proto.graph.initializer.extend([unpacked, empty, strings])
    proto.metadata_props.add(key="k", value="v")
    return proto


def whole(data: bytes) -> ModelProto | None:
    try:
        return ModelProto.FromString(data)
    except DecodeError:
        return None


def together(data: bytes) -> ModelProto | None:
    """The message with the weights put back."""
    light, weights = split(data)
    proto = whole(light)
    for k, array in enumerate(weights):
        if proto is not None and array is not None:
            proto.graph.initializer[k].raw_data = array.tobytes()
    return proto


def test_split_loses_nothing() -> None:
    proto = example()
    data = proto.SerializeToString()
    light, weights = split(data)
    assert together(data) == proto
    assert len(light) < len(data) - 4 * 6 * 4 * 9
    assert [w is not None for w in weights] == [t.HasField("raw_data") for t in proto.graph.initializer]
    assert all(w is None or not w.flags.writeable for w in weights)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3), st.floats(0, 1))
def test_split_of_a_damaged_file_reads_as_protobuf_reads_it(changes: list[tuple[float, int]], kept: float) -> None:
    cut = damaged(example().SerializeToString(), changes, kept)
    try:
        found = together(cut)
    except OddMessage:
        return
    expected = whole(cut)
    assert (found is None) == (expected is None)
    assert found is None or expected is None or found.SerializeToString() == expected.SerializeToString()      # NaNs too


@pytest.mark.parametrize("data", [b"\x0b\x0c", b"\x3a\x7f", b"\x08" + b"\xff" * 11, b"\x3a\x00\x3a\x00", b"\x3d\x00"],
                         ids=["group", "too long", "endless varint", "two graphs", "cut off"])
def test_split_leaves_odd_messages_to_protobuf(data: bytes) -> None:
    with pytest.raises(OddMessage):
        split(data)


def test_load_reads_graphs_in_two_parts_as_protobuf_merges_them() -> None:
    first, second = example(), ModelProto()
    second.graph.initializer.append(numpy_helper.from_array(floats(2), "late"))
    merged = fastcnn.load(first.SerializeToString() + second.SerializeToString())
    x = floats(1, 4, 8, 8)
    np.testing.assert_array_equal(merged(x), fastcnn.load(first)(x))
