"""onnxruntime's names that fastcnn does not have, each with the reason, which the AttributeError gives. A test keeps the list complete."""
from __future__ import annotations

_ADAPTERS = "adapters of weights (LoRA) are not loaded: merge them into the model"
_COMPILED = "models are compiled when they are loaded, and not written"
_DEVICES = "everything runs on the CPU: there are no other execution providers to find, register or choose"
_PACKAGES = "a model is one file, or a file with external data"
_SPARSE = "sparse constants are made dense when a model is read; there are no sparse inputs and outputs"
_VECTOR = "values come in lists"
_TOOLS = "fastcnn runs models, tools that make them are onnxruntime's: what they write runs here"
_INTERNAL = "a part of onnxruntime's own build"
_GRAPHS = "runs are not captured on a device"

# Names of the package onnxruntime.
MODULE: dict[str, str] = {
    **dict.fromkeys(("AdapterFormat", "LoraAdapter"), _ADAPTERS),
    **dict.fromkeys(("ModelCompiler", "OrtCompileApiFlags", "OrtEpContextData", "OrtEpContextDataBuffer", "OrtExternalInitializerInfo"),
                    _COMPILED),
    **dict.fromkeys(("OrtDeviceMemoryType", "OrtDeviceVendorId", "OrtEpAssignedNode", "OrtEpAssignedSubgraph", "OrtEpDevice",
                     "OrtExecutionProviderDevicePolicy", "OrtHardwareDevice", "OrtHardwareDeviceType", "OrtMemoryInfoDeviceType",
                     "OrtSyncStream", "get_ep_devices", "register_execution_provider_library", "unregister_execution_provider_library"),
                    _DEVICES),
    **dict.fromkeys(("ModelPackage", "ModelPackageComponentContext", "ModelPackageContext", "ModelPackageOptions",
                     "ModelPackageWriteMode"), _PACKAGES),
    **dict.fromkeys(("OrtSparseFormat", "SparseTensor"), _SPARSE),
    "SessionIOBinding": "IOBinding is the class",
    **dict.fromkeys(("datasets", "quantization", "tools", "transformers", "training"), _TOOLS),
}

# Names of onnxruntime.capi.onnxruntime_pybind11_state beyond those.
STATE: dict[str, str] = {
    **dict.fromkeys(("OrtCompiledModelCompatibility", "OrtDeviceEpIncompatibilityReason", "get_compatibility_info_from_model",
                     "get_compatibility_info_from_model_bytes", "get_hardware_device_ep_incompatibility_details", "get_hardware_devices",
                     "get_model_compatibility_for_ep_devices"), _DEVICES),
    **dict.fromkeys(("ArenaExtendStrategy", "SessionObjectInitializer", "get_all_operator_schema", "get_all_opkernel_def",
                     "get_registered_ep_kernel_defs", "get_session_initializer", "kNextPowerOfTwo", "kSameAsRequested", "opkernel",
                     "schemadef"), _INTERNAL),
    **dict.fromkeys(("pack_fp4_weights_for_cuda_moe_gemm", "quantize_matmul_2bits", "quantize_matmul_4bits", "quantize_matmul_8bits",
                     "quantize_matmul_bnb4", "quantize_qdq_matmul_2bits", "quantize_qdq_matmul_4bits"), _TOOLS),
    **dict.fromkeys(("SparseBlockSparseView", "SparseCooView", "SparseCsrView"), _SPARSE),
    "OrtValueVector": _VECTOR,
}

# Attributes of classes.
CLASSES: dict[str, dict[str, str]] = {
    "IOBinding": {"get_outputs_as_ortvaluevector": _VECTOR},
    "InferenceSession": {
        **dict.fromkeys(("get_input_epdevices", "get_input_memory_infos", "get_output_memory_infos", "get_provider_graph_assignment_info",
                         "set_ep_dynamic_options"), _DEVICES),
        **dict.fromkeys(("get_tuning_results", "set_tuning_results"), 'SessionOptions.add_session_config_entry("fastcnn.tune", ...) tunes'),
        "release_captured_graph": _GRAPHS,
        "run_with_ortvaluevector": _VECTOR,
    },
    "OrtMemoryInfo": dict.fromkeys(("create_v2", "device_mem_type", "device_vendor_id"), _DEVICES),
    "OrtValue": dict.fromkeys(("as_sparse_tensor", "ort_value_from_sparse_tensor"), _SPARSE),
    "RunOptions": {"add_active_adapter": _ADAPTERS},
    "SessionOptions": {
        "add_external_initializers_from_files_in_memory": "external data is read from files",
        **dict.fromkeys(("add_provider_for_devices", "set_provider_selection_policy", "set_provider_selection_policy_delegate"), _DEVICES),
        **dict.fromkeys(("clear_ep_context_data_read_func", "set_ep_context_data_read_func"), _COMPILED),
    },
}
# Modules inside onnxruntime that have no counterpart.
MODULES: dict[str, str] = {
    **dict.fromkeys(("datasets", "quantization", "tools", "transformers"), _TOOLS),
    **dict.fromkeys(("capi._ld_preload", "capi.build_and_package_info", "capi.libonnxruntime_providers_shared",
                     "capi.onnxruntime_collect_build_info", "capi.onnxruntime_validation"), _INTERNAL),
    "capi.convert_npz_to_onnx_adapter": _ADAPTERS,
}
