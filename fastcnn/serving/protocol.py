"""Requests and responses of POST .../infer: JSON, or JSON followed by the raw bytes of tensors (the binary tensor data extension)."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from fastcnn.feeds import tensor_dtype
from fastcnn.ir.graph import ValueInfo
from fastcnn.serving.errors import RequestError
from fastcnn.serving.tensors import BY_DTYPE, check_shape, datatype, from_bytes, from_json, to_bytes

HEADER_LENGTH = "Inference-Header-Content-Length"
# Parameters of extensions that would change what is read or answered: refused rather than ignored.
REFUSED = ("shared_memory_region", "classification", "sequence_id")


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for, as raw bytes or as JSON."""

    name: str
    binary: bool


@dataclass(frozen=True)
class Inference:
    """A request: arrays by input, outputs in the order in which they are answered."""

    id: str | None
    feeds: dict[str, np.ndarray]
    outputs: list[Wanted]


def header_length(text: str | None) -> int | None:
    """The length of the JSON before raw bytes; None: there are none. Raises RequestError."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RequestError(400, f"{HEADER_LENGTH} is no length")
    return int(text)


def decoded(body: memoryview, head: int | None, inputs: Sequence[ValueInfo], outputs: Sequence[ValueInfo]) -> Inference:
    """The request in a body; head: the length of its JSON, where raw bytes follow. Raises RequestError."""
    head = len(body) if head is None else head
    if not 0 < head <= len(body):
        raise RequestError(400, f"the JSON of the request has {head} bytes, the body {len(body)}")
    try:
        said = orjson.loads(body[:head])
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the request is no JSON: {error}") from None
    if not isinstance(said, dict):
        raise RequestError(400, "the request is no JSON object")
    if said.get("id") is not None and not isinstance(said["id"], str):
        raise RequestError(400, "id must be a string")
    parameters = _parameters(said, "the request")
    return Inference(said.get("id"), _feeds(said.get("inputs"), body[head:], inputs),
                     _wanted(said.get("outputs"), _flag(parameters, "binary_data_output", False), outputs))


def _parameters(said: dict[str, Any], what: str) -> dict[str, Any]:
    parameters = said.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(400, f"{what}: parameters must be an object")
    for name in REFUSED:
        if parameters.get(name):
            raise RequestError(400, f"{what}: parameter {name} is not supported")
    return parameters


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(400, f"parameter {name} must be true or false")
    return value


def _entries(said: Any, what: str) -> list[dict[str, Any]]:
    """Objects with a name each, no name twice."""
    if not isinstance(said, list) or not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in said):
        raise RequestError(400, f"{what} must be a list of objects with a name")
    names = [entry["name"] for entry in said]
    if len(set(names)) < len(names):
        raise RequestError(400, f"{what}: a name stands there twice")
    return said


def _feeds(said: Any, raw: memoryview, inputs: Sequence[ValueInfo]) -> dict[str, np.ndarray]:
    known, feeds, at = {info.name: info for info in inputs}, dict[str, np.ndarray](), 0
    for entry in _entries(said, "inputs"):
        name = entry["name"]
        info = known.get(name)
        if info is None:
            raise RequestError(400, f"the model has no input {name!r}, only {', '.join(map(repr, known))}")
        kind, dtype = datatype(info), tensor_dtype(info.type)
        if kind is None or dtype is None:
            raise RequestError(400, f"input {name!r} is {info.type}, which this protocol has no name for")
        if entry.get("datatype") != kind:
            raise RequestError(400, f"tensor {name!r}: the model wants datatype {kind}")
        shape = check_shape(name, entry.get("shape"))
        size = _parameters(entry, f"tensor {name!r}").get("binary_data_size")
        if size is None:
            feeds[name] = from_json(name, dtype, shape, entry.get("data"))
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw) - at:
            raise RequestError(400, f"tensor {name!r}: binary_data_size reaches beyond the body")
        if "data" in entry:
            raise RequestError(400, f"tensor {name!r}: data and binary_data_size exclude each other")
        feeds[name] = from_bytes(name, dtype, shape, raw[at:at + size])
        at += size
    if at != len(raw):
        raise RequestError(400, f"{len(raw) - at} bytes after the last tensor")
    return feeds


def _wanted(said: Any, binary: bool, outputs: Sequence[ValueInfo]) -> list[Wanted]:
    known = [info.name for info in outputs]
    if said is None or said == []:
        return [Wanted(name, binary) for name in known]
    wanted = []
    for entry in _entries(said, "outputs"):
        if entry["name"] not in known:
            raise RequestError(400, f"the model has no output {entry['name']!r}, only {', '.join(map(repr, known))}")
        wanted.append(Wanted(entry["name"], _flag(_parameters(entry, f"output {entry['name']!r}"), "binary_data", binary)))
    return wanted


def encoded(model: str, version: str, request: Inference, results: dict[str, Any]) -> tuple[list[bytes | memoryview], int | None]:
    """The parts of the response's body, and the length of its JSON where raw bytes follow."""
    said, parts = [], list[bytes | memoryview]()
    for wanted in request.outputs:
        array = results[wanted.name]
        if not isinstance(array, np.ndarray) or array.dtype.name not in BY_DTYPE:
            raise RequestError(422, f"output {wanted.name!r} is no tensor that this protocol has a name for")
        entry: dict[str, Any] = {"name": wanted.name, "datatype": BY_DTYPE[array.dtype.name], "shape": list(array.shape)}
        if wanted.binary:
            parts.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = _as_json(array)
        said.append(entry)
    response = {"model_name": model, "model_version": version, **({"id": request.id} if request.id is not None else {}), "outputs": said}
    head = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return [head, *parts], len(head) if parts else None


def _as_json(array: np.ndarray) -> Any:
    """An array in a form that orjson writes as a flat list; NaN and infinities become null."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype == np.object_:
        return [str(value) for value in flat]
    return flat.astype(np.float32) if flat.dtype.name in ("bfloat16", "float16") else flat
