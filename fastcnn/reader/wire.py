"""Splits a serialised model into the message without its weights and the weights, as views of the serialised bytes.

protobuf would copy every weight twice: into the message, and as the bytes of a field.
"""
from __future__ import annotations

import numpy as np

from fastcnn.mapping import Mapping, bytes_at
from fastcnn.onnx_proto.messages import BYTES, OddMessage, fields

# Field numbers of onnx.proto.
MODEL_GRAPH, GRAPH_INITIALIZER, TENSOR_RAW_DATA = 7, 5, 9

Weights = list[np.ndarray | None]


def split(data: bytes | Mapping) -> tuple[bytes, Weights]:
    """(the serialised ModelProto without raw_data in its initializers, the uint8 array of each initializer or None).

    Long arrays are views of data. Raises OddMessage.
    """
    model, weights = bytearray(), None
    for tag, start, begin, end in fields(data, 0, len(data)):
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
    for tag, start, inside, after in fields(data, begin, end):
        if tag != GRAPH_INITIALIZER << 3 | BYTES:
            graph += data[start:after]
            continue
        tensor, array = _split_tensor(data, inside, after)
        _append(graph, tag, tensor)
        weights.append(array)
    return graph, weights


def _split_tensor(data: bytes | Mapping, begin: int, end: int) -> tuple[bytearray, np.ndarray | None]:
    tensor, array = bytearray(), None
    for tag, start, inside, after in fields(data, begin, end):
        if tag != TENSOR_RAW_DATA << 3 | BYTES:
            tensor += data[start:after]
            continue
        array = bytes_at(data, inside, after - inside)
    return tensor, array


def _append(target: bytearray, tag: int, payload: bytearray) -> None:
    for value in (tag, len(payload)):
        while value > 127:
            target.append(value & 127 | 128)
            value >>= 7
        target.append(value)
    target += payload
