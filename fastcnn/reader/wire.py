"""A serialised model split in two: the message without its weights, and the weights as views of where they lie.

protobuf alone would copy every weight twice (message, bytes of a field). The encoding is
https://protobuf.dev/programming-guides/encoding: fields of a tag, (number << 3) | wire type, and a payload.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcnn.mapping import Mapping, bytes_at

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto.
MODEL_GRAPH, GRAPH_INITIALIZER, TENSOR_RAW_DATA = 7, 5, 9
# The longest that protobuf takes: tags and lengths have 32 bits, values 64.
TAG_BYTES, VALUE_BYTES = 5, 10

Weights = list[np.ndarray | None]


class OddMessage(Exception):
    """A form that no serialiser of models writes, broken or not: for protobuf to judge."""


def split(data: bytes | Mapping) -> tuple[bytes, Weights]:
    """(the serialised ModelProto without raw_data in its initializers, the uint8 array of each initializer or None).

    Long arrays are views of data. Raises OddMessage.
    """
    model, weights = bytearray(), None
    for tag, start, begin, end in _fields(data, 0, len(data)):
        if tag != MODEL_GRAPH << 3 | BYTES:
            model += data[start:end]
            continue
        if weights is not None:
            raise OddMessage("two graphs, which protobuf would merge")
        graph, weights = _split_graph(data, begin, end)
        _append(model, tag, graph)
    return bytes(model), weights or []


def _split_graph(data: bytes | Mapping, begin: int, end: int) -> tuple[bytearray, Weights]:
    graph, weights = bytearray(), []
    for tag, start, inside, after in _fields(data, begin, end):
        if tag != GRAPH_INITIALIZER << 3 | BYTES:
            graph += data[start:after]
            continue
        tensor, array = _split_tensor(data, inside, after)
        _append(graph, tag, tensor)
        weights.append(array)
    return graph, weights


def _split_tensor(data: bytes | Mapping, begin: int, end: int) -> tuple[bytearray, np.ndarray | None]:
    tensor, array = bytearray(), None
    for tag, start, inside, after in _fields(data, begin, end):
        if tag != TENSOR_RAW_DATA << 3 | BYTES:
            tensor += data[start:after]
            continue
        array = bytes_at(data, inside, after - inside)
    return tensor, array


def _fields(data: bytes | Mapping, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, offset of the tag, of the payload, and after it) of each field in data[position:end]."""
    while position < end:
        start = position
        tag, position = _varint(data, position, TAG_BYTES)
        wire = tag & 7
        if wire == BYTES:
            length, position = _varint(data, position, TAG_BYTES)
        elif wire == VARINT:
            length = _varint(data, position, VALUE_BYTES)[1] - position
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise OddMessage(f"wire type {wire}")
        if position + length > end:
            raise OddMessage("a field that ends after its message")
        yield tag, start, position, position + length
        position += length


def _append(target: bytearray, tag: int, payload: bytearray) -> None:
    for value in (tag, len(payload)):
        while value > 127:
            target.append(value & 127 | 128)
            value >>= 7
        target.append(value)
    target += payload


def _varint(data: bytes | Mapping, position: int, limit: int) -> tuple[int, int]:
    """(value, offset after it)."""
    value = 0
    for k, byte in enumerate(data[position:position + limit]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value, position + k + 1
    raise OddMessage("a varint that is cut off or has no end")
