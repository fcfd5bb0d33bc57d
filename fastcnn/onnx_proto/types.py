"""Converts between ONNX's type messages, numpy's dtypes and type strings such as "tensor(float)"."""
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Dim, Shape

if TYPE_CHECKING:
    from onnx import TypeProto

# TensorProto.DataType: tensor(...) names as onnxruntime prints them, the enum's names in lower case (FLOAT -> float).
ELEMENT_NAMES = dict(enumerate(
    ("float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "double", "uint32", "uint64", "complex64",
     "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1",
     "float8e8m0", "uint2", "int2", "float6e2m3", "float6e3m2"), start=1))
# Those that numpy has, by its names; the others come from ml_dtypes, through onnx.
NUMPY_NAMES = {"float": "float32", "double": "float64", **{name: name for name in (
    "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16", "uint32", "uint64", "complex64", "complex128")}}
_NAMES_OF_NUMPY = {numpy_name: name for name, numpy_name in NUMPY_NAMES.items()}
ELEMENT_NUMBERS = {name: number for number, name in ELEMENT_NAMES.items()}


def text(value: str | bytes, what: str) -> str:
    """A string field as str: protobuf returns bytes where they are not valid UTF-8."""
    if isinstance(value, bytes):
        raise ModelError(f"{what}: {value!r} is not UTF-8")
    return value


def normal_domain(domain: str) -> str:
    """The domain's name; "" for the default domain, which is also called "ai.onnx"."""
    return "" if domain == "ai.onnx" else domain


def type_string(proto: TypeProto) -> str:
    """onnxruntime's spelling of a type, "tensor(float)" or "seq(tensor(int64))"; "" when none is given."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type" or kind == "sparse_tensor_type":
        element = ELEMENT_NAMES.get(getattr(proto, kind).elem_type)
        return "" if element is None else f"{'sparse_' * (kind[0] == 's')}tensor({element})"
    if kind == "sequence_type":
        return f"seq({type_string(proto.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({type_string(proto.optional_type.elem_type)})"
    if kind == "map_type":
        key = ELEMENT_NAMES.get(proto.map_type.key_type, "")
        value = type_string(proto.map_type.value_type)
        return f"map({key},{value})"
    return ""


def type_shape(proto: TypeProto) -> Shape | None:
    """Sizes as ints, symbolic ones as strings, unknown and negative ones None; None when the rank is unknown."""
    if not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return None
    return tuple(_dim(d) for d in proto.tensor_type.shape.dim)


def _dim(dim: Any) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return text(dim.dim_param, "size of an axis") or None


def tensor_type(element: str, shape: Shape | None) -> TypeProto:
    """The TypeProto of a "tensor(element)" of this shape."""
    from onnx import helper
    return helper.make_tensor_type_proto(ELEMENT_NUMBERS[element], None if shape is None else list(shape))


def type_proto(type_name: str, shape: Shape | None) -> TypeProto:
    """The TypeProto that type_string() spells so, with the shape where it is a tensor; empty for what is none of ONNX's."""
    from onnx import TypeProto
    kind, _, inner = type_name.partition("(")
    inner, proto = inner[:-1], TypeProto()
    if kind == "tensor" and inner in ELEMENT_NUMBERS:
        return tensor_type(inner, shape)
    if kind == "seq":
        proto.sequence_type.elem_type.CopyFrom(type_proto(inner, None))
    elif kind == "optional":
        proto.optional_type.elem_type.CopyFrom(type_proto(inner, None))
    return proto


def element_of(type_name: str) -> str | None:
    """"float" of "tensor(float)"; None for anything but a dense tensor."""
    return type_name[7:-1] if type_name.startswith("tensor(") else None


@cache
def numpy_type(element: str) -> np.dtype:
    """The numpy dtype of an ONNX element type name; bfloat16 and smaller floats come from ml_dtypes.

    ModelError for a type that the installed onnx is too old to know.
    """
    if element in NUMPY_NAMES:
        return np.dtype(NUMPY_NAMES[element])
    import onnx
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(ELEMENT_NUMBERS[element]))
    except KeyError:
        raise ModelError(f"element type {element}: onnx {onnx.__version__} does not know it, a newer onnx does") from None


@cache
def element_name(dtype: np.dtype) -> str:
    """The ONNX element type name of a numpy dtype (any string dtype is "string")."""
    if dtype.kind in "OUST":
        return "string"
    if dtype.name in _NAMES_OF_NUMPY:
        return _NAMES_OF_NUMPY[dtype.name]
    from onnx import helper
    return ELEMENT_NAMES[helper.np_dtype_to_tensor_dtype(dtype)]


@cache
def tensor_of(dtype: np.dtype) -> str:
    """"tensor(float)" for arrays of a numpy dtype."""
    return f"tensor({element_name(dtype)})"


def message_name(value: object) -> str:
    """The name of a message's type, such as "GraphProto", or of any other object's type."""
    return getattr(value, "proto_name", None) or type(value).__name__


def attribute_type(attribute: Any) -> int:
    """The AttributeProto type that an attribute of an operator's schema has."""
    return int(attribute.type.value)
