"""The usual call in one piece of native code: what takes it, what goes the general way, and that both give and count the same."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from graph_helper import model as make_model
from onnx import helper

import fastcnn
from fastcnn import _native
from fastcnn.ir.errors import InputError, TimeLimitError
from fastcnn.plan.memory import LARGE_BYTES

NODES = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Relu", ["sum"], ["y"])]
LARGE = LARGE_BYTES // 4


def two_outputs(extent: int = 6) -> fastcnn.Model:
    return fastcnn.load(make_model(NODES, {"a": [2, extent], "b": [2, extent]}, ["sum", "y"]), threads=1)


def feeds_of(extent: int = 6) -> dict[str, np.ndarray]:
    return {name: np.random.default_rng(k).standard_normal((2, extent), np.float32) for k, name in enumerate("ab")}


def shortcut_of(model: fastcnn.Model, *arguments: object) -> list[np.ndarray] | None:
    """What the shortcut makes of a call after the first one."""
    engine = model._default
    assert engine is not None and engine.shortcut is not None
    return engine.shortcut.run(engine.workspaces, *arguments)


@pytest.mark.parametrize("extent", [1, 6, LARGE - 1, LARGE, LARGE + 3])
def test_shortcut_gives_what_the_general_way_gives(extent):
    model, feeds = two_outputs(extent), feeds_of(extent)
    want = model.run(None, feeds)
    for wanted in (None, [], ["sum", "y"], ("sum", "y")):
        got = shortcut_of(model, wanted, feeds)
        assert got is not None
        for ours, theirs in zip(got, want):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype and ours.flags.writeable and ours.flags.c_contiguous
            assert 2 * extent < LARGE or ours.ctypes.data % _native.ALIGN == 0


def out_of_the_ordinary() -> dict[str, tuple[object, object, object]]:
    """Name -> (output names, feeds, out)."""
    feeds = feeds_of()
    whole, target = np.zeros((4, 12), np.float32), np.zeros((2, 6), np.float32)
    locked = target.copy()
    locked.flags.writeable = False
    return {
        "another order": (["y", "sum"], feeds, None), "one of the outputs": (["y"], feeds, None), "repeated": (["sum", "sum"], feeds, None),
        "no dict": (None, _Mapping(feeds), None), "another shape": (None, {k: v[:1] for k, v in feeds.items()}, None),
        "another rank": (None, {k: v[0] for k, v in feeds.items()}, None),
        "another type": (None, {k: v.astype(np.float64) for k, v in feeds.items()}, None),
        "lists": (None, {k: v.tolist() for k, v in feeds.items()}, None),
        "other bytes": (None, {k: v.astype(">f4") for k, v in feeds.items()}, None),
        "a subclass": (None, {k: v.view(_Array) for k, v in feeds.items()}, None),
        "with gaps": (None, {**feeds, "a": whole[::2, ::2]}, None), "too few": (None, {"a": feeds["a"]}, None),
        "too many": (None, {**feeds, "c": target}, None), "another name": (None, {"a": feeds["a"], "c": target}, None),
        "out by name": (None, feeds, {"y": target}), "out too short": (None, feeds, [target]),
        "out with gaps": (None, feeds, [whole[::2, ::2], None]),
        "out locked": (None, feeds, [locked, None]), "out of another shape": (None, feeds, [whole, None]),
        "out over an input": (None, feeds, [feeds["a"], None]), "out twice": (None, feeds, [target, target]),
        "out overlapping": (None, feeds, [whole.reshape(-1)[:12].reshape(2, 6), whole.reshape(-1)[11:23].reshape(2, 6)]),
    }


class _Mapping(dict):  # type: ignore[type-arg]
    """A dict that may look keys up in its own way."""


class _Array(np.ndarray):
    """An array of a class of the caller's."""


@pytest.mark.parametrize("name", out_of_the_ordinary())
def test_what_is_out_of_the_ordinary_goes_the_general_way(name):
    model = two_outputs()
    model.run(None, feeds_of())
    wanted, feeds, out = out_of_the_ordinary()[name]
    before = model.stats().runs
    assert shortcut_of(model, wanted, feeds, out) is None
    assert model.stats().runs == before, "a run that did not happen is not counted"


def test_out_of_the_shortcut_is_what_is_returned():
    model, feeds = two_outputs(), feeds_of()
    want = model.run(None, feeds)
    target = np.zeros((2, 6), np.float32)
    for out in ([None, target], (None, target)):
        target[:] = 0
        got = shortcut_of(model, None, feeds, out)
        assert got is not None and got[1] is target
        np.testing.assert_array_equal(target, want[1])


def test_runs_by_the_shortcut_are_counted():
    model, feeds = two_outputs(), feeds_of()
    for _ in range(5):
        model.run(None, feeds)
    assert model.stats().runs == 5


def test_errors_are_those_of_the_general_way():
    model, feeds = two_outputs(), feeds_of()
    model.run(None, feeds)
    with pytest.raises(InputError, match="missing"):
        model.run(None, {"a": feeds["a"]})
    until = fastcnn.Deadline(60)
    until.cancel()
    with pytest.raises(TimeLimitError):
        model.run(None, feeds, timeout=until)
    model.close()
    with pytest.raises(fastcnn.FastCNNError, match="closed"):
        model.run(None, feeds)


def test_a_step_that_fails_names_its_node():
    gather = helper.make_node("Gather", ["x", "i"], ["y"], name="picks")
    model = fastcnn.load(make_model([gather], {"x": [3, 2], "i": [1]}, ["y"], types={"i": onnx.TensorProto.INT64}), threads=1)
    x = np.ones((3, 2), np.float32)
    model.run(None, {"x": x, "i": np.array([1])})
    with pytest.raises(fastcnn.FastCNNError, match="picks"):
        model.run(None, {"x": x, "i": np.array([7])})
    assert model.stats().failed == 1


def test_shapes_that_change_each_get_a_shortcut():
    model = fastcnn.load(make_model(NODES, {"a": ["n", 3], "b": ["n", 3]}, ["sum", "y"]), threads=1)
    for n in (1, 4, 1, 4, 4):
        feeds = {name: np.full((n, 3), k, np.float32) for k, name in enumerate("ab")}
        assert [result.shape for result in model.run(None, feeds)] == [(n, 3)] * 2
        assert shortcut_of(model, None, feeds) is not None
    model.trim()
    assert model._default is not None and model._default.shortcut is None


def test_inputs_in_a_type_that_is_converted_take_no_shortcut():
    """A model of bfloat16 computes in float32; who feeds float32 must hear of it all the same."""
    proto = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [4]}, ["y"], types={"x": onnx.TensorProto.BFLOAT16})
    model = fastcnn.load(proto, threads=1)
    x = np.arange(4).astype(ml_dtypes.bfloat16)
    for _ in range(2):
        assert model.run(None, {"x": x})[0].dtype == x.dtype
        with pytest.raises(InputError, match="bfloat16"):
            model.run(None, {"x": x.astype(np.float32)})


def test_arrays_of_other_things_than_numbers_have_no_shortcut():
    program = next(iter(two_outputs()._default.plans.values())).direct.program
    with pytest.raises(ValueError, match="object"):
        _native.Shortcut(program, 1, [("x", np.dtype(object), (2,), False)], [])


def test_an_output_that_the_model_has_twice_is_there_twice():
    model = fastcnn.load(make_model(NODES, {"a": [2, 6], "b": [2, 6]}, ["y", "y"]), threads=1)
    for _ in range(2):
        first, second = model.run(None, feeds_of())
        np.testing.assert_array_equal(first, second)
        assert not np.shares_memory(first, second)
