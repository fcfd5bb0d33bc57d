"""fastcnn: runs ONNX convolutional networks on CPUs.

    import fastcnn
    model = fastcnn.load("resnet50.onnx")
    probabilities, = model.run(None, {"input": image})

`import fastcnn as ort` also works: onnxruntime's names, from fastcnn.compat.
"""
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastcnn import _native
from fastcnn.cpu import cpu_info, select_instruction_set
from fastcnn.ir.errors import (
    ConfigurationError,
    ExecutionError,
    FastCNNError,
    InputError,
    LimitError,
    ModelError,
    OverloadedError,
    ShapeError,
    TimeLimitError,
    UnsupportedOperatorError,
)
from fastcnn.ir.record import make_with
from fastcnn.locks import uncollected, uncut
from fastcnn.machine.current import select_machine
from fastcnn.version import __version__

if TYPE_CHECKING:
    from fastcnn import capi
    from fastcnn._native import Deadline
    from fastcnn.benchmark.session import bench
    from fastcnn.comparison import compare
    from fastcnn.compat import *
    from fastcnn.explanation.explain import explain
    from fastcnn.ir.graph import ValueInfo
    from fastcnn.loading import load
    from fastcnn.model import Model
    from fastcnn.post_training import Quantized, quantize
    from fastcnn.preprocess import Preprocess

__all__ = [
    "ConfigurationError", "Deadline", "ExecutionError", "ExecutionMode", "ExecutionOrder", "FastCNNError", "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession", "InputError", "LimitError", "Model", "ModelError", "ModelMetadata", "NodeArg", "OrtAllocatorType",
    "OrtArenaCfg", "OrtDevice",
    "OrtMemType", "OrtMemoryInfo", "OrtValue", "OverloadedError", "Preprocess", "Quantized", "RunOptions", "SessionOptions",
    "ShapeError", "TimeLimitError",
    "UnsupportedOperatorError", "ValueInfo",
    "__version__", "bench", "capi", "compare", "copy_tensors", "cpu_info", "create_and_register_allocator",
    "create_and_register_allocator_v2",
    "cuda_version", "disable_telemetry_events", "enable_telemetry_events", "explain", "get_all_providers", "get_available_providers",
    "get_build_info", "get_device", "get_version_string", "has_collective_ops", "load", "package_name", "preload_dlls",
    "print_debug_info", "quantize", "set_default_logger_callback", "set_default_logger_severity", "set_default_logger_verbosity",
    "set_global_thread_pool_sizes", "set_seed",
]

make_with(_native)
select_instruction_set()
select_machine()

# Name -> the module that has it, imported when the name is first asked for: importing fastcnn takes a few ms more than numpy, what reads
# and plans models ten times that. Names of __all__ that are not listed are onnxruntime's, in fastcnn.compat.
LATER = {"Deadline": "fastcnn._native", "Model": "fastcnn.model", "Preprocess": "fastcnn.preprocess",
         "Quantized": "fastcnn.post_training", "ValueInfo": "fastcnn.ir.graph",
         "bench": "fastcnn.benchmark.session", "capi": "", "compare": "fastcnn.comparison", "explain": "fastcnn.explanation.explain",
         "load": "fastcnn.loading", "quantize": "fastcnn.post_training"}


def __getattr__(name: str) -> object:
    if name in __all__:
        module = LATER.get(name, "fastcnn.compat")
        with uncut(), uncollected():
            found = getattr(import_module(module), name) if module else import_module(f"fastcnn.{name}")
        globals()[name] = found
        return found
    if find_spec(f"fastcnn.{name}"):        # `from fastcnn import name` asks here before it imports a module of that name
        raise AttributeError(f"module 'fastcnn' has no attribute {name!r} before it is imported", name=name)
    from fastcnn.compat.absent import MODULE
    reason = MODULE.get(name)
    raise AttributeError(f"module 'fastcnn' has no attribute {name!r}{(reason and f': {reason}') or ''}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
