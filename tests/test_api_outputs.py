"""Outputs belong to the caller: named twice, or views of inputs, constants and each other, each is in memory of its own."""
from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import TensorProto, helper, numpy_helper

import fastcnn

X = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
node = helper.make_node


def relu(outputs: list[str]) -> onnx.ModelProto:
    return model([node("Relu", ["x"], ["y"]), node("Neg", ["y"], ["z"])], {"x": [2, 3]}, outputs)


def churn() -> None:
    """Arrays of the outputs' size come and go, so that memory handed out by mistake holds something else."""
    for _ in range(50):
        np.full((2, 3), -99, np.float32)


def check_apart(arrays: list[np.ndarray]) -> None:
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)


@pytest.mark.parametrize("names", [["y", "y"], ["y", "z", "y"], ["z", "z", "y", "y"]], ids="-".join)
@pytest.mark.parametrize("listed", [True, False], ids=["in the graph", "by the caller"])
def test_output_twice(names, listed):
    loaded = fastcnn.load(relu(names if listed else ["z"]))
    for _ in range(20):
        churn()
        results = loaded.run(None if listed else names, {"x": X})
        for name, result in zip(names, results, strict=True):
            np.testing.assert_array_equal(result, X if name == "y" else -X)
        check_apart([X, *results])


@pytest.mark.parametrize("names", [["z", "y"], ["y", "z"], ["z", "y", "z"]], ids="-".join)
def test_all_outputs_in_another_order_are_planned_once(names):
    """As applications ask for them by name: another engine would rewrite and plan the whole model again."""
    loaded, y, z = fastcnn.load(relu(["y", "z"])), np.empty((2, 3), np.float32), np.empty((2, 3), np.float32)
    for _ in range(2):
        results = loaded.run(names, {"x": X})
        for name, result in zip(names, results, strict=True):
            np.testing.assert_array_equal(result, X if name == "y" else -X)
        check_apart([X, *results])
    loaded.run(names, {"x": X}, out={"y": y, "z": z})
    np.testing.assert_array_equal([y, z], [X, -X])
    assert len({id(engine) for engine in loaded._engines.values()}) == 1
    loaded.run(["z"], {"x": X})
    assert len({id(engine) for engine in loaded._engines.values()}) == 2, "a part of them is less work"


def test_output_twice_called_and_listed():
    loaded = fastcnn.load(relu(["y", "y"]))
    assert [info.name for info in loaded.get_outputs()] == ["y", "y"]
    both = loaded(X)
    np.testing.assert_array_equal(both, [X, X])


def test_output_twice_in_half_precision():
    proto = model([node("Relu", ["x"], ["y"])], {"x": [2, 3]}, ["y", "y"], types={"x": TensorProto.FLOAT16})
    results = fastcnn.load(proto).run(None, {"x": X.astype(np.float16)})
    assert [r.dtype for r in results] == [np.float16] * 2
    np.testing.assert_array_equal(results, [X, X])


@pytest.mark.parametrize("batch", [1, 8])
def test_output_twice_of_a_batch_in_parts(batch):
    """Convolutions large enough that a batch is cut into parts."""
    weights = {f"w{k}": np.random.default_rng(k).standard_normal((64, 64, 3, 3)).astype(np.float32) / 24 for k in range(3)}
    nodes = [node("Conv", [f"v{k}", f"w{k}"], [f"v{k + 1}"], pads=[1] * 4) for k in range(3)]
    loaded = fastcnn.load(model(nodes, {"v0": ["n", 64, 48, 48]}, ["v3"], weights))
    x = np.random.default_rng(9).standard_normal((batch, 64, 48, 48)).astype(np.float32)
    wanted = dict(zip(("v1", "v3"), loaded.run(["v1", "v3"], {"v0": x})))
    results = loaded.run(["v3", "v1", "v3"], {"v0": x})
    for name, result in zip(("v3", "v1", "v3"), results):
        np.testing.assert_array_equal(result, wanted[name])
    check_apart(results)


def test_output_twice_into_arrays_of_the_caller():
    loaded, first, second = fastcnn.load(relu(["z"])), np.empty((2, 3), np.float32), np.empty((2, 3), np.float32)
    results = loaded.run(["y", "z", "y"], {"x": X}, out=[first, None, second])
    assert results[0] is first and results[2] is second
    np.testing.assert_array_equal([first, second, -results[1]], [X] * 3)
    assert loaded.run(["y", "y"], {"x": X}, out={"y": first})[1] is first


def test_outputs_into_arrays_that_overlap_are_refused():
    loaded, memory = fastcnn.load(relu(["y", "z"])), np.empty((3, 3), np.float32)
    with pytest.raises(fastcnn.InputError, match="'y' and 'z' overlap"):
        loaded.run(None, {"x": X}, out=[memory[:2], memory[1:]])
    apart = np.empty((2, 6), np.float32)          # neighbours by turns: their bounds overlap, they do not
    loaded.run(None, {"x": X}, out=[apart[:, ::2], apart[:, 1::2]])
    np.testing.assert_array_equal(apart[:, 1::2], -X)


def test_io_binding_one_array_twice():
    session, memory = fastcnn.InferenceSession(relu(["y", "z"])), np.empty((2, 3), np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("x", X)
    for name in ("y", "z"):
        binding.bind_ortvalue_output(name, fastcnn.OrtValue.ortvalue_from_numpy(memory))
    with pytest.raises(fastcnn.InputError, match="overlap"):
        session.run_with_iobinding(binding)


VIEWS = [
    ("Identity", node("Identity", ["x"], ["v"]), {}),
    ("Reshape", node("Reshape", ["x", "shape"], ["v"]), {"shape": np.array([3, 2])}),
    ("Flatten", node("Flatten", ["x"], ["v"]), {}),
    ("Unsqueeze", node("Unsqueeze", ["x", "axes"], ["v"]), {"axes": np.array([0])}),
    ("Transpose", node("Transpose", ["x"], ["v"], perm=[0, 1]), {}),
    ("Slice", node("Slice", ["x", "starts", "ends"], ["v"]), {"starts": np.array([0]), "ends": np.array([9])}),
    ("Split", node("Split", ["x"], ["v", "other"], axis=0), {}),
    ("Expand", node("Expand", ["x", "shape"], ["v"]), {"shape": np.array([2, 3])}),
    ("Dropout", node("Dropout", ["x"], ["v"]), {}),
]
TYPES = {"float": np.float32, "float16": np.float16, "int64": np.int64, "complex64": np.complex64, "string": np.object_}


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("what, view, constants", VIEWS, ids=[name for name, _, _ in VIEWS])
def test_outputs_that_are_views(what, view, constants, kind):
    """A view of an input, of another output and of itself, with the input as an output as well, whoever computes it."""
    if what == "Dropout" and kind not in ("float", "float16"):
        pytest.skip("of floats alone")
    x = X.astype(str).astype(object) if kind == "string" else X.astype(TYPES[kind])
    number = helper.np_dtype_to_tensor_dtype(x.dtype)
    nodes = [node("Identity", ["x"], ["same"]), view, node("Identity", ["v"], ["w"])]
    loaded = fastcnn.load(model(nodes, {"x": ["n", 3]}, ["v", "w", "x", "same", "v"], constants, types={"x": number}))
    before = x.copy()
    results = loaded.run(None, {"x": x})
    check_apart([x, *results])
    for result in results:
        result[...] = "0" if kind == "string" else 0
    np.testing.assert_array_equal(x, before)
    again = loaded.run(["x", "same", "v"], {"x": x})
    np.testing.assert_array_equal(again[0], before)
    np.testing.assert_array_equal(again[1], before)
    check_apart([x, *again])


def test_outputs_that_are_initializers():
    proto = model([node("Relu", ["x"], ["y"]), node("Identity", ["w"], ["v"])], {"x": [2, 3]}, ["w", "y", "w", "v"], {"w": X})
    loaded = fastcnn.load(proto)
    for _ in range(2):
        results = loaded.run(None, {"x": -X})
        np.testing.assert_array_equal(results, [X, 0 * X, X, X])
        check_apart(results)
        for result in results:
            result[:] = 5


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_outputs_that_wait_for_data():
    """What a plan keeps for the part that is planned during the run is not handed out."""
    nodes = [node("NonZero", ["x"], ["where"]), node("Shape", ["x"], ["shape"]), node("Identity", ["shape"], ["same"]),
             node("Shape", ["where"], ["found"]), node("Identity", ["found"], ["twice"])]
    loaded = fastcnn.load(model(nodes, {"x": [2, "n"]}, ["shape", "same", "found", "twice", "found"]))
    for _ in range(3):
        results = loaded.run(None, {"x": X})
        assert [r.tolist() for r in results] == [[2, 3], [2, 3], [2, 6], [2, 6], [2, 6]]
        check_apart(results)
        for result in results:
            result[:] = 7


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_outputs_in_sequences():
    nodes = [node("SequenceConstruct", ["x", "x"], ["s"]), node("SequenceAt", ["s", "one"], ["y"])]
    loaded = fastcnn.load(model(nodes, {"x": [2, 3]}, ["s", "y"], {"one": np.array(1)}))
    x = X.copy()
    sequence, y = loaded.run(None, {"x": x})
    check_apart([x, sequence[0], y])
    sequence[0][:] = 0
    np.testing.assert_array_equal(x, X)


def body(nodes, outputs, inputs=(), constants=None):
    """A body of control flow whose inputs are (name, element type, shape)."""
    return helper.make_graph(nodes, "body", [helper.make_tensor_value_info(*i) for i in inputs],
                             [onnx.ValueInfoProto(name=o) for o in outputs],
                             [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()])


def test_outputs_of_branches_twice():
    """A branch gives the same value, a captured one and one of its constants several times."""
    then = body([node("Relu", ["x"], ["a"])], ["a", "a", "x", "k", "k"], constants={"k": X})
    other = body([node("Neg", ["x"], ["a"])], ["a", "a", "x", "x", "a"])
    proto = model([node("If", ["c"], ["p", "q", "r", "s", "t"], then_branch=then, else_branch=other)], {"x": [2, 3], "c": []},
                  ["p", "q", "r", "s", "t", "p"], types={"c": TensorProto.BOOL})
    loaded = fastcnn.load(proto)
    for condition in (True, False, True):
        x = X.copy()
        results = loaded.run(None, {"x": x, "c": np.array(condition)})
        wanted = [X] * 5 if condition else [-X, -X, X, X, -X]
        np.testing.assert_array_equal(results, [*wanted, wanted[0]])
        check_apart([x, *results])
        for result in results:
            result[:] = 3


def test_outputs_of_rounds_twice():
    """A body hands on one value as two states and as two rows."""
    inside = body([node("Add", ["a", "b"], ["s"]), node("Identity", ["go"], ["on"])], ["on", "s", "s", "s", "s", "a"],
                  [("i", 7, []), ("go", 9, []), ("a", 1, [2, 3]), ("b", 1, [2, 3])])
    names = ["p", "q", "r", "s", "t"]
    proto = model([node("Loop", ["n", "", "x", "x"], names, body=inside)], {"x": [2, 3]}, [*names, "p"], {"n": np.array(3)})
    x = X.copy()
    results = fastcnn.load(proto).run(None, {"x": x})
    rows = np.array([2 * X, 4 * X, 8 * X])
    for result, wanted in zip(results, (8 * X, 8 * X, rows, rows, np.array([X, 2 * X, 4 * X]), 8 * X), strict=True):
        np.testing.assert_array_equal(result, wanted)
    check_apart([x, *results])
