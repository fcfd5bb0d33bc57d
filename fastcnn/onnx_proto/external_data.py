"""Tensor data in files next to the model, never outside of the model's folder."""
from __future__ import annotations

import ntpath
import os
from typing import TYPE_CHECKING

import numpy as np

from fastcnn.ir.errors import ModelError
from fastcnn.mapping import bytes_at, mapped, open_regular
from fastcnn.onnx_proto.types import text

if TYPE_CHECKING:
    from onnx import TensorProto


# What file systems take.
LONGEST_NAME, LONGEST_PATH = 255, 4095


def model_folders(path: str) -> tuple[str, ...]:
    """The folder the model is named in and the one its file really lies in (they differ when the model is a link)."""
    return tuple(dict.fromkeys((os.path.realpath(os.path.dirname(path)), os.path.dirname(os.path.realpath(path)))))


def read_external(tensor: TensorProto, beside: str | None, byte_count: int, where: str) -> np.ndarray:
    """Bytes [offset, offset + byte_count) of the tensor's file as uint8.

    beside  the model's file
    Raises ModelError for a location outside of its folder, a missing file, or an offset and length that do not fit.
    """
    entries = {text(entry.key, where): text(entry.value, where) for entry in tensor.external_data}
    location = entries.get("location", "")
    if beside is None:
        raise ModelError(
            f"{where}: data lies in the external file {location!r}, but the model was not loaded from a path"
        )
    if byte_count < 0:
        raise ModelError(f"{where}: strings cannot lie in the external file {location!r}")
    offset, length = _number(entries, "offset", 0, where), _number(entries, "length", byte_count, where)
    if length != byte_count:
        raise ModelError(
            f"{where}: length={length} of external data where the shape {list(tensor.dims)} has {byte_count}"
        )
    path = locate(location, model_folders(beside), where)
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if offset + byte_count > size:
                raise ModelError(f"{where}: {byte_count} bytes at offset {offset} of {location!r}, which has {size}")
            return bytes_at(mapped(stream, path), offset, byte_count) if byte_count else np.zeros(0, np.uint8)
    except (OSError, ValueError) as error:
        raise ModelError(f"{where}: {location!r} cannot be read ({error})") from error


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"{where}: external data with {key}={text!r}")
    return int(text)


def locate(location: str, folders: tuple[str, ...], where: str) -> str:
    """The real path of a relative location inside the model's folder; absolute ones, ".." and links out are refused."""
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or ".." in parts:
        raise ModelError(f"{where}: external data location {location!r} leads out of the model's folder")
    if not parts[0] or ntpath.splitdrive(location)[0]:
        raise ModelError(f"{where}: external data location {location!r} is absolute")
    if max(map(len, map(os.fsencode, parts))) > LONGEST_NAME or len(os.fsencode(location)) > LONGEST_PATH:
        raise ModelError(f"{where}: external data location {location[:40]!r}... of {len(location)} characters")
    path = os.path.realpath(os.path.join(folders[0], location))
    if not any(os.path.commonpath((path, folder)) == folder for folder in folders):
        raise ModelError(f"{where}: external data location {location!r} is a link out of the model's folder")
    if not os.path.isfile(path):
        raise ModelError(f"{where}: external data file {location!r} not found in {folders[0]}")
    return path
