"""Decodes serialised ONNX models without importing onnx and protobuf, which takes 60 ms.

Decoded messages have the attribute names of onnx.proto.

The encoding is https://protobuf.dev/programming-guides/encoding: fields of a tag, (number << 3) | wire type, and a payload. What is not
in the tables below (functions, bodies of control flow, sparse tensors, numbers in typed fields ...) is left to protobuf.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.record import dataclass
from fastcnn.mapping import VIEWED_BYTES, bytes_at
from fastcnn.mapping import Mapping as FileMapping

# Nodes by the form of others: fastcnn_c/nodes.pxi says what they do.
form_of, node_like = _native.form_of, _native.node_like
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# The longest that protobuf takes: tags and lengths have 32 bits, values 64.
TAG_BYTES, VALUE_BYTES = 5, 10
# Messages in each other: what protobuf allows.
MAX_DEPTH = 100


class OddMessage(Exception):
    """The bytes have a form that this decoder does not know, valid or not: protobuf has to decode them."""


@dataclass(frozen=True)
class Field:
    """form: "int", "float", "str", "bytes", "view" (bytes as an array over data), "skipped" (nobody asks) or the name of a message;

    of packed numbers that are read as an array "float32", "float64" and "varint".
    """

    name: str
    form: str
    repeated: bool = False


def _table(**numbers: int) -> dict[int, Field]:
    """A message's fields from keyword arguments name__form=number; a form in the plural marks a repeated field."""
    table = {}
    for key, number in numbers.items():
        name, _, form = key.rpartition("__")
        many = form.endswith("s") and form != "bytes"
        table[number] = Field(name, form.removesuffix("s") if many else form, many)
    return table


# Message -> number -> field of onnx.proto.
MESSAGES: dict[str, dict[int, Field]] = {
    "Model": _table(ir_version__int=1, producer_name__str=2, producer_version__str=3, domain__str=4, model_version__int=5,
                    doc_string__str=6, graph__Graph=7, opset_import__Opsets=8, metadata_props__Entrys=14),
    "Opset": _table(domain__str=1, version__int=2),
    "Entry": _table(key__str=1, value__str=2),
    "Graph": _table(node__Nodes=1, name__str=2, initializer__Tensors=5, doc_string__str=10, input__Values=11, output__Values=12,
                    value_info__skipped=13, metadata_props__skipped=16),
    "Node": _table(input__strs=1, output__strs=2, name__str=3, op_type__str=4, attribute__Attributes=5, doc_string__skipped=6,
                   domain__str=7, metadata_props__skipped=9),
    "Attribute": {**_table(name__str=1, f__float=2, i__int=3, s__bytes=4, t__Tensor=5, g__Graph=6, floats__floats=7, ints__ints=8,
                           doc_string__skipped=13, type__int=20), 9: Field("strings", "bytes", True)},
    "Tensor": _table(dims__ints=1, data_type__int=2, float_data__float32=4, int32_data__varint=5, int64_data__varint=7, name__str=8,
                     raw_data__view=9, double_data__float64=10, uint64_data__varint=11, doc_string__skipped=12, external_data__Entrys=13,
                     data_location__int=14),
    "Value": _table(name__str=1, type__Type=2, doc_string__skipped=3, metadata_props__skipped=4),
    "Type": _table(tensor_type__TensorType=1, denotation__skipped=6),
    "TensorType": _table(elem_type__int=1, shape__Shape=2),
    "Shape": _table(dim__Dims=1),
    "Dim": _table(dim_value__int=1, dim_param__str=2, denotation__skipped=3),
}
# Fields that protobuf's messages have and these never do, as the reader finds them there.
ABSENT: dict[str, dict[str, Any]] = {
    "Model": {"functions": ()},
    "Graph": {"sparse_initializer": ()},
    "Attribute": {"ref_attr_name": "", "tp": None, "sparse_tensor": None,
                  **dict.fromkeys(("tensors", "graphs", "type_protos", "sparse_tensors"), ())},
    "Tensor": {"string_data": ()},
}
# Messages that are the same in many nodes of a model: decode() makes one object of equal ones.
SHARED = frozenset({"Attribute"})
_DEFAULTS: dict[str, Any] = {"int": 0, "float": 0.0, "str": "", "bytes": b"", "view": b"", "skipped": None,
                              **dict.fromkeys(("float32", "float64", "varint"), ())}
_WIRES = {"int": VARINT, "float": FIXED32}


class Message:
    """A decoded message. Fields are attributes; unset ones have protobuf's defaults, which are attributes of the message's class."""

    kind = ""

    @property
    def proto_name(self) -> str:
        """protobuf's name of the message."""
        return f"{self.kind}Proto"

    def HasField(self, name: str) -> bool:
        """Whether a field that is not repeated is set."""
        return name in self.__dict__

    def WhichOneof(self, name: str) -> str | None:
        """For a TypeProto: which kind of value it describes ("tensor_type" ...), None if unset."""
        return "tensor_type" if "tensor_type" in self.__dict__ else None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.kind} has no field {name!r}")


def _classes() -> dict[str, type[Message]]:
    """Message -> the class of its objects."""
    made = {kind: type(kind, (Message,), {"kind": kind}) for kind in MESSAGES}
    for kind, table in MESSAGES.items():
        for field in table.values():
            setattr(made[kind], field.name, () if field.repeated else made[field.form]() if field.form in made else _DEFAULTS[field.form])
        for name, value in ABSENT.get(kind, {}).items():
            setattr(made[kind], name, value)
    return made


CLASSES = _classes()


def decode(data: bytes | FileMapping) -> Message:
    """Decodes a ModelProto from data; long weights are views of data. Raises OddMessage for fields that are not in the tables."""
    try:
        return _native.WireReader(data, _ROWS, CLASSES, OddMessage, VIEWED_BYTES).read("Model", MAX_DEPTH)
    except UnicodeDecodeError as error:
        raise OddMessage(str(error)) from None


def _floats(dtype: str) -> Callable[[bytes | FileMapping, int, int], np.ndarray]:
    """A packed field of floats of 4 or 8 bytes, as an array."""
    def read(data: bytes | FileMapping, begin: int, end: int) -> np.ndarray:
        if (end - begin) % np.dtype(dtype).itemsize:
            raise OddMessage("packed numbers that are cut off")
        return np.frombuffer(data[begin:end], dtype)
    return read


def _view(data: bytes | FileMapping, begin: int, end: int) -> np.ndarray:
    return bytes_at(data, begin, end - begin)


# How the native reader reads a form: a number of its own, or a function of (data, begin, end).
_FORMS = {"int": _native.FORM_INT, "float": _native.FORM_FLOAT, "str": _native.FORM_TEXT, "bytes": _native.FORM_BYTES,
          "skipped": _native.FORM_SKIPPED, "varint": _native.FORM_VARINTS}
_CALLS = {"view": _view, "float32": _floats("<f4"), "float64": _floats("<f8")}


def _row(field: Field) -> tuple[str, bool, int, Any]:
    """A field in the form of the native decoder's table."""
    called, inside = _CALLS.get(field.form), field.form if field.form in MESSAGES else None
    nested = _native.FORM_SHARED if inside in SHARED else _native.FORM_MESSAGE
    form = _native.FORM_VIEW if field.form == "view" else _native.FORM_CALL if called else nested if inside else _FORMS[field.form]
    return field.name, field.repeated, form, called or inside


# Message -> tag -> row, for the one wire type that the field has when it is not packed.
_ROWS = {kind: {number << 3 | _WIRES.get(field.form, BYTES): _row(field) for number, field in table.items()}
         for kind, table in MESSAGES.items()}


def fields(data: bytes | FileMapping, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, offset of the tag, of the payload, and after it) of each field in data[position:end]."""
    while position < end:
        start = position
        tag, position = varint(data, position, TAG_BYTES)
        wire = tag & 7
        if wire == BYTES:
            length, position = varint(data, position, TAG_BYTES)
        elif wire == VARINT:
            length = varint(data, position, VALUE_BYTES)[1] - position
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise OddMessage(f"wire type {wire}")
        if position + length > end:
            raise OddMessage("a field that ends after its message")
        yield tag, start, position, position + length
        position += length


def varint(data: bytes | FileMapping, position: int, limit: int) -> tuple[int, int]:
    """(value, offset after it)."""
    value = 0
    for k, byte in enumerate(data[position:position + limit]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value, position + k + 1
    raise OddMessage("a varint that is cut off or has no end")
