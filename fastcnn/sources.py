"""Source: what load() reads, an ONNX or a compiled model, as a graph with its options; and graphs with other outputs."""
from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.analysis.aims import AIMS
from fastcnn.compiled import Compiled, opened
from fastcnn.convolve.accuracy import FAST, FP32, Accuracy
from fastcnn.convolve.decision import Chooser, CostModel
from fastcnn.ir.errors import ConfigurationError, InputError, ModelError
from fastcnn.ir.graph import Graph, ValueInfo
from fastcnn.ir.record import dataclass
from fastcnn.locks import uncut
from fastcnn.mapping import files_read, reading
from fastcnn.plan.control_flow import needed

if TYPE_CHECKING:
    from onnx import ModelProto

    from fastcnn.compiled import Cache


@dataclass(frozen=True)
class Source:
    """graph as read, or, where there are packs, as passes left it; path: of the file; the options that decide results, and why
    those of nodes are what they are.

    reread  where the graph came from a cache: reads that of the ONNX file
    keep    where a cache wants the model: is called with what writes it to a path
    """

    graph: Graph
    path: str | os.PathLike[str] | None
    precision: str | Mapping[str, str]
    accuracy: str | Mapping[str, str]
    packs: Mapping[Hashable, np.ndarray] | None = None
    why: Mapping[str, str] = field(default_factory=dict)
    weights: str | Mapping[str, str] = FP32
    reread: Callable[[], Graph] | None = None
    keep: Callable[[Callable[[str], None]], None] | None = None


def check_options(threads: Any, max_memory: Any) -> None:
    """Raises ConfigurationError for invalid arguments of load()."""
    if threads not in (None, *AIMS) and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise ConfigurationError(f"threads={threads!r}: expected a positive integer, {' or '.join(map(repr, AIMS))}")
    if max_memory is not None and (not isinstance(max_memory, int) or isinstance(max_memory, bool) or max_memory < 1):
        raise ConfigurationError(f"max_memory={max_memory!r}: expected a number of bytes or None")


def sourced(model: str | os.PathLike[str] | bytes | ModelProto, precision: str | Mapping[str, str],
            accuracy: str | Mapping[str, str], verify: bool = False, weights: str | Mapping[str, str] = FP32, cache: Cache | None = None,
            threads: int = 1) -> Source:
    """Reads a model, or finds it in the cache. Raises ModelError; ConfigurationError for options that a compiled one has not."""
    path = model if isinstance(model, (str, os.PathLike)) else None
    compiled = opened(model, verify) if path is not None or isinstance(model, (bytes, bytearray, memoryview)) else None    # type: ignore[arg-type]
    if compiled is not None:
        precision, accuracy = _as_saved("precision", precision, FP32, compiled), _as_saved("accuracy", accuracy, FAST, compiled)
        weights = _as_saved("weights", weights, FP32, compiled)
        if compiled.graph is not None:
            return Source(compiled.graph, path, precision, accuracy, compiled.packs, compiled.options.get("why", {}), weights)
        model = compiled.onnx or b""
    elif cache is not None and path is not None:
        return through(cache, path, precision, accuracy, threads, weights)
    from fastcnn.reader import read  # which compiled models do without
    return Source(read(model), path, precision, accuracy, weights=weights)


def through(cache: Cache, path: str | os.PathLike[str], precision: str | Mapping[str, str], accuracy: str | Mapping[str, str],
            threads: int, weights: str | Mapping[str, str] = FP32) -> Source:
    """The compiled model of an ONNX file where the cache has it, else the file, to be kept. Raises ModelError.

    Overridable initializers are constants of a compiled model: a file that has some is always read.
    """
    name = os.fsdecode(path)
    options = {"precision": _plain(precision), "accuracy": _plain(accuracy), "weights": _plain(weights), "threads": threads}
    content = cache.find(name)
    found = cache.get(content, options) if content is not None else None
    if found is None or content is None:
        from fastcnn.reader import read
        graph = read(path)
        content = cache.digest(name, files_read()) if not graph.overridable else None
        found = cache.get(content, options) if content is not None else None
        if content is None or found is None or found.graph is None:
            keep = None if content is None else partial(cache.put, content, options)
            return Source(graph, path, precision, accuracy, weights=weights, keep=keep)
    assert found.graph is not None
    return Source(found.graph, path, precision, accuracy, found.packs, weights=weights,
                  reread=partial(_reread, cache, name, content))


def _reread(cache: Cache, path: str, content: str) -> Graph:
    """The graph of the ONNX file that a model in the cache was made of. Raises ModelError where the file is another by now."""
    from fastcnn.reader import read
    with uncut(), reading():
        graph = read(path)
        if cache.digest(path, files_read()) != content:
            raise ModelError(f"{path!r} was changed after the model was loaded through the cache: what that has not is not there any more")
    return graph


def _plain(option: str | Mapping[str, str]) -> Any:
    return option if isinstance(option, str) else sorted((str(name), str(value)) for name, value in option.items())


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


def chooser_of(tune: bool | str | os.PathLike[str], weights: Iterable[np.ndarray], accuracy: Accuracy) -> Chooser:
    """What chooses for a model with these weights: the cost model, or with load(tune=) the tuner, which is imported only then."""
    if not tune:
        return CostModel(accuracy)
    from fastcnn.tune.tuner import tuner  # 8 ms, with logging, json and hashlib
    return tuner(tune, sum(array.nbytes for array in weights), accuracy)


def optimised(graph: Graph, done: bool, halves: frozenset[str]) -> Graph:
    """The graph after passes. Where they are done, as in a compiled model, they are not even imported.

    halves  values that are float16 in the file
    """
    if done:
        return replace(graph, nodes=needed(graph.nodes, graph.output_names()))
    from fastcnn.passes import run_passes
    from fastcnn.passes.half_border import half_border
    return half_border(run_passes(graph), halves)


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
