"""Drop-in for onnxruntime: the same user code with either module gives equal results."""
from __future__ import annotations

import importlib
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.ir.errors import FormatError

DIGITS = str(Path(__file__).parent.parent / "models" / "trained" / "digits.onnx")
CPU = ["CPUExecutionProvider"]
pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")


@pytest.fixture(params=[fastcnn, onnxruntime], ids=["fastcnn", "onnxruntime"])
def ort(request) -> ModuleType:
    return request.param


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (np.load(DIGITS.replace(".onnx", ".npz"))["images"][:4] / 16).astype(np.float32)


@pytest.fixture(scope="module")
def expected(images) -> np.ndarray:
    return onnxruntime.InferenceSession(DIGITS, providers=CPU).run(None, {"image": images})[0]


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-6)


def scaled(**more: Any) -> onnx.ModelProto:
    """y = (x + 1) * scale; scale is an initializer that is an input too."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["x1"]), helper.make_node("Mul", ["x1", "scale"], ["y"])], "scaled",
        [info("x", TensorProto.FLOAT, ["N", 3]), info("scale", TensorProto.FLOAT, [3])], [info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.ones(3, np.float32), "one"), numpy_helper.from_array(np.array([1, 2, 3], np.float32), "scale")],
        doc_string="of the graph")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="a test", model_version=7,
                              domain="test.domain", doc_string="of the model", **more)
    helper.set_model_props(model, {"author": "nobody"})
    return model


X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = (X + 1) * np.array([1, 2, 3], np.float32)


def session_of(ort: ModuleType, options: Any = None) -> Any:
    return ort.InferenceSession(scaled().SerializeToString(), options, providers=CPU)


# ---- running ----


def test_drop_in_run(ort, images, expected):
    session = ort.InferenceSession(DIGITS, providers=CPU)
    name = session.get_inputs()[0].name
    close(session.run(None, {name: images})[0], expected)
    close(session.run([session.get_outputs()[0].name], {name: images}, ort.RunOptions())[0], expected)
    assert session.get_providers() == CPU and session.get_provider_options() == {"CPUExecutionProvider": {}}


def test_drop_in_run_with_ort_values(ort, images, expected):
    session = ort.InferenceSession(DIGITS, providers=CPU)
    value = ort.OrtValue.ortvalue_from_numpy(images)
    result, = session.run_with_ort_values(None, {"image": value})
    assert isinstance(result, ort.OrtValue)
    close(result.numpy(), expected)
    close(session.run(None, {"image": value})[0], expected)


def test_drop_in_run_async(ort, images, expected):
    session, done, seen = ort.InferenceSession(DIGITS, providers=CPU), threading.Event(), []

    def callback(results: Any, user_data: Any, error: str) -> None:
        seen.append((results, user_data, error))
        done.set()

    session.run_async(None, {"image": images}, callback, "data")
    assert done.wait(30)
    (results, user_data, error), = seen
    close(results[0], expected)
    assert user_data == "data" and error == ""


def test_drop_in_io_binding(ort, images, expected):
    session = ort.InferenceSession(DIGITS, providers=CPU)
    name = session.get_outputs()[0].name
    binding = session.io_binding()
    binding.bind_cpu_input("image", images)
    binding.bind_output(name)
    session.run_with_iobinding(binding)
    close(binding.copy_outputs_to_cpu()[0], expected)
    close(binding.get_outputs()[0].numpy(), expected)


def test_drop_in_io_binding_to_memory(ort, images, expected):
    session, y = ort.InferenceSession(DIGITS, providers=CPU), np.zeros(expected.shape, np.float32)
    name = session.get_outputs()[0].name
    binding = session.io_binding()
    binding.bind_input("image", "cpu", 0, np.float32, images.shape, images.ctypes.data)
    binding.bind_output(name, "cpu", 0, np.float32, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    close(y, expected)
    binding.clear_binding_outputs()
    value = ort.OrtValue.ortvalue_from_shape_and_type(list(expected.shape), np.float32, "cpu", 0)
    binding.bind_ortvalue_input("image", ort.OrtValue.ortvalue_from_numpy(images[::-1].copy()))
    binding.bind_ortvalue_output(name, value)
    session.run_with_iobinding(binding)
    close(value.numpy(), expected[::-1])


# ---- what a session says ----


def said(args: list[Any]) -> list[tuple[str, str, list]]:
    return [(a.name, a.type, a.shape) for a in args]


def test_drop_in_inputs_outputs_and_metadata(ort):
    session = session_of(ort)
    assert said(session.get_inputs()) == [("x", "tensor(float)", ["N", 3])]
    assert said(session.get_outputs()) == [("y", "tensor(float)", ["N", 3])]
    assert said(session.get_overridable_initializers()) == [("scale", "tensor(float)", [3])]
    meta = session.get_modelmeta()
    assert (meta.producer_name, meta.graph_name, meta.domain, meta.description, meta.graph_description, meta.version,
            meta.custom_metadata_map) == ("a test", "scaled", "test.domain", "of the model", "of the graph", 7, {"author": "nobody"})


def test_drop_in_old_files_have_no_overridable_initializers(ort):
    model = scaled()
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("one", TensorProto.FLOAT, [3]))
    model.ClearField("model_version")
    session = ort.InferenceSession(model.SerializeToString(), providers=CPU)
    assert session.get_overridable_initializers() == []
    assert said(session.get_inputs()) == [("x", "tensor(float)", ["N", 3])]
    assert session.get_modelmeta().version == 2 ** 63 - 1


def test_drop_in_overridable_initializer_is_fed(ort):
    session, scale = session_of(ort), np.array([0, -1, 2], np.float32)
    close(session.run(None, {"x": X})[0], Y)
    close(session.run(None, {"x": X, "scale": scale})[0], (X + 1) * scale)
    close(session.run(["y"], {"x": X})[0], Y)


# ---- options ----


def test_drop_in_session_options_have_the_same_attributes(ort):
    options, theirs = ort.SessionOptions(), onnxruntime.SessionOptions()
    for name in dir(theirs):
        if not name.startswith("_") and not callable(getattr(theirs, name)):
            value = getattr(options, name)
            assert value == getattr(theirs, name) or int(value) == int(getattr(theirs, name)), name
            setattr(options, name, value)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    with pytest.raises(RuntimeError, match="configuration with key: nothing"):
        options.get_session_config_entry("nothing")
    with pytest.raises(AttributeError):
        options.no_such_attribute = 1


def test_drop_in_usual_options(ort, images, expected):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    close(ort.InferenceSession(DIGITS, sess_options=options, providers=CPU).run(None, {"image": images})[0], expected)


def test_drop_in_free_dimension_override(ort):
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("N", 2)
    session = session_of(ort, options)
    assert said(session.get_inputs()) == [("x", "tensor(float)", [2, 3])]
    close(session.run(None, {"x": X})[0], Y)
    with pytest.raises(importlib.import_module(f"{ort.__name__}.capi.onnxruntime_pybind11_state").InvalidArgument):
        session.run(None, {"x": X[:1]})


def test_drop_in_added_initializer(ort):
    options, scale = ort.SessionOptions(), np.array([4, 5, 6], np.float32)
    value = ort.OrtValue.ortvalue_from_numpy(scale)
    options.add_initializer("scale", value)
    model = scaled()
    del model.graph.input[1]
    session = ort.InferenceSession(model.SerializeToString(), options, providers=CPU)
    close(session.run(None, {"x": X})[0], (X + 1) * scale)


def test_drop_in_terminated_run_fails(ort, images):
    options = ort.RunOptions()
    options.terminate = True
    with pytest.raises(Exception, match="terminate flag") as caught:
        ort.InferenceSession(DIGITS, providers=CPU).run(None, {"image": images}, options)
    assert type(caught.value).__name__ == "Fail"


# ---- values ----


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.float16])
def test_drop_in_ort_value(ort, dtype):
    x = np.ones((2, 3), dtype)
    value = ort.OrtValue.ortvalue_from_numpy(x)
    theirs = onnxruntime.OrtValue.ortvalue_from_numpy(x)
    for name in ("shape", "data_type", "element_type", "device_name", "is_tensor", "is_tensor_sequence", "is_sparse_tensor", "has_value",
                 "tensor_size_in_bytes", "data_ptr"):
        assert getattr(value, name)() == getattr(theirs, name)(), name
    np.testing.assert_array_equal(value.numpy(), x)
    value.update_inplace(np.zeros((2, 3), dtype))
    assert not value.numpy().any()
    empty = ort.OrtValue.ortvalue_from_shape_and_type([2, 0], dtype)
    assert empty.shape() == [2, 0]
    shared = np.from_dlpack(value) if dtype != np.bool_ else np.asarray(value)
    assert shared.shape == (2, 3)


def test_drop_in_module_functions(ort):
    assert "CPUExecutionProvider" in ort.get_available_providers() and "CPUExecutionProvider" in ort.get_all_providers()
    assert ort.get_device() == "CPU"
    assert ort.get_version_string() == ort.__version__ and ort.get_build_info()
    ort.set_default_logger_severity(4)
    ort.set_default_logger_verbosity(0)
    ort.set_seed(3)
    ort.disable_telemetry_events()


# ---- errors ----

ADD = helper.make_model(helper.make_graph(
    [helper.make_node("Add", ["a", "b"], ["y"])], "g", [helper.make_tensor_value_info(n, 1, [n]) for n in "ab"],
    [helper.make_tensor_value_info("y", 1, ["c"])]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
UNKNOWN = ADD.replace(b"Add", b"Adx")

# Name of onnxruntime's exception, fastcnn's that it also is, what raises it.
ERRORS: dict[str, tuple[str, type, Callable[[Any, Any], Any]]] = {
    "no file": ("NoSuchFile", FileNotFoundError, lambda ort, s: ort.InferenceSession("/nowhere/x.onnx", providers=CPU)),
    "garbage": ("InvalidProtobuf", FormatError, lambda ort, s: ort.InferenceSession(b"nothing at all", providers=CPU)),
    "unknown operator": ("InvalidGraph", fastcnn.ModelError, lambda ort, s: ort.InferenceSession(UNKNOWN, providers=CPU)),
    "no model": ("TypeError", TypeError, lambda ort, s: ort.InferenceSession(None, providers=CPU)),
    "type": ("InvalidArgument", fastcnn.InputError, lambda ort, s: s.run(None, {"x": X.astype(np.float64)})),
    "rank": ("InvalidArgument", fastcnn.InputError, lambda ort, s: s.run(None, {"x": X[0]})),
    "extent": ("InvalidArgument", fastcnn.InputError, lambda ort, s: s.run(None, {"x": X[:, :2]})),
    "input name": ("InvalidArgument", fastcnn.InputError, lambda ort, s: s.run(None, {"x": X, "z": X})),
    "output name": ("InvalidArgument", fastcnn.InputError, lambda ort, s: s.run(["z"], {"x": X})),
    "shapes": ("Fail", fastcnn.ShapeError, lambda ort, s: ort.InferenceSession(ADD, providers=CPU).run(
        None, {"a": X[0], "b": X[0, :2]})),
}


@pytest.mark.parametrize("case", ERRORS)
def test_drop_in_errors(ort, case):
    name, ours, act = ERRORS[case]
    session, state = session_of(ort), importlib.import_module(f"{ort.__name__}.capi.onnxruntime_pybind11_state")
    wanted = getattr(state, name, TypeError)
    with pytest.raises(wanted) as caught:
        act(ort, session)
    if ort is fastcnn:
        assert isinstance(caught.value, ours) and (case == "no model" or isinstance(caught.value, fastcnn.FastCNNError))
    close(session.run(None, {"x": X})[0], Y)


def test_drop_in_missing_input_is_a_value_error(ort):
    with pytest.raises(ValueError, match="missing"):
        session_of(ort).run(None, {})


def test_drop_in_has_every_exception():
    theirs = onnxruntime.capi.onnxruntime_pybind11_state
    names = {n for n, c in vars(theirs).items() if isinstance(c, type) and issubclass(c, Exception)}
    state = fastcnn.capi.onnxruntime_pybind11_state
    assert names <= set(state.__all__)
    assert all(issubclass(getattr(state, n), fastcnn.FastCNNError) for n in names)


# ---- what only fastcnn does ----


def test_session_warns_of_files_it_does_not_write():
    options = fastcnn.SessionOptions()
    options.optimized_model_filepath = "optimised.onnx"
    with pytest.warns(UserWarning, match="optimized_model_filepath"):
        assert session_of(fastcnn, options).end_profiling() == ""


def test_session_profiling_writes_a_trace(tmp_path):
    """As onnxruntime's: a JSON list of events, whose name end_profiling gives; a track for each thread here."""
    traces = {}
    for ort in (fastcnn, onnxruntime):
        options = ort.SessionOptions()
        options.enable_profiling, options.profile_file_prefix, options.intra_op_num_threads = True, str(tmp_path / ort.__name__), 2
        session = session_of(ort, options)
        session.run(None, {"x": X, "scale": X[1]})
        file = session.end_profiling()
        assert file.startswith(str(tmp_path / ort.__name__)) and file.endswith(".json")
        traces[ort] = json.loads(Path(file).read_text())
    ours = [event for event in traces[fastcnn] if event["ph"] == "X"]
    assert {"name", "cat", "pid", "tid", "ts", "dur", "args"} <= {key for event in traces[onnxruntime] for key in event} & set(ours[0])
    assert ours and all(event["dur"] >= 0 and event["ts"] >= 0 for event in ours)
    assert {event["tid"] for event in ours} >= {0, 1}
    assert session_of(fastcnn).end_profiling() == ""


def test_session_profiling_ends_and_leaves_the_session_usable(tmp_path):
    options = fastcnn.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "p")
    session = session_of(fastcnn, options)
    feeds = {"x": X, "scale": X[1]}
    first = session.run(None, feeds)
    assert session.end_profiling() and session.end_profiling() == ""
    close(session.run(None, feeds)[0], first[0])


def test_session_pickles_with_its_options(images, expected):
    options = fastcnn.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_free_dimension_override_by_name("N", 4)
    again = pickle.loads(pickle.dumps(fastcnn.InferenceSession(DIGITS, options, providers=CPU)))
    assert isinstance(again, fastcnn.InferenceSession) and again.threads == 2 and again.get_inputs()[0].shape[0] == 4
    close(again.run(None, {"image": images})[0], expected)
    again = pickle.loads(pickle.dumps(session_of(fastcnn)))
    close(again.run(None, {"x": X, "scale": X[1]})[0], (X + 1) * X[1])


def test_session_pickles_with_onnxruntimes_options():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = pickle.loads(pickle.dumps(fastcnn.InferenceSession(DIGITS, options)))
    assert session.threads == 2 and session.get_session_options().graph_optimization_level == 99


def test_session_run_async_reports_an_error():
    seen, done = [], threading.Event()
    session_of(fastcnn).run_async(None, {}, lambda *results: (seen.append(results), done.set()), 5)
    assert done.wait(30)
    assert seen[0][:2] == (None, 5) and "missing" in seen[0][2]


def test_session_added_initializer_has_to_fit():
    options = fastcnn.SessionOptions()
    options.add_initializer("scale", np.zeros(4, np.float32))
    with pytest.raises(fastcnn.InputError, match=r"'scale': expected float32\[3\], got float32\[4\]"):
        session_of(fastcnn, options)


def test_session_binding_refuses_unknown_names_and_devices():
    binding = session_of(fastcnn).io_binding()
    with pytest.raises(fastcnn.InputError, match="no input 'z'"):
        binding.bind_cpu_input("z", X)
    with pytest.raises(fastcnn.InputError, match="'cuda'"):
        binding.bind_output("y", "cuda")
