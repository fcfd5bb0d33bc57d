"""TensorProto -> numpy array, every length checked before anything is allocated or read."""
from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np

import fastcnn._native as _native
from fastcnn.budget import MAX_RANK
from fastcnn.ir.errors import ModelError
from fastcnn.onnx_proto.external_data import read_external
from fastcnn.onnx_proto.types import ELEMENT_NAMES, ELEMENT_NUMBERS, NUMPY_NAMES, numpy_type

if TYPE_CHECKING:
    from onnx import SparseTensorProto, TensorProto

# Sparse tensors say any size in a few bytes: refuse what could not be a weight of a convolutional network.
MAX_SPARSE_ELEMENTS = 1 << 28

# More axes than numpy has, more elements than memory addresses, whatever is empty.
MAX_ELEMENTS = 1 << 56

_BITS = {ELEMENT_NUMBERS[name]: bits for name, bits in
         (("int4", 4), ("uint4", 4), ("float4e2m1", 4), ("int2", 2), ("uint2", 2), ("float6e2m3", 6), ("float6e3m2", 6))}
STRING, COMPLEX = ELEMENT_NUMBERS["string"], (ELEMENT_NUMBERS["complex64"], ELEMENT_NUMBERS["complex128"])
EXTERNAL = 1        # TensorProto.DataLocation


# Element types whose bytes in a message are those of numpy.
_PLAIN = {number: numpy_type(name) for number, name in ELEMENT_NAMES.items() if name in NUMPY_NAMES and sys.byteorder == "little"}


def dense_array(tensor: TensorProto, beside: str | None, where: str, apart: np.ndarray | None = None) -> np.ndarray:
    """The tensor's array, read-only where it can share the message's bytes.

    beside   the model's file, in whose folder external data may lie; None: the model came without a place on disk
    apart    the bytes of raw_data where the message is without them
    Raises ModelError naming `where` for an unknown element type, negative sizes or data of the wrong length.
    """
    if apart is None and tensor.data_type in _PLAIN and type(tensor.raw_data) is np.ndarray and tensor.data_location != EXTERNAL:
        made = _native.tensor_of(tensor.raw_data, _PLAIN[tensor.data_type], tensor.dims)
        if made is not None:                # else it is empty, or something is wrong with it
            return made
    if tensor.data_type not in ELEMENT_NAMES:
        raise ModelError(f"{where}: unknown element type {tensor.data_type}")
    if tensor.HasField("segment"):
        raise ModelError(f"{where}: segmented tensors are not supported")
    dims = tuple(tensor.dims)
    if min(dims, default=0) < 0:
        raise ModelError(f"{where}: negative size in shape {list(dims)}")
    if len(dims) > MAX_RANK or (0 in dims and math.prod(max(d, 1) for d in dims) > MAX_ELEMENTS):
        raise ModelError(f"{where}: shape {list(dims[:MAX_RANK])} is larger than any tensor")
    if tensor.data_location == EXTERNAL:
        return _from_bytes(tensor, read_external(tensor, beside, _byte_count(tensor, dims), where), dims)
    if (apart is not None or tensor.HasField("raw_data")) and tensor.data_type != STRING:
        given = tensor.raw_data if apart is None else apart
        raw = given if isinstance(given, np.ndarray) else np.frombuffer(given, np.uint8)
        wanted = _byte_count(tensor, dims)
        if len(raw) != wanted:
            raise ModelError(f"{where}: {len(raw)} bytes of data where {ELEMENT_NAMES[tensor.data_type]}{list(dims)} has {wanted}")
        return _from_bytes(tensor, raw, dims)
    return _from_fields(tensor, dims, where)


def _byte_count(tensor: TensorProto, dims: tuple[int, ...]) -> int:
    if tensor.data_type == STRING:
        return -1
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        return math.prod(dims) * numpy_type(ELEMENT_NAMES[tensor.data_type]).itemsize
    return (math.prod(dims) * bits + 7) // 8


def _from_bytes(tensor: TensorProto, raw: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    dtype = numpy_type(ELEMENT_NAMES[tensor.data_type])
    if tensor.data_type in _BITS:
        from onnx import TensorProto, numpy_helper
        copy = TensorProto(data_type=tensor.data_type, dims=dims, raw_data=raw.tobytes())
        return numpy_helper.to_array(copy)
    if dtype.itemsize > 1 and sys.byteorder == "big":
        return raw.view(dtype).byteswap().reshape(dims)
    return raw.view(dtype).reshape(dims)


# Element type -> the field that numbers of it stand in, and the dtype they are written in there.
_FIELDS: dict[int, tuple[str, str]] = {
    ELEMENT_NUMBERS[name]: (field, dtype) for field, names in (
        ("float_data", {"float": "float32", "complex64": "float32"}),
        ("double_data", {"double": "float64", "complex128": "float64"}),
        ("int64_data", {"int64": "int64"}),
        ("uint64_data", {"uint32": "uint64", "uint64": "uint64"}),
        ("int32_data", {"int32": "int32", "bool": "int32", **dict.fromkeys(("int8", "uint8", "int16", "uint16"), "int32"),
                        "float16": "uint16"})) for name, dtype in names.items()}


def _from_fields(tensor: TensorProto, dims: tuple[int, ...], where: str) -> np.ndarray:
    """The array of float_data, int32_data ...; their length must fit the shape. An entry may pack several numbers of less than 8 bits."""
    count = math.prod(dims)
    field, written = _FIELDS.get(tensor.data_type, ("string_data" if tensor.data_type == STRING else "int32_data", ""))
    data = getattr(tensor, field)
    entries, expected = len(data), count
    if tensor.data_type in COMPLEX:
        expected = 2 * count
    if tensor.data_type in _BITS:
        expected = entries if count <= 8 * entries else count
    if entries != expected:
        raise ModelError(
            f"{where}: {entries} elements of data where {ELEMENT_NAMES[tensor.data_type]}{list(dims)} has {count}"
        )
    dtype = numpy_type(ELEMENT_NAMES[tensor.data_type])
    if not entries and not count:
        return np.zeros(dims, dtype)
    try:
        if written:
            numbers = np.asarray(data).astype(written)
            return (numbers.view(dtype) if tensor.data_type in COMPLEX or dtype == np.float16 else numbers.astype(dtype)).reshape(dims)
        return _by_onnx(tensor, field).reshape(dims)
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{where}: data does not fit {ELEMENT_NAMES[tensor.data_type]}{list(dims)} ({error})"
        ) from None


def _by_onnx(tensor: TensorProto, field: str) -> np.ndarray:
    """Decodes strings, and element types that numpy lacks, by onnx's own code."""
    from onnx import TensorProto, numpy_helper
    message = TensorProto(data_type=tensor.data_type, dims=tensor.dims)
    getattr(message, field).extend(list(getattr(tensor, field)))
    return np.asarray(numpy_helper.to_array(message))


def sparse_array(tensor: SparseTensorProto, beside: str | None, where: str) -> np.ndarray:
    """The dense array of a sparse tensor whose indices are linear (n) or coordinates (n, rank)."""
    dims = tuple(int(d) for d in tensor.dims)
    if any(d < 0 for d in dims) or math.prod(dims) > MAX_SPARSE_ELEMENTS:
        raise ModelError(f"{where}: sparse tensor of shape {list(dims)} (at most {MAX_SPARSE_ELEMENTS} elements)")
    values = dense_array(tensor.values, beside, where)
    indices = dense_array(tensor.indices, beside, where)
    if values.ndim != 1 or indices.dtype != np.int64 or indices.shape not in ((values.size,), (values.size, len(dims))):
        raise ModelError(
            f"{where}: sparse values {list(values.shape)} with indices {indices.dtype}{list(indices.shape)}"
        )
    extents = np.array(dims if indices.ndim == 2 else [math.prod(dims)], np.int64)
    if indices.size and ((indices < 0).any() or (indices.reshape(values.size, -1) >= extents).any()):
        raise ModelError(f"{where}: sparse index outside of shape {list(dims)}")
    dense = np.zeros(dims, values.dtype)
    if indices.ndim == 2:
        dense[tuple(indices.T)] = values
    else:
        dense.reshape(-1)[indices] = values
    return dense
