"""OrtValue and IOBinding: onnxruntime's boxes around arrays. Memory is the CPU's, so nothing is copied to put it in."""
from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastcnn.compat.devices import require_cpu
from fastcnn.compat.exceptions import InvalidArgument
from fastcnn.onnx_proto.types import ELEMENT_NAMES, ELEMENT_NUMBERS, element_name, numpy_type


class Named(Protocol):
    """An input or output of a session."""

    @property
    def name(self) -> str: ...


class Session(Protocol):
    """The part of a session that an IOBinding uses."""

    def get_inputs(self) -> Sequence[Named]: ...
    def get_outputs(self) -> Sequence[Named]: ...


def dtype_of(element_type: Any) -> np.dtype:
    """The numpy dtype of an element type given as a numpy type or as the number of an ONNX type."""
    return numpy_type(ELEMENT_NAMES[element_type]) if isinstance(element_type, int) else np.dtype(element_type)


class OrtValue:
    """An array, or a list of them (a sequence), or nothing (an optional without element)."""

    def __init__(self, value: Any):
        self._value = value

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: np.ndarray, /, device_type: str = "cpu", device_id: int = 0, vendor_id: int = -1) -> OrtValue:
        """The array itself, not a copy."""
        require_cpu(device_type)
        return OrtValue(np.asarray(numpy_obj))

    @staticmethod
    def ortvalue_from_numpy_with_onnx_type(data: np.ndarray, /, onnx_element_type: int) -> OrtValue:
        """The array's bits as an ONNX element type of the same size."""
        return OrtValue(np.asarray(data).view(dtype_of(int(onnx_element_type))))

    @staticmethod
    def ortvalue_from_shape_and_type(shape: Sequence[int], element_type: Any = np.float32, device_type: str = "cpu",
                                     device_id: int = 0, vendor_id: int = -1, memory_info: Any = None) -> OrtValue:
        """An array of this shape, not initialised."""
        require_cpu(device_type)
        return OrtValue(np.empty(tuple(shape), dtype_of(element_type)))

    @staticmethod
    def from_dlpack(data: Any, /, is_bool_tensor: bool = False) -> OrtValue:
        """An array over the memory of anything that speaks DLPack."""
        array = np.from_dlpack(data)
        return OrtValue(array.view(np.bool_) if is_bool_tensor and array.dtype == np.uint8 else array)

    def numpy(self) -> Any:
        """The array (or list of arrays), not a copy."""
        return self._value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """With copy=None as numpy 1 knows it, too: a copy where the type is another."""
        array = np.asarray(self._value, dtype)
        if copy is False and array is not self._value:
            raise ValueError(f"no array of {array.dtype} without a copy")
        return array.copy() if copy and array is self._value else array

    def __dlpack__(self, **options: Any) -> Any:
        return self._value.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._value.__dlpack_device__()

    def shape(self) -> list[int]:
        """Sizes of the tensor."""
        return list(self._value.shape)

    def data_type(self) -> str:
        """"tensor(float)", "seq(tensor(int64))", "map(string,tensor(float))"."""
        if isinstance(self._value, dict):
            return f"map({'string' if isinstance(next(iter(self._value), ''), str) else 'int64'},tensor(float))"
        if isinstance(self._value, list):
            return f"seq({OrtValue(self._value[0]).data_type() if self._value else 'tensor(float)'})"
        return f"tensor({element_name(self._value.dtype)})"

    def element_type(self) -> int:
        """ONNX's number of the element type."""
        return ELEMENT_NUMBERS[element_name(self._value.dtype)]

    def data_ptr(self) -> int:
        """Address of the first element."""
        return int(self._value.ctypes.data)

    def device_name(self) -> str:
        """Always "cpu"."""
        return "cpu"

    def tensor_size_in_bytes(self) -> int:
        """Bytes of all elements."""
        return int(self._value.nbytes)

    def has_value(self) -> bool:
        """False for an optional without element."""
        return self._value is not None

    def is_tensor(self) -> bool:
        """An array."""
        return isinstance(self._value, np.ndarray)

    def is_tensor_sequence(self) -> bool:
        """A list of arrays."""
        return isinstance(self._value, list)

    def is_sparse_tensor(self) -> bool:
        """Always False: sparse tensors are made dense when a model is read."""
        return False

    def update_inplace(self, data: np.ndarray) -> None:
        """Overwrites the elements; the shape stays."""
        if data.shape != self._value.shape or data.dtype != self._value.dtype:
            raise InvalidArgument(f"expected {self._value.dtype}{self.shape()}, got {data.dtype}{list(data.shape)}")
        np.copyto(self._value, data)

    def __repr__(self) -> str:
        return f"<OrtValue {self.data_type()}{self.shape()}>" if self.is_tensor() else f"<OrtValue {self._value!r}>"


def copy_tensors(src: Sequence[OrtValue], dst: Sequence[OrtValue], stream: object = None) -> None:
    """Copies each source value into the destination at the same position, which has the same type and shape."""
    if len(src) != len(dst):
        raise InvalidArgument(f"{len(src)} values to copy into {len(dst)}")
    for value, target in zip(src, dst):
        target.update_inplace(value.numpy())


class IOBinding:
    """Inputs and places for outputs of a session, by name, for run_with_iobinding."""

    def __init__(self, session: Session):
        self._known = {info.name for info in session.get_inputs()}, {info.name for info in session.get_outputs()}
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, np.ndarray | None] = {}
        self.results: list[Any] = []

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """An array as input."""
        self.inputs[self._checked(name, 0)] = arr_on_cpu

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """An OrtValue as input."""
        self.inputs[self._checked(name, 0)] = ortvalue.numpy()

    def bind_input(self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int) -> None:
        """Memory at an address as input; the caller keeps it alive."""
        require_cpu(device_type)
        self.inputs[self._checked(name, 0)] = _memory_at(buffer_ptr, shape, dtype_of(element_type))

    def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0, element_type: Any = None,
                    shape: Sequence[int] | None = None, buffer_ptr: int | None = None) -> None:
        """Memory at an address for an output, or, without an address, a fresh array each run."""
        require_cpu(device_type)
        fixed = buffer_ptr is not None and shape is not None and element_type is not None
        self.outputs[self._checked(name, 1)] = _memory_at(buffer_ptr or 0, shape or (), dtype_of(element_type)) if fixed else None

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """An OrtValue that the output is written into."""
        self.outputs[self._checked(name, 1)] = ortvalue.numpy()

    def get_outputs(self) -> list[OrtValue]:
        """Results of the last run, in the order they were bound in."""
        return [OrtValue(result) for result in self.results]

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The results of the last run as arrays."""
        return list(self.results)

    def clear_binding_inputs(self) -> None:
        """Forget the inputs."""
        self.inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forget the places of outputs."""
        self.outputs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing to wait for on the CPU."""

    def synchronize_outputs(self) -> None:
        """Nothing to wait for on the CPU."""

    def _checked(self, name: str, side: int) -> str:
        if name not in self._known[side]:
            raise InvalidArgument(f"no {('input', 'output')[side]} {name!r}: there are {', '.join(sorted(self._known[side]))}")
        return name


def _memory_at(address: int, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    count = math.prod(shape) * dtype.itemsize
    raw = (ctypes.c_char * count).from_address(address)
    return np.frombuffer(memoryview(raw), np.uint8).view(dtype).reshape(tuple(shape))
