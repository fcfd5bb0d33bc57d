"""Tensors of the protocol: numpy arrays from and to JSON lists and raw bytes, little-endian and in row-major order."""
from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.feeds import tensor_dtype
from fastcnn.ir.graph import Dim, ValueInfo
from fastcnn.serving.errors import RequestError

MOST_AXES = 32
BYTES = "BYTES"                 # strings: each a length of four bytes and UTF-8
BY_DTYPE = {"bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
            "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16",
            "float32": "FP32", "float64": "FP64", "bfloat16": "BF16", "object": BYTES}
# What a JSON value has to be, by numpy's kind of the array.
NUMBERS: Mapping[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}


def datatype(info: ValueInfo) -> str | None:
    """The protocol's name for the type of a model's input or output; None for what it has no name for."""
    dtype = tensor_dtype(info.type)
    return None if dtype is None else BY_DTYPE.get(dtype.name)


def described(info: ValueInfo) -> dict[str, Any]:
    """Name, type and shape as model metadata has them; -1 for an open extent."""
    shape: Sequence[Dim] = info.shape or ()
    return {"name": info.name, "datatype": datatype(info) or "", "shape": [d if isinstance(d, int) else -1 for d in shape]}


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A list of extents."""
    if not isinstance(shape, list) or len(shape) > MOST_AXES:
        raise RequestError(400, f"tensor {name!r}: shape must be a list of at most {MOST_AXES} extents")
    for extent in shape:
        if not isinstance(extent, int) or isinstance(extent, bool) or not 0 <= extent < 1 << 48:
            raise RequestError(400, f"tensor {name!r}: an extent of its shape is no integer of 0 or more")
    return tuple(shape)


def from_json(name: str, dtype: np.dtype, shape: tuple[int, ...], data: Any) -> np.ndarray:
    """The array of a JSON list, flat or nested as the shape is."""
    if not isinstance(data, list):
        raise RequestError(400, f"tensor {name!r}: data must be a list")
    flat = _flat(name, data)
    if len(flat) != math.prod(shape):
        raise RequestError(400, f"tensor {name!r}: {len(flat)} elements of data for shape {list(shape)}")
    if dtype == np.object_:
        if not all(isinstance(value, str) for value in flat):
            raise RequestError(400, f"tensor {name!r}: an element of data is no string")
        return np.array(flat, dtype=object).reshape(shape)
    kinds = NUMBERS.get(dtype.kind, (int, float))
    if not {type(value) for value in flat} <= set(kinds):
        raise RequestError(400, f"tensor {name!r}: an element of data is no {BY_DTYPE[dtype.name]}")
    if flat and dtype.kind in "iu" and not np.iinfo(dtype).min <= min(flat) <= max(flat) <= np.iinfo(dtype).max:
        raise RequestError(400, f"tensor {name!r}: an element of data is out of range for {BY_DTYPE[dtype.name]}")
    return np.array(flat, dtype=dtype).reshape(shape)


def _flat(name: str, data: list[Any]) -> list[Any]:
    """The elements of nested lists in order."""
    depth = 0
    while data and isinstance(data[0], list):
        depth += 1
        if depth > MOST_AXES or not all(isinstance(part, list) for part in data):
            raise RequestError(400, f"tensor {name!r}: data is nested unevenly or too deeply")
        data = [element for part in data for element in part]
    return data


def from_bytes(name: str, dtype: np.dtype, shape: tuple[int, ...], raw: memoryview) -> np.ndarray:
    """The array over raw bytes; numbers are not copied."""
    if dtype == np.object_:
        return _strings(name, shape, raw)
    want = math.prod(shape) * dtype.itemsize
    if len(raw) != want:
        raise RequestError(400, f"tensor {name!r}: {len(raw)} bytes of data, shape {list(shape)} of {BY_DTYPE[dtype.name]} has {want}")
    array = np.frombuffer(raw, dtype).reshape(shape)
    if dtype == np.bool_ and (array.view(np.uint8) > 1).any():
        raise RequestError(400, f"tensor {name!r}: a byte of BOOL is neither 0 nor 1")
    return array


def _strings(name: str, shape: tuple[int, ...], raw: memoryview) -> np.ndarray:
    found, at = list[str](), 0
    while at < len(raw):
        if at + 4 > len(raw):
            break
        length, = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            break
        try:
            found.append(bytes(raw[at + 4:at + 4 + length]).decode())
        except UnicodeDecodeError:
            raise RequestError(400, f"tensor {name!r}: an element is no UTF-8") from None
        at += 4 + length
    if at != len(raw) or len(found) != math.prod(shape):
        raise RequestError(400, f"tensor {name!r}: its bytes are no {math.prod(shape)} strings, each after its length")
    return np.array(found, dtype=object).reshape(shape)


def to_bytes(array: np.ndarray) -> bytes | memoryview:
    """Raw bytes of an array; numbers are not copied where they lie in order."""
    if array.dtype == np.object_:
        encoded = [str(value).encode() for value in array.reshape(-1)]
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
