"""Reading a compiled file."""
from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from fastcnn.compiled.container import Container, open_container
from fastcnn.compiled.description import graph_of
from fastcnn.compiled.pack_keys import key_of, made_for
from fastcnn.ir.errors import FastCNNError, FormatError
from fastcnn.ir.graph import Graph
from fastcnn.ir.record import dataclass
from fastcnn.version import __version__

# What a header that was written by somebody else may raise where it is not what it should be.
NONSENSE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)


# Options of load() that decide results.
DECIDING = ("precision", "accuracy", "weights")


@dataclass(frozen=True)
class Compiled:
    """A compiled model.

    graph    after passes; None: it is to be made of `onnx`, the ONNX file, with the options
    packs    of this CPU, by key
    options  of load() that were used, of those that decide results
    """

    graph: Graph | None
    packs: Mapping[Hashable, np.ndarray]
    options: Mapping[str, Any]
    onnx: bytes | None = None


def opened(model: str | os.PathLike[str] | bytes, verify: bool = False) -> Compiled | None:
    """The compiled model at a path or in bytes; None for any other file. Raises FormatError.

    verify  compare the checksum of every array
    """
    container = open_container(model)
    if container is None:
        return None
    try:
        return _of_container(container, verify)
    except FormatError:
        raise
    except FastCNNError as error:
        raise FormatError(f"{container.path}: {error}") from error
    except NONSENSE as error:
        raise container.damaged(f"{type(error).__name__}: {error}") from error


def _of_container(container: Container, verify: bool) -> Compiled:
    header = container.header
    version = header.get("version", "another version of the format")
    if version != __version__:
        return _of_source(container, version)
    entries, options = header["arrays"], _options(header["options"])
    if verify:
        container.verify(entries)
    arrays: dict[int, np.ndarray] = {}

    def fetch(k: int) -> np.ndarray:
        if k not in arrays:
            arrays[k] = container.array(entries[k])
        return arrays[k]

    graph = graph_of(header["graph"], fetch)
    graph.metadata = _metadata(header["metadata"])
    packs = {key_of(key): fetch(k) for key, k in header["packs"]} if header["made_for"] == made_for() else {}
    return Compiled(graph, packs, options)


def _of_source(container: Container, version: Any) -> Compiled:
    onnx = container.onnx()
    if onnx is None:
        raise FormatError(f"{container.path}: compiled by {version!r}, this is fastcnn {__version__}, and the ONNX file is not in it: "
                          "compile it again")
    return Compiled(None, {}, _options(container.header.get("options", {})), onnx)


def _options(found: Any) -> dict[str, Any]:
    """precision, accuracy and weights, at whose values load() looks, and why the precision of nodes is what it is."""
    if not all(isinstance(found.get(name, ""), str) or _is_map(found[name]) for name in DECIDING):
        raise ValueError("options")
    if not _is_map(found.get("why", {})):
        raise ValueError("options")
    return {name: found[name] for name in (*DECIDING, "why") if name in found}


def _metadata(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(value, (str, int)) or _is_map(value) for value in found.values()):
        raise ValueError("metadata")
    return found


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
