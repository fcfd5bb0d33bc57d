"""Functions of the module onnxruntime: providers, versions, and settings that have no effect here."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastcnn.compat.options import SessionOptions
from fastcnn.compat.session import PROVIDER
from fastcnn.cpu import cpu_info
from fastcnn.version import __version__

# There is no CUDA.
cuda_version = ""
package_name = "fastcnn"


def get_available_providers() -> list[str]:
    """The CPU."""
    return [PROVIDER]


def get_all_providers() -> list[str]:
    """The CPU."""
    return [PROVIDER]


def get_device() -> str:
    """"CPU"."""
    return "CPU"


def get_version_string() -> str:
    """The version of fastcnn."""
    return __version__


def get_build_info() -> str:
    """Version and instruction sets of this build."""
    return f"fastcnn {__version__}, instruction sets: {', '.join(cpu_info()['instruction_sets'])}"


def print_debug_info() -> None:
    """Prints what a report of a fault should say: versions, system, instruction sets, threads."""
    import platform  # 2 ms that nothing else needs
    print(get_build_info())
    print(f"{platform.platform()}, Python {platform.python_version()}")
    for name, value in cpu_info().items():
        print(f"{name}: {value}")


def get_default_session_options() -> SessionOptions:
    """SessionOptions()."""
    return SessionOptions()


def has_collective_ops() -> bool:
    """False: one process computes."""
    return False


def preload_dlls(cuda: bool = True, cudnn: bool = True, msvc: bool = True, directory: str | None = None) -> None:
    """Without effect: there are no libraries of other devices to load."""


def set_default_logger_callback(callback: Callable[..., object] | None, severity: int = 2) -> None:
    """Without effect: fastcnn speaks through warnings and exceptions."""


def set_default_logger_severity(severity: int) -> None:
    """Without effect: fastcnn speaks through warnings and exceptions."""


def set_default_logger_verbosity(verbosity: int) -> None:
    """Without effect."""


def set_global_thread_pool_sizes(intra_op_num_threads: int, inter_op_num_threads: int, *more: Any) -> None:
    """Without effect: each model has its number of threads."""


def set_seed(seed: int) -> None:
    """Without effect: random operators draw from the seeds in the model."""


def disable_telemetry_events() -> None:
    """There is no telemetry."""


def enable_telemetry_events() -> None:
    """There is no telemetry, and this does not change it."""
