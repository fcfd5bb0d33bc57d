"""Feeds are what the caller passes to run(). This file checks them against the model's inputs and makes them contiguous arrays."""
from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.errors import InputError
from fastcnn.ir.graph import ValueInfo

TENSOR_DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int8)": np.int8,
    "tensor(int16)": np.int16, "tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16, "tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64, "tensor(bool)": np.bool_,
    "tensor(string)": np.object_, "tensor(complex64)": np.complex64, "tensor(complex128)": np.complex128,
}
# Names in ml_dtypes, which is imported (3 ms) when a model has one of them.
ML_DTYPES = {
    "tensor(bfloat16)": "bfloat16", "tensor(float8e4m3fn)": "float8_e4m3fn", "tensor(float8e4m3fnuz)": "float8_e4m3fnuz",
    "tensor(float8e5m2)": "float8_e5m2", "tensor(float8e5m2fnuz)": "float8_e5m2fnuz", "tensor(int4)": "int4", "tensor(uint4)": "uint4",
}
# Types that no step knows: converted on the way in and out.
COMPUTED_AS = {"tensor(bfloat16)": np.dtype(np.float32)}


class Feeder:
    """feeder(feeds) -> {input: C-contiguous array} in the graph's order and in the type that the engine computes in. Raises InputError.

    widen  False: arrays stay in the types of the inputs (float16 is not widened to float32)
    """

    def __init__(self, inputs: Sequence[ValueInfo], widen: bool = True):
        self.inputs = list(inputs)
        self.expected = {info.name: (tensor_dtype(info.type), info.shape) for info in inputs}
        self.compound = {info.name: info.type for info in inputs if tensor_dtype(info.type) is None}
        self.widened = {info.name: COMPUTED_AS[info.type] for info in inputs if widen and info.type in COMPUTED_AS}

    @property
    def converts(self) -> bool:
        """Whether some input is no tensor, or comes in another type than the engine computes in."""
        return bool(self.compound or self.widened)

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        checked = {}
        for name, (dtype, shape) in self.expected.items():
            if name not in feeds:
                raise InputError(f"input {name!r} is missing; {_listing(self.inputs)}")
            value = feeds[name]
            checked[name] = _check_compound(name, value, self.compound[name]) if dtype is None else _check(name, value, dtype, shape)
        if len(feeds) != len(checked):
            unknown = ", ".join(repr(name) for name in feeds if name not in self.expected)
            raise InputError(f"no input named {unknown}; {_listing(self.inputs)}")
        for name, dtype in self.widened.items():
            checked[name] = checked[name].astype(dtype)
        return checked

    @property
    def dtypes(self) -> dict[str, np.dtype | None]:
        """Input -> dtype of the array that the engine gets; None for inputs that are no tensors."""
        return {name: self.widened.get(name, dtype) for name, (dtype, _) in self.expected.items()}

    def fixed_specs(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]] | None:
        """The Spec of every input, where all inputs are tensors of fixed shape; else None."""
        specs = {}
        for name, (dtype, shape) in self.expected.items():
            sizes = tuple(d for d in shape or () if isinstance(d, int))
            if dtype is None or shape is None or len(sizes) < len(shape):
                return None
            specs[name] = (self.widened.get(name, dtype), sizes)
        return specs


def _check_compound(name: str, value: Any, kind: str) -> Any:
    """Checks a sequence (a list of arrays) or an optional (its value, or None). Values of other types are returned unchecked."""
    if kind.startswith("optional("):
        return None if value is None else _check_compound(name, value, kind[len("optional("):-1])
    if kind.startswith("seq("):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"input {name!r}: expected a list for {kind}, got {type(value).__name__}")
        return [_check_compound(f"{name}[{i}]", element, kind[len("seq("):-1]) for i, element in enumerate(value)]
    if kind.startswith("map("):
        return _check_map(name, value, kind)
    dtype = tensor_dtype(kind)
    return value if dtype is None else _check(name, value, dtype, None)


def _check_map(name: str, value: Any, kind: str) -> dict[Any, Any]:
    """Checks a map and returns it with its values as numpy scalars of the map's value type."""
    if not isinstance(value, Mapping):
        raise InputError(f"input {name!r}: expected a dict for {kind}, got {type(value).__name__}")
    dtype = tensor_dtype(kind.partition(",")[2][:-1])
    if dtype is None or dtype == np.object_:
        return dict(value)
    try:
        return {key: dtype.type(element) for key, element in value.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"input {name!r}: a value is no {dtype}: {error}") from error


def _check(name: str, value: Any, dtype: np.dtype, shape: tuple | None) -> Any:
    array = value if isinstance(value, np.ndarray) else _as_array(name, value, dtype)
    if array.dtype != dtype:
        text = dtype.kind == "O" and array.dtype.kind in "USO"
        if not text and array.dtype.newbyteorder("=") != dtype:
            raise InputError(f"input {name!r}: expected {dtype}, got {array.dtype}")
        array = array.astype(dtype)
    if shape is not None and not _fits(array.shape, shape):
        raise InputError(f"input {name!r}: expected shape {_shown(shape)}, got {list(array.shape)}")
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")


def _as_array(name: str, value: Any, dtype: np.dtype) -> np.ndarray:
    try:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return _of_torch(torch, value)
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
            return np.from_dlpack(value)
        array = np.asarray(value)
    except Exception as error:
        raise InputError(f"input {name!r}: {type(value).__name__} is no array: {error}") from error
    if isinstance(value, (list, tuple, int, float, bool)):
        return array.astype(dtype)
    return array


def _of_torch(torch: Any, tensor: Any) -> np.ndarray:
    """A torch tensor as an array over the same memory, detached; bfloat16, which numpy's DLPack does not know, is passed as its bits."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes
        return np.from_dlpack(tensor.view(torch.int16)).view(ml_dtypes.bfloat16)
    return np.from_dlpack(tensor)


def _fits(actual: tuple[int, ...], expected: tuple) -> bool:
    return len(actual) == len(expected) and all(not isinstance(e, int) or a == e for a, e in zip(actual, expected))


def tensor_dtype(type_string: str) -> np.dtype | None:
    """numpy dtype of a tensor type, None for sequences, optionals and types numpy lacks."""
    if type_string in ML_DTYPES:
        import ml_dtypes
        return np.dtype(getattr(ml_dtypes, ML_DTYPES[type_string]))
    dtype = TENSOR_DTYPES.get(type_string)
    return None if dtype is None else np.dtype(dtype)


def narrowed(types: Mapping[str, str]) -> dict[str, np.dtype]:
    """Output -> dtype to convert it to on the way out, for types that no step computes in (float16, bfloat16 ...)."""
    found = {name: tensor_dtype(kind) for name, kind in types.items() if kind in COMPUTED_AS}
    return {name: dtype for name, dtype in found.items() if dtype is not None}


def dims(info: ValueInfo) -> str:
    """A shape as text for messages, "" where the rank is unknown."""
    return "" if info.shape is None else _shown(info.shape)


def _shown(shape: tuple) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def _listing(inputs: Sequence[ValueInfo]) -> str:
    if not inputs:
        return "the model has no inputs"
    return "the inputs are " + ", ".join(f"{i.name!r}: {i.type}{_shown(i.shape) if i.shape is not None else ''}" for i in inputs)
