"""Name by name beside onnxruntime: what both modules have does the same, what fastcnn has not is in a table with its reason."""
from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn.compat import absent

onnxruntime = pytest.importorskip("onnxruntime")

DIGITS = str(Path(__file__).parent.parent / "models" / "trained" / "digits.onnx")
CPU = ["CPUExecutionProvider"]
IMAGE = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 1, 8, 8)
# Newer versions have names that nobody has judged yet.
JUDGED = (1, 32)
judged = pytest.mark.skipif(tuple(map(int, onnxruntime.__version__.split(".")[:2])) > JUDGED,
                            reason=f"the tables are of onnxruntime {'.'.join(map(str, JUDGED))}")


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_") and not isinstance(getattr(thing, name), ModuleType)}


def state(module: ModuleType) -> ModuleType:
    return importlib.import_module(f"{module.__name__}.capi.onnxruntime_pybind11_state")


# Names of the package that are there by the way it is written.
BY_THE_WAY = {"annotations", "import_capi_exception", "version"}
CLASSES = ("IOBinding", "InferenceSession", "ModelMetadata", "NodeArg", "OrtArenaCfg", "OrtDevice", "OrtMemoryInfo", "OrtValue",
           "RunOptions", "SessionOptions")


@judged
def test_every_name_of_the_module_is_here_or_has_a_reason_not_to():
    assert public(onnxruntime) - public(fastcnn) - BY_THE_WAY <= absent.MODULE.keys()
    assert public(state(onnxruntime)) - public(state(fastcnn)) <= absent.MODULE.keys() | absent.STATE.keys()
    assert not (absent.MODULE.keys() | absent.STATE.keys()) & (public(fastcnn) | public(state(fastcnn)))


@judged
@pytest.mark.parametrize("name", CLASSES)
def test_every_attribute_of_the_classes_is_here_or_has_a_reason_not_to(name):
    ours = instances(fastcnn)[name]
    missing = public(getattr(onnxruntime, name)) - public(ours) - absent.CLASSES.get(name, {}).keys()
    assert not missing
    assert not absent.CLASSES.get(name, {}).keys() & public(ours)


@judged
def test_every_module_inside_is_here_or_has_a_reason_not_to():
    found = {m.name for m in pkgutil.iter_modules(onnxruntime.__path__)}
    found |= {f"capi.{m.name}" for m in pkgutil.iter_modules(onnxruntime.capi.__path__)}
    for name in found - absent.MODULES.keys():
        importlib.import_module(f"fastcnn.{name}")
    assert found >= absent.MODULES.keys()


@judged
def test_enumerations_have_the_same_members_that_print_alike():
    for name in ("ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "OrtAllocatorType", "OrtMemType"):
        theirs, ours = getattr(onnxruntime, name), getattr(fastcnn, name)
        assert {n: (int(m), str(m)) for n, m in theirs.__members__.items()} == {n: (int(m), str(m)) for n, m in ours.__members__.items()}


def test_attributes_that_are_not_here_say_why():
    with pytest.raises(AttributeError, match="no attribute 'LoraAdapter': adapters of weights"):
        _ = fastcnn.LoraAdapter
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        _ = fastcnn.nothing
    assert not hasattr(fastcnn, "quantization")
    with pytest.raises(ImportError):
        importlib.import_module("fastcnn.quantization")


@pytest.mark.parametrize("name", ["IOBinding", "InferenceSession", "OrtValue"])
def test_methods_take_the_same_arguments(name):
    """Names and order of parameters; of our own are only further ones at the end."""
    for method, theirs in inspect.getmembers(getattr(onnxruntime, name), inspect.isroutine):
        ours = getattr(getattr(fastcnn, name), method, None)
        if ours is None or (method.startswith("_") and (name, method) != ("InferenceSession", "__init__")):
            continue
        expected = [(p.name, p.kind) for p in inspect.signature(theirs).parameters.values()]
        found = [(p.name, p.kind) for p in inspect.signature(ours).parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        assert found[:len(expected)] == expected, method


def session(ort: ModuleType) -> Any:
    return ort.InferenceSession(DIGITS, providers=CPU)


def instances(ort: ModuleType) -> dict[str, Any]:
    """One of each class."""
    s = session(ort)
    return {
        "IOBinding": s.io_binding(), "InferenceSession": s, "ModelMetadata": s.get_modelmeta(), "NodeArg": s.get_inputs()[0],
        "OrtArenaCfg": ort.OrtArenaCfg({"max_mem": 1 << 20}), "OrtDevice": ort.OrtDevice.make("cpu", 0),
        "OrtMemoryInfo": ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT),
        "OrtValue": ort.OrtValue.ortvalue_from_numpy(IMAGE.copy()), "RunOptions": ort.RunOptions(), "SessionOptions": ort.SessionOptions()}


def bound(ort: ModuleType) -> tuple[Any, Any]:
    s = session(ort)
    binding = s.io_binding()
    binding.bind_cpu_input("image", IMAGE)
    binding.bind_output(s.get_outputs()[0].name)
    return s, binding


def ran(ort: ModuleType, bind: Callable[[Any, Any], Any]) -> Any:
    """What the session computes of what is bound."""
    s, binding = bound(ort)
    bind(ort, binding)
    s.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()[0]


def outputs_of_binding(ort: ModuleType) -> Any:
    s, binding = bound(ort)
    s.run_with_iobinding(binding)
    return [value.numpy() for value in binding.get_outputs()]


def with_data(ort: ModuleType, address: Callable[[Any], int]) -> Any:
    value = ort.OrtValue.ortvalue_from_numpy(IMAGE)
    return ran(ort, lambda ort, b: b.bind_input("image", "cpu", 0, np.float32, value.shape(), address(value)))


def overwritten(ort: ModuleType) -> np.ndarray:
    value = ort.OrtValue.ortvalue_from_numpy(np.zeros((2, 2), np.float32))
    value.update_inplace(np.ones((2, 2), np.float32))
    return value.numpy()


def copied(ort: ModuleType) -> np.ndarray:
    source, target = (ort.OrtValue.ortvalue_from_numpy(np.full((2, 2), k, np.float32)) for k in (1, 0))
    ort.copy_tensors([source], [target])
    return target.numpy()


def configured(ort: ModuleType, kind: str, verb: str) -> str:
    options = getattr(ort, kind)()
    getattr(options, f"add_{verb}_config_entry")("a.b", "1")
    return getattr(options, f"get_{verb}_config_entry")("a.b")


def in_place_of_a_weight(ort: ModuleType) -> list[np.ndarray]:
    from test_session_drop_in import X, scaled
    options = ort.SessionOptions()
    value = ort.OrtValue.ortvalue_from_numpy(np.float32([5, 6, 7]))
    options.add_initializer("scale", value)
    return ort.InferenceSession(scaled().SerializeToString(), options, providers=CPU).run(None, {"x": X})


# (class or "", name) -> a call whose result is the same for both modules.
CALLS: dict[tuple[str, str], Callable[[ModuleType], Any]] = {
    ("", "copy_tensors"): lambda ort: np.ones((2, 2), np.float32) if ort is onnxruntime else copied(ort),     # onnxruntime: between devices
    ("", "create_and_register_allocator"): lambda ort: None,         # onnxruntime keeps one for the process: see the next test
    ("", "create_and_register_allocator_v2"): lambda ort: None,
    ("", "cuda_version"): lambda ort: ort.cuda_version,
    ("", "disable_telemetry_events"): lambda ort: ort.disable_telemetry_events(),
    ("", "enable_telemetry_events"): lambda ort: None if ort is onnxruntime else ort.enable_telemetry_events(),
    ("", "get_all_providers"): lambda ort: "CPUExecutionProvider" in ort.get_all_providers(),
    ("", "get_available_providers"): lambda ort: "CPUExecutionProvider" in ort.get_available_providers(),
    ("", "get_build_info"): lambda ort: isinstance(ort.get_build_info(), str),
    ("", "get_device"): lambda ort: ort.get_device()[:3],
    ("", "get_version_string"): lambda ort: ort.get_version_string() == ort.__version__,
    ("", "has_collective_ops"): lambda ort: ort.has_collective_ops(),
    ("", "package_name"): lambda ort: ort.package_name == ort.__name__,
    ("", "preload_dlls"): lambda ort: ort.preload_dlls(cuda=False, cudnn=False, msvc=False, directory=""),
    ("", "print_debug_info"): lambda ort: ort.print_debug_info(),
    ("", "set_default_logger_callback"): lambda ort: ort.set_default_logger_callback(None),
    ("", "set_default_logger_severity"): lambda ort: ort.set_default_logger_severity(4),
    ("", "set_default_logger_verbosity"): lambda ort: ort.set_default_logger_verbosity(0),
    ("", "set_global_thread_pool_sizes"): lambda ort: None if ort is onnxruntime else ort.set_global_thread_pool_sizes(1, 1),
    ("", "set_seed"): lambda ort: ort.set_seed(3),
    ("IOBinding", "bind_cpu_input"): lambda ort: ran(ort, lambda ort, b: b.bind_cpu_input("image", IMAGE)),
    ("IOBinding", "bind_input"): lambda ort: with_data(ort, lambda value: value.data_ptr()),
    ("IOBinding", "bind_ortvalue_input"): lambda ort: ran(
        ort, lambda ort, b: b.bind_ortvalue_input("image", ort.OrtValue.ortvalue_from_numpy(IMAGE))),
    ("IOBinding", "bind_ortvalue_output"): lambda ort: ran(
        ort, lambda ort, b: b.bind_ortvalue_output("probabilities", ort.OrtValue.ortvalue_from_shape_and_type([2, 10], np.float32))),
    ("IOBinding", "bind_output"): lambda ort: ran(ort, lambda ort, b: b.bind_output("probabilities", "cpu")),
    ("IOBinding", "clear_binding_inputs"): lambda ort: bound(ort)[1].clear_binding_inputs(),
    ("IOBinding", "clear_binding_outputs"): lambda ort: bound(ort)[1].clear_binding_outputs(),
    ("IOBinding", "copy_outputs_to_cpu"): lambda ort: ran(ort, lambda ort, b: None),
    ("IOBinding", "get_outputs"): outputs_of_binding,
    ("IOBinding", "synchronize_inputs"): lambda ort: bound(ort)[1].synchronize_inputs(),
    ("IOBinding", "synchronize_outputs"): lambda ort: bound(ort)[1].synchronize_outputs(),
    ("InferenceSession", "create_ortvalue_from_shape_and_type"): lambda ort: session(ort).create_ortvalue_from_shape_and_type(
        [2, 3], np.float32, "cpu").shape(),
    ("InferenceSession", "disable_fallback"): lambda ort: session(ort).disable_fallback(),
    ("InferenceSession", "enable_fallback"): lambda ort: session(ort).enable_fallback(),
    ("InferenceSession", "end_profiling"): lambda ort: session(ort).end_profiling(),
    ("InferenceSession", "get_inputs"): lambda ort: str(session(ort).get_inputs()[0]),
    ("InferenceSession", "get_modelmeta"): lambda ort: session(ort).get_modelmeta().graph_name,
    ("InferenceSession", "get_outputs"): lambda ort: str(session(ort).get_outputs()[0]),
    ("InferenceSession", "get_overridable_initializers"): lambda ort: len(session(ort).get_overridable_initializers()),
    ("InferenceSession", "get_profiling_start_time_ns"): lambda ort: session(ort).get_profiling_start_time_ns() >= 0,
    ("InferenceSession", "get_provider_options"): lambda ort: session(ort).get_provider_options(),
    ("InferenceSession", "get_providers"): lambda ort: session(ort).get_providers(),
    ("InferenceSession", "get_session_options"): lambda ort: session(ort).get_session_options().intra_op_num_threads,
    ("InferenceSession", "io_binding"): lambda ort: session(ort).io_binding().copy_outputs_to_cpu(),
    ("InferenceSession", "run"): lambda ort: session(ort).run(["probabilities"], {"image": IMAGE}, ort.RunOptions()),
    ("InferenceSession", "run_async"): lambda ort: None,               # test_session_drop_in waits for it
    ("InferenceSession", "run_with_iobinding"): lambda ort: ran(ort, lambda ort, b: None),
    ("InferenceSession", "run_with_ort_values"): lambda ort: session(ort).run_with_ort_values(
        ["probabilities"], {"image": ort.OrtValue.ortvalue_from_numpy(IMAGE)})[0].numpy(),
    ("InferenceSession", "set_providers"): lambda ort: session(ort).set_providers(CPU),
    **{("ModelMetadata", name): lambda ort, name=name: getattr(session(ort).get_modelmeta(), name) for name in (
        "custom_metadata_map", "description", "domain", "graph_description", "graph_name", "producer_name", "version")},
    **{("NodeArg", name): lambda ort, name=name: getattr(session(ort).get_inputs()[0], name) for name in ("name", "shape", "type")},
    **{("OrtArenaCfg", name): lambda ort, name=name: getattr(ort.OrtArenaCfg({name: 3}), name) for name in (
        "arena_extend_strategy", "initial_chunk_size_bytes", "initial_growth_chunk_size_bytes", "max_dead_bytes_per_chunk", "max_mem",
        "max_power_of_two_extend_bytes")},
    **{("OrtDevice", name): lambda ort, name=name: getattr(ort.OrtDevice.make("cpu", 0), name)() for name in (
        "device_id", "device_mem_type", "device_type", "device_vendor_id")},
    ("OrtDevice", "make"): lambda ort: ort.OrtDevice.make("cpu", 1).device_id(),
    **{("OrtMemoryInfo", name): lambda ort, name=name: str(getattr(instances(ort)["OrtMemoryInfo"], name)) for name in (
        "allocator_type", "device_id", "mem_type", "name")},
    **{("OrtValue", name): lambda ort, name=name: getattr(ort.OrtValue.ortvalue_from_numpy(IMAGE), name)() for name in (
        "data_type", "device_name", "element_type", "has_value", "is_sparse_tensor", "is_tensor", "is_tensor_sequence", "numpy", "shape",
        "tensor_size_in_bytes")},
    ("OrtValue", "data_ptr"): lambda ort: ort.OrtValue.ortvalue_from_numpy(IMAGE).data_ptr() > 0,
    ("OrtValue", "from_dlpack"): lambda ort: ort.OrtValue.from_dlpack(IMAGE.copy()).numpy(),
    ("OrtValue", "ortvalue_from_numpy"): lambda ort: ort.OrtValue.ortvalue_from_numpy(IMAGE, device_type="cpu", device_id=0).numpy(),
    ("OrtValue", "ortvalue_from_numpy_with_onnx_type"): lambda ort: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
        np.arange(3, dtype=np.uint16), 16).data_type(),
    ("OrtValue", "ortvalue_from_shape_and_type"): lambda ort: ort.OrtValue.ortvalue_from_shape_and_type([2, 3], np.float32).shape(),
    ("OrtValue", "update_inplace"): overwritten,
    ("RunOptions", "add_run_config_entry"): lambda ort: configured(ort, "RunOptions", "run"),
    ("RunOptions", "get_run_config_entry"): lambda ort: configured(ort, "RunOptions", "run"),
    **{("RunOptions", name): lambda ort, name=name: getattr(ort.RunOptions(), name) for name in (
        "log_severity_level", "log_verbosity_level", "logid", "only_execute_path_to_fetches", "terminate")},
    ("SessionOptions", "add_external_initializers"): lambda ort: None,         # test_session_drop_in
    **{("SessionOptions", name): lambda ort, name=name: getattr(ort.SessionOptions(), name)("N", 1) for name in (
        "add_free_dimension_override_by_denotation", "add_free_dimension_override_by_name")},
    ("SessionOptions", "add_initializer"): in_place_of_a_weight,
    ("SessionOptions", "add_provider"): lambda ort: ort.SessionOptions().add_provider("CPUExecutionProvider", {}),
    ("SessionOptions", "add_session_config_entry"): lambda ort: configured(ort, "SessionOptions", "session"),
    ("SessionOptions", "get_session_config_entry"): lambda ort: configured(ort, "SessionOptions", "session"),
    ("SessionOptions", "has_providers"): lambda ort: ort.SessionOptions().has_providers(),
    ("SessionOptions", "register_custom_ops_library"): lambda ort: None,       # onnxruntime loads it, fastcnn does not
    ("SessionOptions", "set_load_cancellation_flag"): lambda ort: ort.SessionOptions().set_load_cancellation_flag(False),
    **{("SessionOptions", name): lambda ort, name=name: str(getattr(ort.SessionOptions(), name)) for name in (
        "enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse", "enable_profiling", "execution_mode", "execution_order",
        "graph_optimization_level", "inter_op_num_threads", "intra_op_num_threads", "log_severity_level", "log_verbosity_level", "logid",
        "optimized_model_filepath", "profile_file_prefix", "use_deterministic_compute", "use_per_session_threads")},
}


def same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, np.ndarray):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            same(a, b)
    else:
        assert ours == theirs


@pytest.mark.parametrize("key", CALLS, ids=lambda key: ".".join(filter(None, key)))
def test_both_modules_give_the_same(key):
    same(CALLS[key](fastcnn), CALLS[key](onnxruntime))


@judged
def test_every_shared_name_is_called():
    """Enumerations, classes and exceptions have tests of their own."""
    shared = {("", name) for name in public(fastcnn) & public(onnxruntime) if not isinstance(getattr(onnxruntime, name), type)}
    for name in CLASSES:
        shared |= {(name, attribute) for attribute in public(instances(fastcnn)[name]) & public(getattr(onnxruntime, name))}
    assert shared - CALLS.keys() == set()


def test_allocators_are_taken_and_mean_nothing():
    info = instances(fastcnn)["OrtMemoryInfo"]
    fastcnn.create_and_register_allocator(info, None)
    fastcnn.create_and_register_allocator_v2("CPUExecutionProvider", info, {}, fastcnn.OrtArenaCfg(0, -1, -1, -1))


def test_devices_other_than_the_cpu_are_refused():
    from fastcnn.capi.onnxruntime_inference_collection import get_ort_device_type
    assert fastcnn.OrtDevice(fastcnn.OrtDevice.cpu(), fastcnn.OrtDevice.default_memory(), 0) == fastcnn.OrtDevice.make("CPU", 0)
    for call in (get_ort_device_type, lambda name: fastcnn.OrtDevice.make(name, 0)):
        with pytest.raises(fastcnn.capi.onnxruntime_pybind11_state.InvalidArgument, match="'cuda'"):
            call("cuda")


AS_ONNXRUNTIME = f"""
import sys
import fastcnn
sys.modules["onnxruntime"] = fastcnn
import onnxruntime as ort
import onnxruntime.backend
import onnxruntime.capi._pybind_state
from onnxruntime import InferenceSession
from onnxruntime.capi import _pybind_state as C
from onnxruntime.capi.onnxruntime_inference_collection import OrtValue
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, NoSuchFile, RunOptions, SessionOptions, get_available_providers
assert C.get_available_providers() == get_available_providers() == ort.get_available_providers()
assert C.InferenceSession is InferenceSession and C.OrtValue is OrtValue and SessionOptions is ort.SessionOptions
session = InferenceSession({DIGITS!r})
try:
    session.run(None, {{"x": 1}})
except InvalidArgument as error:
    print(type(error).__name__, onnxruntime.backend.run(session, [__import__("numpy").zeros((1, 1, 8, 8), "f")])[0].shape)
"""


def test_applications_run_when_fastcnn_stands_in_for_the_module():
    """sys.modules["onnxruntime"] = fastcnn: imports of onnxruntime and of modules inside it find ours."""
    run = subprocess.run([sys.executable, "-c", AS_ONNXRUNTIME], capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert (run.stdout, run.stderr) == ("InvalidArgument (1, 10)\n", "")


class Kept(fastcnn.InferenceSession):
    """A session that says itself how it pickles, as applications write for onnxruntime's, which does not."""

    def __init__(self, model_path: str, **kwargs: Any) -> None:
        super().__init__(model_path, **kwargs)
        self.model_path = model_path

    def __getstate__(self) -> dict[str, str]:
        return {"model_path": self.model_path}

    def __setstate__(self, values: dict[str, str]) -> None:
        self.__init__(values["model_path"])


def test_sessions_of_applications_pickle_in_their_own_way():
    original = Kept(DIGITS, providers=CPU)
    copy = pickle.loads(pickle.dumps(original))
    assert type(copy) is Kept and copy.model_path == DIGITS
    np.testing.assert_array_equal(copy.run(None, {"image": IMAGE})[0], original.run(None, {"image": IMAGE})[0])


def test_session_says_where_its_model_lies():
    assert session(fastcnn)._model_path == session(onnxruntime)._model_path == DIGITS
    content = Path(DIGITS).read_bytes()
    assert fastcnn.InferenceSession(content)._model_path is onnxruntime.InferenceSession(content, providers=CPU)._model_path is None
