"""onnxruntime's names for `import fastcnn as ort`. Names added here appear in fastcnn.capi too; fastcnn.__all__ lists public ones."""
from fastcnn.compat.devices import OrtArenaCfg, OrtDevice, OrtMemoryInfo, create_and_register_allocator, create_and_register_allocator_v2
from fastcnn.compat.environment import (
    cuda_version,
    disable_telemetry_events,
    enable_telemetry_events,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_default_session_options,
    get_device,
    get_version_string,
    has_collective_ops,
    package_name,
    preload_dlls,
    print_debug_info,
    set_default_logger_callback,
    set_default_logger_severity,
    set_default_logger_verbosity,
    set_global_thread_pool_sizes,
    set_seed,
)
from fastcnn.compat.options import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    OrtAllocatorType,
    OrtMemType,
    RunOptions,
    SessionOptions,
)
from fastcnn.compat.session import InferenceSession, ModelMetadata, NodeArg
from fastcnn.compat.values import IOBinding, OrtValue, copy_tensors

__all__ = [
    "ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "IOBinding", "InferenceSession", "ModelMetadata", "NodeArg",
    "OrtAllocatorType", "OrtArenaCfg", "OrtDevice", "OrtMemType", "OrtMemoryInfo", "OrtValue", "RunOptions", "SessionOptions",
    "copy_tensors", "create_and_register_allocator", "create_and_register_allocator_v2", "cuda_version", "disable_telemetry_events",
    "enable_telemetry_events", "get_all_providers", "get_available_providers", "get_build_info", "get_default_session_options",
    "get_device", "get_version_string", "has_collective_ops", "package_name", "preload_dlls", "print_debug_info",
    "set_default_logger_callback", "set_default_logger_severity", "set_default_logger_verbosity", "set_global_thread_pool_sizes",
    "set_seed",
]
