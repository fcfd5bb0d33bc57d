"""Batches in parts: the same numbers as whole, nothing cut where images of a batch meet, the cheapest cut."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, onnxruntime_run
from onnx import ModelProto, helper

import fastcnn
from fastcnn.ir.errors import ExecutionError
from fastcnn.plan import batches
from fastcnn.plan.batches import Repeated, Segment

BATCH = 6
X = np.random.default_rng(0).standard_normal((BATCH, 6, 6, 6)).astype(np.float32)
W = (np.random.default_rng(1).standard_normal((6, 6, 3, 3)) / 7).astype(np.float32)
CONSTANTS = {"w": W, "shape": np.array([0, -1]), "axes0": np.array([0]), "axes2": np.array([2, 3]), "one": np.array([1]),
             "zero": np.array([0]), "two": np.array([2]), "axis1": np.array([1]), "pads0": np.array([1, 0, 0, 0, 0, 0, 0, 0]),
             "pads2": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "flat": np.float32(X[:, :, 0, 0]), "each": X[:, :1, :1, :1].copy(),
             "channel": X[0, :, :1, :1].copy(), "s": np.arange(1, 7, dtype=np.float32), "swap": np.array([1, 0, 3, 2, 5, 4]),
             "w2": W[:, :, 0, 0].copy(), "scale6": np.ones(6, np.float32), "group": np.array([0, 2, 3, 6, 6]),
             "back": np.array([0, 6, 6, 6])}


def between(*nodes: object) -> ModelProto:
    """Conv, then nodes from "a" to "b", then Relu."""
    first = helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4)
    return model([first, *nodes, helper.make_node("Relu", ["b"], ["y"])], {"x": ["N", 6, 6, 6]}, ["y"], CONSTANTS, opset=18)


def node(op: str, *inputs: str, out: str = "b", **attributes: object) -> object:
    return helper.make_node(op, ["a", *inputs], [out], **attributes)


ALONE: dict[str, list[object]] = {
    "residual":    [node("Conv", "w", pads=[1] * 4, out="c"), node("Add", "c")],
    "channels":    [node("Mul", "channel")],
    "gate":        [node("GlobalAveragePool", out="c"), helper.make_node("Sigmoid", ["c"], ["d"]), node("Mul", "d")],
    "concat":      [node("Sigmoid", out="c"), node("Concat", "c", axis=1)],
    "split":       [helper.make_node("Split", ["a"], ["b", "c"], axis=1, num_outputs=2)],
    "shuffle":     [node("Reshape", "group", out="c"), helper.make_node("Transpose", ["c"], ["d"], perm=[0, 2, 1, 3, 4]),
                    helper.make_node("Reshape", ["d", "back"], ["b"])],
    "gather":      [node("Gather", "swap", axis=1)],
    "slice":       [node("Slice", "zero", "two", "axis1")],
    "pad":         [node("Pad", "pads2")],
    "transpose":   [node("Transpose", perm=[0, 2, 3, 1])],
    "mean":        [node("ReduceMean", "axes2", keepdims=0)],
    "flat":        [node("GlobalAveragePool", out="c"), helper.make_node("Flatten", ["c"], ["d"]),
                    helper.make_node("Gemm", ["d", "w2"], ["b"])],
    "matmul":      [node("MatMul", "w2")],
    "matmul both": [node("MatMul", "a")],
    "softmax":     [node("Softmax", axis=1)],
    "layer norm":  [node("LayerNormalization", "scale6")],
    "instance":    [node("InstanceNormalization", "s", "s")],
}
TOGETHER: dict[str, list[object]] = {
    "transposed":   [node("Transpose", perm=[1, 0, 2, 3])],
    "mean":         [node("ReduceMean", "axes0", keepdims=1)],
    "concat":       [node("Concat", "a", axis=0)],
    "softmax":      [node("Softmax", axis=0)],
    "gather":       [node("Gather", "swap", axis=0)],
    "slice":        [node("Slice", "one", "two", "zero")],
    "pad":          [node("Pad", "pads0")],
    "each its own": [node("Add", "each")],
    "transA":       [node("ReduceMean", "axes2", keepdims=0, out="c"), helper.make_node("Gemm", ["c", "w2"], ["b"], transA=1)],
    "rows":         [node("ReduceMean", "axes2", keepdims=0, out="c"), helper.make_node("Add", ["c", "flat"], ["b"])],
    "products":     [node("ReduceMean", "axes2", keepdims=0, out="c"), helper.make_node("MatMul", ["c", "c"], ["b"])],
    "indices":      [helper.make_node("MaxPool", ["a"], ["c", "b0"], kernel_shape=[2, 2]), helper.make_node("Cast", ["b0"], ["b"], to=1)],
}


def stages(loaded: fastcnn.Model) -> list[object]:
    plan, = loaded._default.plans.values()
    return list(plan.stages)


@pytest.fixture
def every_image_alone(monkeypatch):
    """A cut after every node that allows it, one image at a time; what does not, in the whole batch."""
    def segments(bound, inputs, batch):
        costs = batches._costs(bound, inputs, batch, [1, batch])
        return [Segment(i, i + 1, batch if np.isinf(row[0]) else 1) for i, row in enumerate(costs)]
    monkeypatch.setattr(batches, "_segments", segments)
    monkeypatch.setattr(batches, "SINGLE_THREAD_PROGRAM", 0)


@pytest.mark.parametrize("name", ALONE)
def test_batches_in_parts_are_what_onnxruntime_computes(name, every_image_alone):
    proto = between(*ALONE[name])
    loaded = fastcnn.load(proto, threads=2)
    np.testing.assert_allclose(loaded(X), onnxruntime_run(proto, {"x": X})[0], rtol=1e-5, atol=1e-5)
    assert all(isinstance(stage, Repeated) and stage.times == BATCH for stage in stages(loaded))


@pytest.mark.parametrize("name", TOGETHER)
def test_batches_whose_images_meet_stay_whole_from_there(name, every_image_alone):
    proto = between(*TOGETHER[name])
    loaded = fastcnn.load(proto, threads=1)
    np.testing.assert_allclose(loaded(X), onnxruntime_run(proto, {"x": X})[0], rtol=1e-5, atol=1e-5)
    assert isinstance(stages(loaded)[0], Repeated) and not isinstance(stages(loaded)[-1], Repeated)


def narrowing() -> ModelProto:
    """Three 1x1 convolutions on large maps, then two with many channels on one pixel."""
    rng = np.random.default_rng(3)
    shapes = {"w0": (32, 3, 1, 1), "w1": (32, 32, 1, 1), "w2": (32, 32, 1, 1), "w3": (512, 32, 1, 1), "w4": (256, 512, 1, 1)}
    nodes = [helper.make_node("Conv", ["x", "w0"], ["a0"]), helper.make_node("Conv", ["a0", "w1"], ["a1"]),
             helper.make_node("Conv", ["a1", "w2"], ["a2"]), helper.make_node("GlobalAveragePool", ["a2"], ["p"]),
             helper.make_node("Conv", ["p", "w3"], ["a3"]), helper.make_node("Conv", ["a3", "w4"], ["y"])]
    weights = {name: (rng.standard_normal(shape) / 8).astype(np.float32) for name, shape in shapes.items()}
    return model(nodes, {"x": ["N", 3, "H", "W"]}, ["y"], weights)


@pytest.fixture
def small_cache(plan_for):
    plan_for(l2_bytes=600_000)


def test_batches_large_maps_alone_large_weights_together(small_cache):
    proto, x = narrowing(), np.random.default_rng(4).standard_normal((8, 3, 40, 40)).astype(np.float32)
    loaded = fastcnn.load(proto, threads=1)
    np.testing.assert_allclose(loaded(x), onnxruntime_run(proto, {"x": x})[0], rtol=1e-5, atol=1e-5)
    for threads in (2, 3):
        np.testing.assert_array_equal(fastcnn.load(proto, threads=threads)(x), loaded(x))
    first, last = stages(loaded)
    assert isinstance(first, Repeated) and first.times == 8 and len(first.steps) < 7
    assert not isinstance(last, Repeated)


def test_batches_no_part_is_too_small_for_a_second_thread(small_cache, monkeypatch):
    monkeypatch.setattr(batches, "SINGLE_THREAD_PROGRAM", 10**9)
    loaded = fastcnn.load(narrowing(), threads=1)
    loaded(np.zeros((8, 3, 40, 40), np.float32))
    assert not any(isinstance(stage, Repeated) for stage in stages(loaded))


def test_batches_that_fit_the_cache_stay_whole():
    loaded = fastcnn.load(narrowing(), threads=1)
    loaded(np.zeros((2, 3, 8, 8), np.float32))
    stage, = stages(loaded)
    assert not isinstance(stage, Repeated)


def test_batches_into_the_callers_array(small_cache, every_image_alone):
    proto = between(*ALONE["channels"])
    loaded, out = fastcnn.load(proto, threads=1), np.full_like(X, np.nan)
    result, = loaded.run(None, {"x": X}, out=[out])
    np.testing.assert_array_equal(out, result)
    np.testing.assert_allclose(out, onnxruntime_run(proto, {"x": X})[0], rtol=1e-5, atol=1e-5)


def test_batches_fixed_shapes_inside_stay_whole(every_image_alone):
    """A target of Reshape with the batch size in it holds for the whole batch only."""
    shape = {"all": np.array([BATCH, 36, 6])}
    proto = model([helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4), helper.make_node("Reshape", ["a", "all"], ["y"])],
                  {"x": [BATCH, 6, 6, 6]}, ["y"], {"w": W, **shape})
    loaded = fastcnn.load(proto, threads=1)
    np.testing.assert_allclose(loaded(X), onnxruntime_run(proto, {"x": X})[0], rtol=1e-5, atol=1e-5)
    assert not any(isinstance(stage, Repeated) for stage in stages(loaded))


def test_batches_errors_of_a_part_are_errors_of_the_run(every_image_alone):
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Cast", ["a"], ["i"], to=7),
             helper.make_node("Gather", ["table", "i"], ["y"], axis=0)]
    loaded = fastcnn.load(model(nodes, {"x": ["N", 2]}, ["y"], {"table": np.ones((3, 2), np.float32)}), threads=1)
    assert loaded(np.ones((4, 2), np.float32)).shape == (4, 2, 2)
    with pytest.raises(ExecutionError):
        loaded(np.full((4, 2), 9, np.float32))


@pytest.mark.parametrize("name", ALONE)
def test_batches_cut_after_every_node(name, monkeypatch):
    """What one segment leaves to another lies as the one that makes it likes best."""
    monkeypatch.setattr(batches, "_segments", lambda bound, inputs, batch: [Segment(i, i + 1, i % 3 + 1) for i in range(len(bound.nodes))])
    monkeypatch.setattr(batches, "SINGLE_THREAD_PROGRAM", 0)
    proto = between(*ALONE[name])
    loaded = fastcnn.load(proto, threads=1)
    for got, expected in zip(loaded.run(None, {"x": X}), onnxruntime_run(proto, {"x": X})):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_batches_maps_between_segments_are_not_turned_round(monkeypatch):
    monkeypatch.setattr(batches, "_segments", lambda bound, inputs, batch: [Segment(0, 1, 1), Segment(1, len(bound.nodes), 2)])
    monkeypatch.setattr(batches, "SINGLE_THREAD_PROGRAM", 0)
    loaded = fastcnn.load(between(*ALONE["residual"]), threads=1)
    loaded(X)
    first, last = stages(loaded)
    (shape, _), = first.allocations
    assert len(shape) == 2 and shape[0] == BATCH                   # images by floats: channels last
    assert [step.kind for step in first.steps].count("copy") <= 1 and last.steps[0].kind != "copy"
