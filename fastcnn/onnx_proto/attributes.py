"""Converts the attributes of a NodeProto to plain Python. Messages are protobuf's objects or those of messages.py."""
from __future__ import annotations

from enum import IntEnum
from typing import Any

from fastcnn.ir.errors import ModelError
from fastcnn.onnx_proto.tensor_data import dense_array
from fastcnn.onnx_proto.types import text


class Kind(IntEnum):
    """AttributeProto.AttributeType."""

    UNDEFINED, FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS, TENSORS, GRAPHS = range(11)
    SPARSE_TENSOR, SPARSE_TENSORS, TYPE_PROTO, TYPE_PROTOS = range(11, 15)


_SCALAR_FIELDS: dict[int, str] = {Kind.FLOAT: "f", Kind.INT: "i", Kind.STRING: "s",
                  Kind.TENSOR: "t", Kind.GRAPH: "g", Kind.TYPE_PROTO: "tp",
                  Kind.SPARSE_TENSOR: "sparse_tensor"}
_LIST_FIELDS: dict[int, str] = {
    Kind.FLOATS: "floats",
    Kind.INTS: "ints",
    Kind.STRINGS: "strings",
    Kind.TENSORS: "tensors",
    Kind.GRAPHS: "graphs",
    Kind.TYPE_PROTOS: "type_protos",
    Kind.SPARSE_TENSORS: "sparse_tensors",
}


def attribute_kind(attribute: Any) -> int:
    """AttributeProto.type; guessed from the filled field in files of IR version 1, which lack it."""
    if attribute.type:
        return attribute.type
    for kind, name in _SCALAR_FIELDS.items():
        if attribute.HasField(name):
            return kind
    for kind, name in _LIST_FIELDS.items():
        if len(getattr(attribute, name)):
            return kind
    return Kind.UNDEFINED


def attribute_value(attribute: Any, where: str, beside: str | None = None) -> Any:
    """int, float, str, array or list of them; GraphProto, TypeProto and SparseTensorProto stay as they are."""
    kind = attribute.type or attribute_kind(attribute)
    if isinstance(attribute.name, bytes):
        text(attribute.name, f"{where}: name of an attribute")
    if attribute.ref_attr_name:
        raise ModelError(f"{where}: attribute {attribute.name!r} refers to {attribute.ref_attr_name!r} of a function, "
                         "but the node stands in none")
    field = _SCALAR_FIELDS.get(kind)
    if field is not None:
        value = getattr(attribute, field)
        if field == "t":
            return dense_array(value, beside, f"{where}: attribute {attribute.name!r}")
        return _text(value) if field == "s" else value
    field = _LIST_FIELDS.get(kind)
    if field == "tensors":
        return [dense_array(t, beside, f"{where}: attribute {attribute.name!r}") for t in attribute.tensors]
    if field == "strings":
        return [_text(s) for s in attribute.strings]
    if field is not None:
        return list(getattr(attribute, field))
    raise ModelError(f"{where}: attribute {attribute.name!r} has neither type nor value")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
