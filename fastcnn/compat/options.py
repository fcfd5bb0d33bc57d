"""onnxruntime's options and enumerations. The docstrings say what has an effect here; everything else is kept and ignored."""
from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any


class _Named(IntEnum):
    """Prints as its name, where Python's prints as a number."""

    __str__ = Enum.__str__


class GraphOptimizationLevel(_Named):
    """Accepted; graphs are always optimised fully."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(_Named):
    """Accepted; one network is computed in order, by all threads together."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(_Named):
    """Accepted; nodes run in topological order."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


class OrtAllocatorType(_Named):
    """Accepted; memory is planned per input shape."""

    INVALID = -1
    ORT_DEVICE_ALLOCATOR = 0
    ORT_ARENA_ALLOCATOR = 1


class OrtMemType(_Named):
    """Accepted; all memory is the CPU's."""

    CPU_INPUT = -2
    CPU_OUTPUT = -1
    CPU = -1
    DEFAULT = 0


TUNE_ENTRY, ACCURACY_ENTRY, CACHE_ENTRY = "fastcnn.tune", "fastcnn.accuracy", "fastcnn.cache"


@dataclass(slots=True)
class SessionOptions:
    """onnxruntime's session options. Of effect here:

    intra_op_num_threads                 at most so many threads; 0: as many as fastcnn.load takes
    add_free_dimension_override_by_name  a symbolic size of the inputs becomes a number
    add_initializer                      an array in place of an initializer of the model
    add_session_config_entry             "fastcnn.tune": "1", or the path of a file for the answers, is fastcnn.load's tune;
                                         "fastcnn.accuracy": "strict", or {"node": "strict"} as JSON, is fastcnn.load's accuracy

    enable_profiling                     end_profiling() writes a Chrome trace with a track a thread

    optimized_model_filepath warns, since no such file is written. Everything else is kept and ignored.
    """

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    execution_mode: int = ExecutionMode.ORT_SEQUENTIAL
    execution_order: int = ExecutionOrder.DEFAULT
    graph_optimization_level: int = GraphOptimizationLevel.ORT_ENABLE_ALL
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_profiling: bool = False
    profile_file_prefix: str = "onnxruntime_profile_"
    optimized_model_filepath: str = ""
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    use_deterministic_compute: bool = False
    use_per_session_threads: bool = True
    free_dimensions: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    initializers: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _config: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Kept; of effect are "fastcnn.tune" ("1" or a path tunes, "0" does not) and "fastcnn.accuracy"."""
        self._config[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """The value given to add_session_config_entry. Raises MissingEntry."""
        if key not in self._config:
            raise MissingEntry(f"SessionOptions does not have configuration with key: {key}")
        return self._config[key]

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        """The symbolic size `name` of the model's inputs is `value`: shapes are checked and planned when the model is loaded."""
        self.free_dimensions[name] = int(value)

    def add_free_dimension_override_by_denotation(self, denotation: str, value: int) -> None:
        """Without effect: the reader does not keep denotations."""

    def add_initializer(self, name: str, value: Any) -> None:
        """The array or OrtValue takes the place of the model's initializer of this name, without a copy."""
        self.initializers[name] = value

    def add_external_initializers(self, names: list[str], values: list[Any]) -> None:
        """add_initializer for several."""
        self.initializers.update(zip(names, values))

    def register_custom_ops_library(self, path: str) -> None:
        """Without effect: a model whose operators are not known is refused when it is loaded."""

    def set_load_cancellation_flag(self, value: bool) -> None:
        """Without effect."""

    def add_provider(self, name: str, options: dict[str, str] | None = None) -> None:
        """Without effect: everything runs on the CPU."""

    def has_providers(self) -> bool:
        """False: there are none to choose from."""
        return False


class MissingEntry(KeyError, RuntimeError):
    """A configuration entry that was never set; onnxruntime raises RuntimeError."""


@dataclass(slots=True)
class RunOptions:
    """onnxruntime's per-run options. `terminate` makes the next run fail at its start; the others are kept and ignored."""

    terminate: bool = False
    only_execute_path_to_fetches: bool = False
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    _config: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Kept, without effect."""
        self._config[key] = value

    def get_run_config_entry(self, key: str) -> str:
        """The value given to add_run_config_entry. Raises MissingEntry."""
        if key not in self._config:
            raise MissingEntry(f"RunOptions does not have configuration with key: {key}")
        return self._config[key]
