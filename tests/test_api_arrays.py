"""Arrays in and out without copies, results in the caller's arrays, models in other processes."""
from __future__ import annotations

import array
import copy
import multiprocessing
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

import fastcnn

DIGITS = Path(__file__).parent.parent / "models" / "trained" / "digits.onnx"


def two_outputs(kind: int = 1) -> onnx.ModelProto:
    """double = x + x and back = Identity(x)."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["double"]), helper.make_node("Sub", ["double", "x"], ["back"])], "g",
                              [info("x", kind, ["n", 3])], [info("double", kind, ["n", 3]), info("back", kind, ["n", 3])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def model() -> fastcnn.Model:
    return fastcnn.load(two_outputs())


# ---- in ----


@pytest.mark.parametrize("form", ["memoryview", "array", "ctypes"])
def test_run_takes_what_has_a_buffer(model, form):
    flat = array.array("f", range(6))
    value = {"memoryview": lambda: memoryview(flat).cast("B").cast("f", (2, 3)), "array": lambda: memoryview(X),
             "ctypes": lambda: np.ctypeslib.as_ctypes(X.copy())}[form]()
    np.testing.assert_array_equal(model.run(["double"], {"x": value})[0], 2 * X)


def test_run_reads_torch_tensors_where_they_lie():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    seen = fastcnn.feeds.Feeder([fastcnn.ValueInfo("x", "tensor(float)", ("n", 3))])({"x": tensor})["x"]
    assert seen.ctypes.data == tensor.data_ptr()


def test_run_takes_torch_tensors_with_gradient_and_in_bfloat16(model):
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(model.run(["double"], {"x": torch.nn.Parameter(torch.from_numpy(X))})[0], 2 * X)
    half = torch.arange(12).reshape(2, 6).to(torch.bfloat16)[:, ::2]
    y = fastcnn.load(two_outputs(16)).run(["double"], {"x": half})[0]
    assert y.dtype.name == "bfloat16"
    np.testing.assert_array_equal(y.astype(np.float32), 2 * half.to(torch.float32).numpy())
    with pytest.raises(fastcnn.InputError, match="expected float32, got bfloat16"):
        model.run(["double"], {"x": half})


def test_run_takes_anything_with_dlpack(model):
    class Capsule:
        def __dlpack__(self, **options):
            return X.__dlpack__(**options)

        def __dlpack_device__(self):
            return X.__dlpack_device__()

    np.testing.assert_array_equal(model.run(["double"], {"x": Capsule()})[0], 2 * X)


def test_outputs_go_to_torch_without_a_copy(model):
    torch = pytest.importorskip("torch")
    y = model.run(["double"], {"x": X})[0]
    assert torch.from_dlpack(y).data_ptr() == y.ctypes.data


# ---- out= ----


@pytest.mark.parametrize("names", [None, ["back", "double"]])
def test_out_is_filled_and_returned(model, names):
    out = [np.full((2, 3), -1, np.float32) for _ in range(2)]
    results = model.run(names, {"x": X}, out=out)
    assert all(a is b for a, b in zip(results, out))
    double, back = out if names is None else out[::-1]
    np.testing.assert_array_equal(double, 2 * X)
    np.testing.assert_array_equal(back, X)


def test_out_by_name_and_none(model):
    out = np.empty((2, 3), np.float32)
    double, back = model.run(None, {"x": X}, out={"back": out})
    assert back is out and double is not out
    np.testing.assert_array_equal(out, X)
    double, back = model.run(None, {"x": X}, out=[None, out])
    assert back is out
    np.testing.assert_array_equal(double, 2 * X)


def test_out_may_be_strided_or_share_memory_with_the_input(model):
    wide = np.zeros((2, 6), np.float32)
    model.run(["double"], {"x": X}, out=[wide[:, ::2]])
    np.testing.assert_array_equal(wide[:, ::2], 2 * X)
    assert not wide[:, 1::2].any()
    x = X.copy()
    both = model.run(None, {"x": x}, out=[x, None])
    np.testing.assert_array_equal(x, 2 * X)
    np.testing.assert_array_equal(both[1], X)


def test_out_takes_torch_tensors(model):
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(2, 3)
    assert model.run(["double"], {"x": X}, out=[tensor])[0] is tensor
    np.testing.assert_array_equal(tensor.numpy(), 2 * X)


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("kind, dtype", [(10, np.float16), (11, np.float64), (7, np.int64)])
def test_out_of_other_types(kind, dtype):
    out = np.empty((2, 3), dtype)
    fastcnn.load(two_outputs(kind)).run(["double"], {"x": X.astype(dtype)}, out=[out])
    np.testing.assert_array_equal(out, 2 * X)


@pytest.mark.parametrize("out, message", [
    ([np.empty((2, 3), np.float32)], "1 arrays for the 2 results double, back"),
    ({"nothing": np.empty((2, 3), np.float32)}, "no result 'nothing'"),
    ([np.empty((3, 2), np.float32), None], r"'double'.*float32\[2, 3\].*float32\[3, 2\]"),
    ([np.empty((2, 3), np.float64), None], r"'double'.*float32\[2, 3\].*float64\[2, 3\]"),
    ([np.broadcast_to(np.float32(0), (2, 3)), None], "'double'.*cannot be written"),
    ([[[0] * 3] * 2, None], "'double'.*list cannot be written"),
], ids=["count", "name", "shape", "type", "read-only", "list"])
def test_out_that_does_not_fit_is_refused(model, out, message):
    with pytest.raises(fastcnn.InputError, match=message):
        model.run(None, {"x": X}, out=out)
    np.testing.assert_array_equal(model.run(["double"], {"x": X})[0], 2 * X)


# ---- other processes ----


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (np.load(DIGITS.with_suffix(".npz"))["images"][:2] / 16).astype(np.float32)


@pytest.mark.parametrize("source", [str(DIGITS), DIGITS, DIGITS.read_bytes(), onnx.load(DIGITS)],
                         ids=["path", "PathLike", "bytes", "ModelProto"])
def test_model_pickles(source, images):
    model = fastcnn.load(source, threads=2)
    data = pickle.dumps(model)
    assert isinstance(source, (str, Path)) == (len(data) < 1000)
    for again in (pickle.loads(data), copy.deepcopy(model)):
        assert again.threads == 2 and repr(again) == repr(model)
        np.testing.assert_array_equal(again(images), model(images))


def test_model_pickles_control_flow_and_narrow_types():
    info, node = helper.make_tensor_value_info, helper.make_node
    branches = [helper.make_graph([node(kind, ["x"], ["y"])], kind, [], [info("y", 16, [2])]) for kind in ("Relu", "Neg")]
    graph = helper.make_graph([node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])], "g",
                              [info("c", 9, []), info("x", 16, [2])], [info("y", 16, [2])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    again = pickle.loads(pickle.dumps(fastcnn.load(proto)))
    x = np.array([-1, 2], ml_dtypes.bfloat16)
    np.testing.assert_array_equal(again(np.array(False), x), -x)


def test_pickled_model_runs_in_a_spawned_process(images):
    model = fastcnn.load(DIGITS, threads=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(model.run, (None, {"image": images}))[0], model(images))
