"""onnxruntime's exceptions: each is also the error of fastcnn that it stands for, so that either name catches it."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastcnn.ir.errors import ExecutionError, FastCNNError, FormatError, InputError, ModelError, ShapeError, UnsupportedOperatorError

# What fastcnn.capi.onnxruntime_pybind11_state hands on.
__all__ = [
    "DeviceReset", "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoadCanceled",
    "ModelLoaded", "ModelRequiresCompilation", "NoModel", "NoSuchFile", "NotFound", "NotImplemented", "RuntimeException",
]


class Fail(FastCNNError):
    """An error without a class of its own."""


class ShapeFail(Fail, ShapeError):
    """Shapes contradict each other."""


class InvalidArgument(InputError):
    """A feed or a name does not fit the model."""


class NoSuchFile(FormatError, FileNotFoundError):
    """The model's file does not exist."""


class InvalidProtobuf(FormatError):
    """The model is not ONNX, or cut off."""


class InvalidGraph(ModelError):
    """The model contradicts itself or ONNX."""


class NotImplemented(UnsupportedOperatorError):
    """Nothing computes an operator."""


class RuntimeException(ExecutionError):
    """A step failed during a run."""


class NoModel(FastCNNError):
    """Never raised: a session always has a model."""


class EngineError(FastCNNError):
    """Never raised."""


class EPFail(FastCNNError):
    """Never raised: there are no other execution providers."""


class NotFound(FastCNNError):
    """Never raised."""


class ModelLoaded(FastCNNError):
    """Never raised: a session loads its model when it is made."""


class ModelLoadCanceled(FastCNNError):
    """Never raised: loading cannot be cancelled."""


class ModelRequiresCompilation(FastCNNError):
    """Never raised: models are compiled when they are loaded."""


class DeviceReset(FastCNNError):
    """Never raised: there is no device but the CPU."""


# fastcnn's error -> onnxruntime's, with its number and name in messages; the first that fits counts.
TRANSLATED: tuple[tuple[type[FastCNNError], type[FastCNNError], str], ...] = (
    (FormatError, InvalidProtobuf, "7 : INVALID_PROTOBUF"),
    (UnsupportedOperatorError, NotImplemented, "9 : NOT_IMPLEMENTED"),
    (ModelError, InvalidGraph, "10 : INVALID_GRAPH"),
    (InputError, InvalidArgument, "2 : INVALID_ARGUMENT"),
    (ExecutionError, RuntimeException, "6 : RUNTIME_EXCEPTION"),
    (ShapeError, ShapeFail, "1 : FAIL"),
    (FastCNNError, Fail, "1 : FAIL"),
)


def translated(error: FastCNNError) -> FastCNNError:
    """The error as onnxruntime's class of the same meaning."""
    if isinstance(error, FormatError) and isinstance(error.__cause__, FileNotFoundError):
        return NoSuchFile(f"[fastcnn] : 3 : NO_SUCHFILE : {error}")
    if any(type(error) is theirs for _, theirs, _ in TRANSLATED):
        return error
    theirs, label = next((theirs, label) for ours, theirs, label in TRANSLATED if isinstance(error, ours))
    return theirs(f"[fastcnn] : {label} : {error}")


@contextmanager
def onnxruntime_errors() -> Iterator[None]:
    """Context manager: raises fastcnn's errors as onnxruntime's classes."""
    try:
        yield
    except FastCNNError as error:
        raise translated(error) from error
