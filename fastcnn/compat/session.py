"""InferenceSession: onnxruntime's class over a Model."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.compat.exceptions import Fail, onnxruntime_errors, translated
from fastcnn.compat.options import ACCURACY_ENTRY, CACHE_ENTRY, TUNE_ENTRY, RunOptions, SessionOptions
from fastcnn.compat.values import IOBinding, OrtValue
from fastcnn.compiled import Cache, cache_of
from fastcnn.convolve.accuracy import FP32
from fastcnn.cpu import default_threads
from fastcnn.ir.errors import ConfigurationError, FastCNNError, warn_user
from fastcnn.ir.graph import Dim, Graph, ValueInfo
from fastcnn.locks import uncollected, uncut
from fastcnn.mapping import reading
from fastcnn.model import Model
from fastcnn.passes import run_passes  # noqa: F401   every session runs them: imported with the class, not by the first load
from fastcnn.passes.half_border import half_border  # noqa: F401   likewise
from fastcnn.plan.common_operators import COMMON  # noqa: F401   likewise
from fastcnn.plan.deadline import Deadline
from fastcnn.reader import read, with_constants, with_sizes
from fastcnn.sources import Source, through

if TYPE_CHECKING:
    from fastcnn.compat.profiling import SessionProfile
    from fastcnn.plan.executor import Engine

PROVIDER = "CPUExecutionProvider"
NO_VERSION = (1 << 63) - 1       # onnxruntime's number for a model that says none


@dataclass(frozen=True)
class NodeArg:
    """Name, type ("tensor(float)") and shape of an input or output, as onnxruntime gives them."""

    name: str
    type: str
    shape: list[Dim]


@dataclass(frozen=True)
class ModelMetadata:
    """What the file says of itself."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: dict[str, str] = field(default_factory=dict)


class InferenceSession(Model):
    """A Model made and run by onnxruntime's calls; errors are onnxruntime's classes.

    path_or_bytes  path, serialised bytes or ModelProto;  sess_options  SessionOptions, onnxruntime's own too;
    providers      anything beyond the CPU warns and is left out
    """

    def __init__(self, path_or_bytes: Any, sess_options: SessionOptions | None = None, providers: Sequence[Any] | None = None,
                 provider_options: Sequence[Any] | None = None, **kwargs: Any) -> None:
        self._started = time.time_ns()
        self._profile: SessionProfile | None = None
        self._options = sess_options if sess_options is not None else SessionOptions()
        self.set_providers(providers or [], provider_options)
        _warn_of(self._options)
        if path_or_bytes is None or isinstance(path_or_bytes, (int, float)):
            raise TypeError(f"Unable to load from type {type(path_or_bytes)!r}")
        threads = getattr(self._options, "intra_op_num_threads", 0) or default_threads()
        with onnxruntime_errors(), uncut(), uncollected(), reading():
            source = path_or_bytes if isinstance(path_or_bytes, (str, os.PathLike)) else None
            tune, accuracy, cache = _tune_of(self._options), _accuracy_of(self._options), _cache_of(self._options)
            values, sizes = _kept(self._options, "initializers"), _kept(self._options, "free_dimensions")
            if cache is not None and source is not None and not (tune or values or sizes):
                found = through(cache, source, FP32, accuracy, threads)
            else:
                found = Source(path_or_bytes if isinstance(path_or_bytes, Graph) else read(path_or_bytes), source, FP32, accuracy)
            graph = with_sizes(with_constants(found.graph, {name: np.asarray(value) for name, value in values.items()}), sizes)
            super().__init__(graph, threads, source=source, tune=tune, accuracy=accuracy, packs=found.packs, reread=found.reread)
            if found.keep is not None:
                found.keep(self._write)
        if getattr(self._options, "enable_profiling", False):
            from fastcnn.compat.profiling import SessionProfile
            self._profile = SessionProfile(self._options.profile_file_prefix)
            self._default = self._engine(self._output_names)
        self._model_path = None if source is None else os.fspath(source)       # applications look here for files beside the model

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None, *,
            out: Sequence[Any] | Mapping[str, Any] | None = None, timeout: float | Deadline | None = None) -> list[Any]:
        """Model.run; arrays and OrtValues as inputs."""
        if run_options is not None and getattr(run_options, "terminate", False):
            raise Fail("[fastcnn] : 1 : FAIL : Exiting due to terminate flag being set to true.")
        try:
            return super().run(output_names, input_feed, out=out, timeout=timeout)
        except FastCNNError as error:
            raise translated(error) from error

    def run_with_ort_values(self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue],
                            run_options: RunOptions | None = None) -> list[OrtValue]:
        """run() from and to OrtValues."""
        feeds = {name: value.numpy() for name, value in input_dict_ort_values.items()}
        return [OrtValue(result) for result in self.run(output_names, feeds, run_options)]

    def run_async(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
                  callback: Callable[[Any, Any, str], None], user_data: Any, run_options: RunOptions | None = None) -> None:
        """run() in a thread of its own, then callback(results, user_data, error): results is None and error a message when it failed."""
        def work() -> None:
            try:
                results, error = self.run(output_names, input_feed, run_options), ""
            except Exception as failure:
                callback(None, user_data, str(failure))
                return
            callback(results, user_data, error)

        threading.Thread(target=work, name="fastcnn.run_async", daemon=True).start()

    def create_ortvalue_from_shape_and_type(self, shape: Sequence[int], element_type: Any, device_type: str, device_id: int = 0,
                                            vendor_id: int = -1) -> OrtValue:
        """OrtValue.ortvalue_from_shape_and_type."""
        return OrtValue.ortvalue_from_shape_and_type(shape, element_type, device_type, device_id, vendor_id)

    def io_binding(self) -> IOBinding:
        """An empty binding of this session's inputs and outputs."""
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        """run() with what is bound; results are in the binding. Outputs bound to memory are computed into it."""
        names = list(iobinding.outputs)
        iobinding.results = self.run(names, iobinding.inputs, run_options, out=list(iobinding.outputs.values()) if names else None)

    def get_inputs(self) -> list[NodeArg]:      # type: ignore[override]
        """name, type and shape of each input."""
        return [_node_arg(info) for info in super().get_inputs()]

    def get_outputs(self) -> list[NodeArg]:      # type: ignore[override]
        """name, type and shape of each output."""
        return [_node_arg(info) for info in super().get_outputs()]

    def get_overridable_initializers(self) -> list[NodeArg]:      # type: ignore[override]
        """Initializers that are inputs too: feeding them is allowed and not needed."""
        return [_node_arg(info) for info in super().get_overridable_initializers()]

    def get_modelmeta(self) -> ModelMetadata:
        """What the file says of itself."""
        said = self.metadata
        return ModelMetadata(said.get("producer_name", ""), said.get("graph_name", ""), said.get("domain", ""), said.get("doc_string", ""),
                             said.get("graph_description", ""), int(said.get("model_version") or NO_VERSION),
                             dict(said.get("custom_metadata_map", {})))

    def get_session_options(self) -> Any:
        """The options the session was made with."""
        return self._options

    def get_providers(self) -> list[str]:
        """Always the CPU."""
        return [PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """The CPU has no options."""
        return {PROVIDER: {}}

    def set_providers(self, providers: Sequence[Any] | None = None, provider_options: Sequence[Any] | None = None) -> None:
        """Warns of what is not the CPU."""
        names = [provider[0] if isinstance(provider, tuple) else provider for provider in providers or ()]
        foreign = [name for name in names if name != PROVIDER]
        if foreign:
            warn_user(f"fastcnn runs on the CPU; not available: {', '.join(map(str, foreign))}", UserWarning)

    def enable_fallback(self) -> None:
        """Nothing to fall back from."""

    def disable_fallback(self) -> None:
        """Nothing to fall back from."""

    def end_profiling(self) -> str:
        """The file with the trace of all runs so far, which Chrome and Perfetto open; "" without SessionOptions.enable_profiling."""
        if self._profile is None:
            return ""
        profile, self._profile = self._profile, None
        self._default = self._engine(self._output_names)
        return profile.write()

    def _engine(self, outputs: tuple[str, ...]) -> Engine:
        return self._watched(super()._engine(outputs))

    def _variant(self, fed: frozenset[str]) -> Model:
        variant = super()._variant(fed)
        variant._engine = lambda outputs: self._watched(Model._engine(variant, outputs))        # type: ignore[method-assign]
        return variant

    def _watched(self, engine: Engine) -> Engine:
        """The engine, or one that records its runs while the session is profiled."""
        return engine if self._profile is None else self._profile.watched(engine)

    def get_profiling_start_time_ns(self) -> int:
        """When the session was made, in nanoseconds since 1970."""
        return self._started

    __reduce__ = object.__reduce__      # type: ignore[assignment]     # by the state, which subclasses may say in their own way

    def __getstate__(self) -> dict[str, Any]:
        return {"path_or_bytes": self._source or self._graph, "sess_options": _own(self._options)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        InferenceSession.__init__(self, **state)


def _node_arg(info: ValueInfo) -> NodeArg:
    return NodeArg(info.name, info.type, list(info.shape or ()))


def _own(options: Any) -> SessionOptions:
    """A copy of the options as our class, since onnxruntime's do not pickle."""
    if isinstance(options, SessionOptions):
        return options
    own = SessionOptions()
    for option in fields(SessionOptions):
        if option.init and hasattr(options, option.name):
            value = getattr(options, option.name)
            setattr(own, option.name, int(value) if hasattr(value, "name") else value)
    for name in (TUNE_ENTRY, ACCURACY_ENTRY, CACHE_ENTRY):
        if _entry(options, name):
            own.add_session_config_entry(name, _entry(options, name))
    return own


def _kept(options: Any, name: str) -> dict[str, Any]:
    """Initializers and sizes added to our options; onnxruntime's options do not expose them."""
    return getattr(options, name, {})


def _tune_of(options: Any) -> bool | str:
    """fastcnn.load's argument from the entry "fastcnn.tune"."""
    value = _entry(options, TUNE_ENTRY)
    return {"": False, "0": False, "1": True}.get(value, value)


def _cache_of(options: Any) -> Cache | None:
    """fastcnn.load's cache from the entry "fastcnn.cache"."""
    value = _entry(options, CACHE_ENTRY)
    return cache_of({"": None, "0": False, "1": True}.get(value, value))


def _accuracy_of(options: Any) -> str | dict[str, str]:
    """fastcnn.load's argument from the entry "fastcnn.accuracy". Raises ConfigurationError."""
    value = _entry(options, ACCURACY_ENTRY)
    if not value.startswith("{"):
        return value or "fast"
    try:
        import json
        levels: dict[str, str] = json.loads(value)
    except ValueError as error:
        raise ConfigurationError(f"{ACCURACY_ENTRY}={value!r}: no JSON: {error}") from None
    return levels


def _entry(options: Any, name: str) -> str:
    """A configuration entry, of onnxruntime's own options too; "" where there is none."""
    try:
        return str(options.get_session_config_entry(name))
    except (AttributeError, RuntimeError):
        return ""


def _warn_of(options: Any) -> None:
    if getattr(options, "optimized_model_filepath", None):
        warn_user("SessionOptions.optimized_model_filepath: fastcnn writes no such file", UserWarning)
