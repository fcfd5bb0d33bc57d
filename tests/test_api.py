"""The public API: load, run, inputs in every form, outputs that belong to the caller, errors, threads, forks."""
from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import fastcnn
import models
from fastcnn import cpu

ROOT = Path(__file__).parent.parent
CORPUS = ROOT.parent / "shared" / "corpus"
DIGITS = ROOT / "models" / "trained" / "digits.onnx"
CHILD_SECONDS = 30


@pytest.fixture(scope="module")
def lenet() -> onnx.ModelProto:
    return models.build("lenet5", batch="N")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 1, 32, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def expected(lenet, image) -> np.ndarray:
    session = onnxruntime.InferenceSession(lenet.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": image})[0]


def close(y: np.ndarray, expected: np.ndarray) -> bool:
    return y.shape == expected.shape and float(np.abs(y - expected).max()) <= 1e-5 * float(np.abs(expected).max())


def graph_model(nodes, inputs, outputs, constants=(), opset=17) -> onnx.ModelProto:
    """A model from node and (name, type, shape) lists."""
    infos = [[helper.make_tensor_value_info(*info) for info in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "test", *infos,
                              [numpy_helper.from_array(array, name) for name, array in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


# ---- load ----


def test_load_from_path_bytes_proto_and_pathlike(lenet, image, expected, tmp_path):
    path = tmp_path / "lenet.onnx"
    onnx.save(lenet, path)
    for source in (str(path), path, lenet.SerializeToString(), lenet):
        with fastcnn.load(source) as model:
            assert close(model.run(None, {"x": image})[0], expected)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_load_refuses_threads(lenet, threads):
    with pytest.raises(fastcnn.ConfigurationError, match=f"threads={re.escape(repr(threads))}.*positive integer"):
        fastcnn.load(lenet, threads=threads)


def test_load_threads_is_kept_and_defaults_to_the_machine(lenet):
    assert fastcnn.load(lenet, threads=3).threads == 3
    assert fastcnn.load(lenet).threads == cpu.default_threads() == fastcnn.cpu_info()["threads"]


def test_load_precision(lenet, image, expected):
    assert close(fastcnn.load(lenet, precision="fp32")(image), expected)
    with pytest.raises(fastcnn.ConfigurationError, match=r"precision='fp8'.*fp32"):
        fastcnn.load(lenet, precision="fp8")


def test_load_missing_file_is_an_error_of_ours_or_the_systems(tmp_path):
    with pytest.raises((fastcnn.ModelError, FileNotFoundError), match=r"nothing\.onnx"):
        fastcnn.load(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08"], ids=["empty", "text", "cut off"])
def test_load_refuses_what_is_not_onnx(data, tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(fastcnn.ModelError):
            fastcnn.load(source)


def test_load_does_not_change_the_proto(lenet, image):
    before = lenet.SerializeToString(deterministic=True)
    fastcnn.load(lenet)(image)
    assert lenet.SerializeToString(deterministic=True) == before


# ---- run ----


def test_run_none_empty_and_names(lenet, image, expected):
    model = fastcnn.load(lenet)
    for names in (None, [], ["y"], ("y",)):
        result = model.run(names, {"x": image})
        assert isinstance(result, list) and len(result) == 1 and close(result[0], expected)
    assert close(model.run(None, {"x": image}, None)[0], expected)


def test_run_any_value_inside_the_graph_by_name(lenet, image, expected):
    inside = [node.output[0] for node in lenet.graph.node]
    tapped = onnx.ModelProto()
    tapped.CopyFrom(lenet)
    tapped.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inside
                               if name != "y")
    session = onnxruntime.InferenceSession(tapped.SerializeToString(), providers=["CPUExecutionProvider"])
    model = fastcnn.load(lenet)
    for got, want in zip(model.run(inside, {"x": image}), session.run(inside, {"x": image})):
        assert close(got, want)
    assert close(model.run([inside[0], "y", "x"], {"x": image})[1], expected)
    np.testing.assert_array_equal(model.run(["x"], {"x": image})[0], image)
    with pytest.raises(fastcnn.InputError, match=r"'nonsense'.*outputs are y"):
        model.run(["nonsense"], {"x": image})


def test_call_with_one_input_and_by_name(lenet, image, expected):
    model = fastcnn.load(lenet)
    assert close(model(image), expected) and close(model(x=image), expected)
    with pytest.raises(fastcnn.InputError, match="2 inputs given, the model has 1"):
        model(image, image)


def test_call_with_two_inputs_gives_two_outputs():
    proto = graph_model([helper.make_node("Add", ["a", "b"], ["sum"]),
                         helper.make_node("Sub", ["a", "b"], ["difference"])],
                        [("a", 1, [2, 3]), ("b", 1, [2, 3])], [("sum", 1, [2, 3]), ("difference", 1, [2, 3])])
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    model = fastcnn.load(proto)
    for outputs in (model(a, b), model(a, b=b)):
        np.testing.assert_array_equal(outputs[0], a + b)
        np.testing.assert_array_equal(outputs[1], a - b)
    np.testing.assert_array_equal(model.run(["difference", "sum"], {"b": b, "a": a})[0], a - b)


def test_run_many_shapes_on_one_model(lenet):
    model = fastcnn.load(lenet)
    session = onnxruntime.InferenceSession(lenet.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for n in (1, 3, 2, 17, 1, 3):
        x = rng.standard_normal((n, 1, 32, 32), dtype=np.float32)
        assert close(model(x), session.run(None, {"x": x})[0])
    for n in range(1, 100):                       # more than plans are kept
        assert model(np.zeros((n, 1, 32, 32), np.float32)).shape == (n, 10)


def test_run_an_empty_batch(lenet):
    assert fastcnn.load(lenet)(np.zeros((0, 1, 32, 32), np.float32)).shape == (0, 10)


# ---- what the model says of itself ----


@pytest.mark.parametrize("name", ["mnist_cntk_8", "yolox_nano_416", "retinaface_mbnet025", "squeezenet_caffe2_fp16",
                                  "ppocr_v3_det", "fsanet_var",
                                  "mnist_rten_dynamo_op18"])
def test_inputs_and_outputs_as_onnxruntime_says(name):
    path = CORPUS / name / "model.onnx"
    if not path.exists():
        pytest.skip(f"no {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fastcnn.load(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for ours, theirs in ((model.get_inputs(), session.get_inputs()), (model.get_outputs(), session.get_outputs())):
        assert [(v.name, v.type) for v in ours] == [(v.name, v.type) for v in theirs]
    assert [list(v.shape) for v in model.get_inputs()] == [v.shape for v in session.get_inputs()]


def test_repr_says_what_the_model_is(lenet):
    model = fastcnn.load(lenet, threads=2)
    for part in ("fastcnn.Model", "x: tensor(float)[N, 1, 32, 32]", "y: tensor(float)[N, 10]", "nodes", "2 threads"):
        assert part in repr(model)
    model.close()
    assert "closed" in repr(model)


def test_close_twice_and_context_manager(lenet, image):
    with fastcnn.load(lenet) as model:
        model(image)
    model.close()
    with pytest.raises(fastcnn.FastCNNError, match="closed"):
        model(image)
    with pytest.raises(fastcnn.FastCNNError, match="closed"):
        model.run(["y"], {"x": image})


def test_fallback_nodes_and_one_warning():
    proto = graph_model([helper.make_node("Det", ["x"], ["y"], name="determinant")], [("x", 1, [2, 2])], [("y", 1, [])])
    with pytest.warns(RuntimeWarning, match="1 nodes.*Det"):
        model = fastcnn.load(proto)
    assert model.fallback_nodes == ["determinant"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model(np.array([[2, 1], [0, 3]], np.float32)) == pytest.approx(6)


def test_every_public_name_is_documented():
    for name in fastcnn.__all__:
        if name != "__version__":
            assert (getattr(fastcnn, name).__doc__ or "").strip(), name
    assert re.fullmatch(r"\d+\.\d+\.\d+", fastcnn.__version__)
    assert (ROOT / "fastcnn" / "py.typed").exists()


# ---- outputs belong to the caller ----


def test_outputs_stay_after_later_runs_and_writes(lenet, image, expected):
    model = fastcnn.load(lenet)
    first = model(image)
    kept = first.copy()
    model(-image)
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    assert close(model(image), expected) and first.flags.owndata and first.flags.writeable


@pytest.mark.parametrize("nodes", [[], [helper.make_node("Identity", ["x"], ["y"])],
                                   [helper.make_node("Reshape", ["x", "shape"], ["y"])]],
                                   ids=["input", "Identity", "Reshape"])
def test_output_that_is_the_input_is_a_copy(nodes):
    proto = graph_model(nodes, [("x", 1, [2, 3])], [("y" if nodes else "x", 1, [2, 3])], [("shape", np.array([2, 3]))])
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = fastcnn.load(proto)(x)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(y, x)


def test_output_that_is_a_constant_is_a_copy():
    proto = graph_model([helper.make_node("Add", ["x", "c"], ["y"])], [("x", 1, [2])], [("y", 1, [2]), ("c", 1, [2])],
                        [("c", np.array([1, 2], np.float32))])
    model = fastcnn.load(proto)
    x = np.zeros(2, np.float32)
    model.run(None, {"x": x})[1][:] = 9
    y, c = model.run(None, {"x": x})
    np.testing.assert_array_equal(c, [1, 2])
    np.testing.assert_array_equal(y, [1, 2])


def test_same_value_as_two_outputs_is_two_arrays():
    proto = graph_model([helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["y"], ["z"])],
                        [("x", 1, [4])], [("y", 1, [4]), ("z", 1, [4])])
    y, z = fastcnn.load(proto).run(None, {"x": np.array([-1, 0, 1, 2], np.float32)})
    np.testing.assert_array_equal(y, z)
    assert not np.shares_memory(y, z)


# ---- inputs in every form ----

FORMS = {
    "fortran": np.asfortranarray,
    "transposed": lambda x: np.ascontiguousarray(x.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0),
    "every second": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "negative stride": lambda x: np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
    "subclass": np.ma.asarray,
    "list": lambda x: x.tolist(),
    "byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("form", FORMS)
def test_run_takes_any_array_of_the_right_type_and_shape(lenet, image, form):
    model = fastcnn.load(lenet)
    same = np.broadcast_to(image[:1], image.shape) if form == "broadcast" else image
    np.testing.assert_array_equal(model(FORMS[form](image.copy())), model(np.ascontiguousarray(same)))


def test_run_takes_read_only_input_and_leaves_inputs_alone(lenet, image, expected):
    x = image.copy()
    x.flags.writeable = False
    assert close(fastcnn.load(lenet)(x), expected)
    np.testing.assert_array_equal(x, image)


def test_run_takes_torch_tensors(lenet, image, expected):
    torch = pytest.importorskip("torch")
    model = fastcnn.load(lenet)
    assert close(model(torch.from_numpy(image)), expected)
    assert close(model(torch.from_numpy(image).permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)), expected)


@pytest.mark.parametrize("feeds, parts", [
    ({}, ["'x'", "missing", "tensor(float)[N, 1, 32, 32]"]),
    ({"z": np.zeros((1, 1, 32, 32), np.float32)}, ["'x'", "missing"]),
    ({"x": np.zeros((1, 1, 32, 32), np.float32), "z": 1}, ["'z'", "'x'"]),
    ({"x": np.zeros((1, 1, 32, 32))}, ["'x'", "expected float32", "got float64"]),
    ({"x": np.zeros((1, 1, 32, 32), np.uint8)}, ["expected float32", "got uint8"]),
    ({"x": np.zeros((1, 32, 32), np.float32)}, ["expected shape [N, 1, 32, 32]", "got [1, 32, 32]"]),
    ({"x": np.zeros((1, 3, 32, 32), np.float32)}, ["expected shape [N, 1, 32, 32]", "got [1, 3, 32, 32]"]),
    ({"x": np.zeros((1, 1, 32, 31), np.float32)}, ["got [1, 1, 32, 31]"]),
    ({"x": None}, ["'x'"]),
    ({"x": "text"}, ["'x'"]),
    ({"x": [[1], [2, 3]]}, ["'x'"]),
], ids=["none", "wrong name", "one too many", "float64", "uint8", "rank", "channels", "width", "None", "text",
        "ragged"])
def test_run_wrong_input_says_expected_and_got_and_the_model_still_works(lenet, image, expected, feeds, parts):
    model = fastcnn.load(lenet)
    with pytest.raises(fastcnn.InputError) as caught:
        model.run(None, feeds)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, fastcnn.FastCNNError)
    assert close(model.run(None, {"x": image})[0], expected)


def test_run_extents_that_contradict_inside_the_graph():
    proto = graph_model([helper.make_node("Add", ["a", "b"], ["y"], name="sum")], [("a", 1, ["n"]), ("b", 1, ["m"])],
                        [("y", 1, None)])
    model = fastcnn.load(proto)
    with pytest.raises(fastcnn.ShapeError, match="sum"):
        model(np.zeros(2, np.float32), np.zeros(3, np.float32))
    assert model(np.zeros(2, np.float32), np.ones(2, np.float32)).tolist() == [1, 1]


# ---- threads and processes ----


def network() -> onnx.ModelProto:
    """Large enough that its layers run on several threads."""
    return models.build("squeezenet1_1", batch=1)


def test_run_from_several_threads_at_once(image):
    model = fastcnn.load(network(), threads=2)
    rng = np.random.default_rng(2)
    inputs = [rng.standard_normal((1, 3, 224, 224), dtype=np.float32) for _ in range(4)]
    expected = [model(x) for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda k: model(inputs[k % 4]), range(24)))
    for k, result in enumerate(results):
        np.testing.assert_array_equal(result, expected[k % 4])


def test_run_new_shapes_from_several_threads_at_once(lenet):
    model = fastcnn.load(lenet)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        shapes = list(pool.map(lambda n: model(np.ones((n, 1, 32, 32), np.float32)).shape,
                               [1 + k % 20 for k in range(200)]))
    assert shapes == [(1 + k % 20, 10) for k in range(200)]


def test_run_is_bitwise_the_same_for_any_number_of_threads():
    proto = network()
    x = np.random.default_rng(3).standard_normal((1, 3, 224, 224), dtype=np.float32)
    one = fastcnn.load(proto, threads=1)(x)
    for threads in (2, 3):
        np.testing.assert_array_equal(fastcnn.load(proto, threads=threads)(x), one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_run_in_a_forked_child_after_a_run_in_the_parent():
    model = fastcnn.load(network(), threads=2)
    x = np.random.default_rng(4).standard_normal((1, 3, 224, 224), dtype=np.float32)
    expected = model(x)
    child = os.fork()
    if child == 0:
        same = all((model(x) == expected).all() for _ in range(3))
        os._exit(0 if same else 3)
    assert wait(child) == 0
    np.testing.assert_array_equal(model(x), expected)


def wait(child: int) -> int | None:
    """Exit code of a child; None, and the child killed, when it takes too long."""
    end = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
