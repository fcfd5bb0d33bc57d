"""Source: what load() reads, an ONNX or a compiled model, as a graph with its options; and graphs with other outputs."""
from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.analysis.aims import AIMS
from fastcnn.compiled import Compiled, opened
from fastcnn.convolve.accuracy import FAST, FP32
from fastcnn.ir.errors import ConfigurationError, InputError, ModelError
from fastcnn.ir.graph import Graph, ValueInfo
from fastcnn.ir.record import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True)
class Source:
    """graph as read, or, where there are packs, as passes left it; path: of the file; the options that decide results, and why
    those of nodes are what they are."""

    graph: Graph
    path: str | os.PathLike[str] | None
    precision: str | Mapping[str, str]
    accuracy: str | Mapping[str, str]
    packs: Mapping[Hashable, np.ndarray] | None = None
    why: Mapping[str, str] = field(default_factory=dict)
    weights: str | Mapping[str, str] = FP32


def check_options(threads: Any, max_memory: Any) -> None:
    """Raises ConfigurationError for invalid arguments of load()."""
    if threads not in (None, *AIMS) and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise ConfigurationError(f"threads={threads!r}: expected a positive integer, {' or '.join(map(repr, AIMS))}")
    if max_memory is not None and (not isinstance(max_memory, int) or isinstance(max_memory, bool) or max_memory < 1):
        raise ConfigurationError(f"max_memory={max_memory!r}: expected a number of bytes or None")


def sourced(model: str | os.PathLike[str] | bytes | ModelProto, precision: str | Mapping[str, str],
            accuracy: str | Mapping[str, str], verify: bool = False, weights: str | Mapping[str, str] = FP32) -> Source:
    """Reads a model. Raises ModelError, and ConfigurationError for options that a compiled one was not saved with."""
    path = model if isinstance(model, (str, os.PathLike)) else None
    compiled = opened(model, verify) if path is not None or isinstance(model, (bytes, bytearray, memoryview)) else None    # type: ignore[arg-type]
    if compiled is not None:
        precision, accuracy = _as_saved("precision", precision, FP32, compiled), _as_saved("accuracy", accuracy, FAST, compiled)
        weights = _as_saved("weights", weights, FP32, compiled)
        if compiled.graph is not None:
            return Source(compiled.graph, path, precision, accuracy, compiled.packs, compiled.options.get("why", {}), weights)
        model = compiled.onnx or b""
    from fastcnn.reader import read  # which compiled models do without
    return Source(read(model), path, precision, accuracy, weights=weights)


def _as_saved(name: str, asked: Any, default: Any, compiled: Compiled) -> Any:
    found = compiled.options.get(name, default)
    if asked not in (default, found):
        raise ConfigurationError(f"{name}={asked!r}: the model was compiled with {found!r}")
    return found


def with_outputs(graph: Graph, names: tuple[str, ...]) -> Graph:
    """The graph with these values as outputs, its own or any inside it. Raises InputError for what is none."""
    known = {info.name: info for info in graph.outputs}
    if names == tuple(info.name for info in graph.outputs):
        return graph
    inside = {value for node in graph.nodes for value in node.outputs} | {i.name for i in graph.inputs} | set(graph.constants)
    for name in names:
        if name not in known and name not in inside:
            raise InputError(f"no value {name!r} in the model; its outputs are {', '.join(known)}")
    return replace(graph, outputs=[known.get(name) or ValueInfo(name, "", None) for name in names])


def embeddable(path: str | None, graph: Graph, wanted: bool | None) -> str | None:
    """The path of the ONNX file, if the model consists of this one file and can be embedded in a compiled model.

    wanted  True: raises ConfigurationError where it is not; False: None
    """
    if wanted is False:
        return None
    reason = _objection(path, graph)
    if reason is not None and wanted:
        raise ConfigurationError(f"source=True: {reason}")
    return path if reason is None else None


def _objection(path: str | None, graph: Graph) -> str | None:
    from fastcnn.reader import read
    if path is None:
        return "the model was not loaded from an ONNX file"
    try:
        with open(path, "rb") as stream:
            alone = read(stream.read())
    except (OSError, ModelError) as error:
        return f"{path!r} alone is no model: {error}"
    return None if str(alone) == str(graph) else f"{path!r} is another model by now"
