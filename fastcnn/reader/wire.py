"""A serialised model split in two: the message without its weights, and the weights, each read once into an array of its own.

protobuf alone would copy every weight three times (file, message, bytes of a field) and hold two of the copies. The encoding is
https://protobuf.dev/programming-guides/encoding: fields of a tag, (number << 3) | wire type, and a payload.
"""
from __future__ import annotations

from collections.abc import Iterator
from io import SEEK_END
from typing import BinaryIO

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto.
MODEL_GRAPH, GRAPH_INITIALIZER, TENSOR_RAW_DATA = 7, 5, 9
# The longest that protobuf takes: tags and lengths have 32 bits, values 64.
TAG_BYTES, VALUE_BYTES = 5, 10


class OddMessage(Exception):
    """A form that no serialiser of models writes, broken or not: for protobuf to judge."""


def split(stream: BinaryIO) -> tuple[bytes, list[np.ndarray | None]]:
    """(the serialised ModelProto without raw_data in its initializers, the uint8 array of each initializer or None).

    Reads a seekable stream from its beginning. Raises OddMessage.
    """
    size = stream.seek(0, SEEK_END)
    stream.seek(0)
    model, arrays = bytearray(), None
    for tag, length in _fields(stream, size):
        if tag != MODEL_GRAPH << 3 | BYTES:
            _copy(stream, tag, length, model)
            continue
        if arrays is not None:
            raise OddMessage("two graphs, which protobuf would merge")
        graph, arrays = _split_graph(stream, length)
        _append(model, tag, graph)
    return bytes(model), arrays or []


def _split_graph(stream: BinaryIO, size: int) -> tuple[bytearray, list[np.ndarray | None]]:
    graph, arrays = bytearray(), []
    for tag, length in _fields(stream, size):
        if tag != GRAPH_INITIALIZER << 3 | BYTES:
            _copy(stream, tag, length, graph)
            continue
        tensor, array = _split_tensor(stream, length)
        _append(graph, tag, tensor)
        arrays.append(array)
    return graph, arrays


def _split_tensor(stream: BinaryIO, size: int) -> tuple[bytearray, np.ndarray | None]:
    tensor, array = bytearray(), None
    for tag, length in _fields(stream, size):
        if tag != TENSOR_RAW_DATA << 3 | BYTES:
            _copy(stream, tag, length, tensor)
            continue
        array = np.empty(length, np.uint8)
        if stream.readinto(array.data) != length:       # type: ignore[attr-defined]
            raise OddMessage("cut off")
        array.setflags(write=False)
    return tensor, array


def _fields(stream: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """(tag, bytes of payload) of each field in the next `size` bytes; the caller reads the payload.  A varint's length is 0."""
    end = stream.tell() + size
    position = end - size
    while position < end:
        tag = _varint(stream, TAG_BYTES)
        wire = tag & 7
        if wire == BYTES:
            length = _varint(stream, TAG_BYTES)
        elif wire == VARINT:
            length = 0
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise OddMessage(f"wire type {wire}")
        if stream.tell() + length > end:
            raise OddMessage("a field that ends after its message")
        yield tag, length
        position = stream.tell()
    if position != end:
        raise OddMessage("a field that ends after its message")


def _copy(stream: BinaryIO, tag: int, length: int, target: bytearray) -> None:
    """Appends the field whose payload comes next."""
    wire = tag & 7
    if wire == BYTES:
        _append(target, tag, stream.read(length))
        return
    target += _encoded(tag)
    target += _encoded(_varint(stream, VALUE_BYTES)) if wire == VARINT else stream.read(length)


def _append(target: bytearray, tag: int, payload: bytes | bytearray) -> None:
    target += _encoded(tag)
    target += _encoded(len(payload))
    target += payload


def _varint(stream: BinaryIO, limit: int) -> int:
    value = 0
    for k in range(limit):
        byte = stream.read(1)
        if not byte:
            raise OddMessage("cut off")
        value |= (byte[0] & 127) << 7 * k
        if byte[0] < 128:
            return value
    raise OddMessage("a varint without an end")


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
