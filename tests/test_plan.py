"""The planner: lifetimes, concats in place, shape arithmetic, fallbacks, shapes that wait for data, cached plans."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from graph_helper import onnxruntime_run
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Graph, Node, ValueInfo
from fastcnn.ir.spec import Spec
from fastcnn.ir.tensor import Buffer
from fastcnn.plan import arena, executor
from fastcnn.plan.bind import bind
from fastcnn.plan.lowering import Stage
from fastcnn.plan.packs import Packs
from fastcnn.reader import read

F32 = np.dtype(np.float32)
rng = np.random.default_rng(0)


def model(nodes, inputs, outputs, constants=None, opset=17):
    """A ModelProto from NodeProtos, {input: shape}, output names and constants."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", infos, results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def quiet_load(proto, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return fastcnn.load(proto, **options)


def weights(*shape):
    return (rng.standard_normal(shape) * 0.2).astype(np.float32)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8), st.integers(1, 5000)), min_size=1, max_size=30))
def test_arena_buffers_alive_together_do_not_overlap(lives):
    buffers = [Buffer(F32, size, first=first, last=first + length) for first, length, size in lives]
    total = arena.place(buffers)
    for i, a in enumerate(buffers):
        assert a.offset % arena.ALIGN == 0 and a.offset + a.nbytes <= total
        for b in buffers[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


def test_arena_reuses_what_is_dead():
    buffers = [Buffer(F32, 1000, first=k, last=k + 1) for k in range(10)]
    assert arena.place(buffers) == 2 * 4032


def test_concat_of_convolutions_copies_nothing():
    nodes = [helper.make_node("Conv", ["x", f"w{k}"], [f"c{k}"]) for k in range(3)]
    nodes += [helper.make_node("Concat", ["c0", "c1", "c2"], ["cat"], axis=1), helper.make_node("Conv", ["cat", "last"], ["y"])]
    constants = {f"w{k}": weights(8, 4, 1, 1) for k in range(3)} | {"last": weights(5, 24, 1, 1)}
    loaded = quiet_load(model(nodes, {"x": [1, 4, 6, 6]}, {"y": TensorProto.FLOAT}, constants), threads=1)
    stage, = next(iter(loaded._default.plans.values())).stages
    kinds = [step.kind for step in stage.steps]
    assert kinds.count("copy") == 2 and kinds[0] == kinds[-1] == "copy"      # NCHW in and out, nothing for the concat
    x = rng.standard_normal((1, 4, 6, 6)).astype(np.float32)
    inner = np.concatenate([np.einsum("oi,nihw->nohw", constants[f"w{k}"][:, :, 0, 0], x) for k in range(3)], 1)
    np.testing.assert_allclose(loaded(x), np.einsum("oi,nihw->nohw", constants["last"][:, :, 0, 0], inner), rtol=1e-4, atol=1e-5)


def test_nested_concats_of_a_dense_block_copy_nothing():
    nodes, names, channels = [], ["x0"], 8
    nodes.append(helper.make_node("Conv", ["x", "w"], ["x0"]))
    constants = {"w": weights(8, 3, 1, 1)}
    for k in range(1, 4):
        constants[f"w{k}"] = weights(4, channels, 1, 1)
        nodes += [helper.make_node("Concat", list(names), [f"cat{k}"], axis=1), helper.make_node("Conv", [f"cat{k}", f"w{k}"], [f"x{k}"])]
        names.append(f"x{k}")
        channels += 4
    constants["v"] = weights(2, channels, 1, 1)
    nodes += [helper.make_node("Concat", names, ["cat"], axis=1), helper.make_node("Conv", ["cat", "v"], ["y"])]
    proto = model(nodes, {"x": [1, 3, 5, 5]}, {"y": TensorProto.FLOAT}, constants)
    loaded = quiet_load(proto, threads=1)
    stage, = next(iter(loaded._default.plans.values())).stages
    assert [step.kind for step in stage.steps].count("copy") == 2
    reference = pytest.importorskip("onnx.reference").ReferenceEvaluator(proto)
    x = rng.standard_normal((1, 3, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(loaded(x), reference.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_shapes_are_remembered_while_a_model_is_loaded_and_no_longer():
    """Two layers alike and binding ask the rule once; plans for other shapes add nothing."""
    nodes = [helper.make_node("Conv", [x, "w"], [y], pads=[1, 1, 1, 1]) for x, y in (("x", "a"), ("a", "b"), ("b", "y"))]
    proto = model(nodes, {"x": (1, 4, 8, 8)}, {"y": TensorProto.FLOAT}, {"w": weights(4, 4, 3, 3)})
    graph = read(proto.SerializeToString())
    assert graph.memory is not None and len(graph.memory) == 1
    bind(graph.nodes, {"x": Spec(F32, (1, 4, 8, 8))}, graph.constants, {}, graph.opsets, memory=graph.memory)
    assert len(graph.memory) == 1
    loaded = fastcnn.Model(graph, 1)
    assert graph.memory is None and loaded._default.planning.memory is None


def test_shape_arithmetic_leaves_no_steps():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Shape", ["c"], ["s"]),
             helper.make_node("Gather", ["s", "zero"], ["n"]), helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
             helper.make_node("Concat", ["n1", "minus"], ["target"], axis=0), helper.make_node("Reshape", ["c", "target"], ["y"])]
    constants = {"w": weights(4, 3, 1, 1), "zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1])}
    loaded = fastcnn.load(model(nodes, {"x": ["n", 3, "h", "w_"]}, {"y": TensorProto.FLOAT}, constants), threads=1)
    for shape in ((1, 3, 4, 4), (2, 3, 5, 7)):
        y = loaded(rng.standard_normal(shape).astype(np.float32))
        assert y.shape == (shape[0], 4 * shape[2] * shape[3])
    assert loaded.fallback_nodes == []


def test_shapes_that_depend_on_data_are_bound_during_the_run():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="first"), helper.make_node("NonZero", ["c"], ["where"], name="nonzero"),
             helper.make_node("Transpose", ["where"], ["rows"], perm=[1, 0], name="rows"),
             helper.make_node("Cast", ["rows"], ["positions"], to=TensorProto.FLOAT, name="cast"),
             helper.make_node("MatMul", ["positions", "m"], ["y"], name="last")]
    constants = {"w": weights(2, 1, 1, 1), "m": weights(4, 3)}
    proto = model(nodes, {"x": [1, 1, 3, 3]}, {"y": TensorProto.FLOAT}, constants)
    loaded = fastcnn.load(proto, threads=1)
    for filled in (9, 4, 0):
        x = np.zeros((1, 1, 3, 3), np.float32)
        x.ravel()[:filled] = 1
        expected = np.argwhere(np.ones((1, 2, 1, 1)) * x).astype(np.float32) @ constants["m"]
        np.testing.assert_allclose(loaded(x), expected, rtol=1e-5, atol=1e-6)
    assert loaded.fallback_nodes == []


def test_computed_values_of_any_length_and_type_decide_shapes():
    """More sizes than are looked at for shape arithmetic, and floats: what a node waits for is kept whatever it is."""
    names = [f"y{k}" for k in range(70)]
    split = [helper.make_node("Add", ["x", "x"], ["twice"]), helper.make_node("Cast", ["twice"], ["sizes"], to=TensorProto.INT64),
             helper.make_node("Split", ["data", "sizes"], names, axis=0)]
    data = np.arange(140, dtype=np.float32)
    loaded = fastcnn.load(model(split, {"x": [70]}, dict.fromkeys(names, TensorProto.FLOAT), {"data": data}), threads=1)
    for part, want in zip(loaded.run(None, {"x": np.ones(70, np.float32)}), np.split(data, 70)):
        np.testing.assert_array_equal(part, want)
    resize = [helper.make_node("Add", ["x", "x"], ["roi"]), helper.make_node("Resize", ["data", "roi", "scales"], ["y"], mode="linear",
                                                                             coordinate_transformation_mode="tf_crop_and_resize")]
    constants = {"data": np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4), "scales": np.array([1, 1, 1, 2, 2], np.float32)}
    proto = model(resize, {"x": [10]}, {"y": TensorProto.FLOAT}, constants)
    roi = np.array([0, 0, 0, 0, 0, .5, .5, .5, .5, .4], np.float32)
    np.testing.assert_allclose(fastcnn.load(proto, threads=1)(roi), onnxruntime_run(proto, {"x": roi})[0], rtol=1e-5)


def test_products_side_by_side_along_an_axis_of_extent_one():
    """A product writes rows without gaps: not straight into a Concat whose channels would lie between their elements."""
    nodes = [helper.make_node("MatMul", ["x", "a"], ["p"]), helper.make_node("MatMul", ["x", "b"], ["q"]),
             helper.make_node("Concat", ["p", "q"], ["c"], axis=1), helper.make_node("Relu", ["c"], ["y"])]
    constants = {"a": weights(8, 5), "b": weights(8, 5)}
    x = np.random.default_rng(3).standard_normal((4, 1, 8)).astype(np.float32)
    got = fastcnn.load(model(nodes, {"x": [4, 1, 8]}, {"y": TensorProto.FLOAT}, constants), threads=1)(x)
    np.testing.assert_allclose(got, np.maximum(np.concatenate([x @ constants["a"], x @ constants["b"]], 1), 0), atol=1e-5)


def test_shapes_that_a_fallback_leaves_to_the_data():
    nodes = [helper.make_node("Unique", ["x"], ["u"], name="unique"), helper.make_node("Unsqueeze", ["u", "one"], ["column"]),
             helper.make_node("MatMul", ["column", "m"], ["y"])]
    constants = {"one": np.array([1]), "m": weights(1, 3)}
    with pytest.warns(RuntimeWarning, match="Unique") as caught:
        loaded = fastcnn.load(model(nodes, {"x": [6]}, {"y": TensorProto.FLOAT}, constants), threads=1)
    assert caught[0].filename == __file__
    for x in ([1, 2, 2, 1, 3, 1], [5] * 6, range(6)):
        x = np.array(x, np.float32)
        np.testing.assert_allclose(loaded(x), np.unique(x)[:, None] @ constants["m"], rtol=1e-5)
    assert loaded.fallback_nodes == ["unique"]


def test_fallback_between_native_stages_warns_once():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="a"), helper.make_node("Det", ["c"], ["d"], name="strange"),
             helper.make_node("MatMul", ["d", "m"], ["y"], name="b")]
    constants = {"w": weights(4, 3, 1, 1), "m": weights(4, 2)}
    proto = model(nodes, {"x": ["n", 3, 2, 2]}, {"y": TensorProto.FLOAT}, constants)
    loaded = fastcnn.load(proto, threads=1)
    with pytest.warns(RuntimeWarning, match="1 nodes have no native kernel.*Det"):
        y = loaded(np.ones((2, 3, 2, 2), np.float32))
    assert y.shape == (2, 2) and loaded.fallback_nodes == ["strange"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(np.ones((1, 3, 2, 2), np.float32))


def test_plans_are_bounded_and_weights_packed_once(monkeypatch):
    monkeypatch.setattr(executor, "MAX_PLANS", 4)
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], {"x": ["n", 16, "h", "w_"]}, {"y": TensorProto.FLOAT},
                  {"w": weights(16, 16, 3, 3)})
    loaded = fastcnn.load(proto, threads=1)
    for height in range(20, 32):
        assert loaded(np.zeros((1, 16, height, 24), np.float32)).shape == (1, 16, height, 24)
    assert len(loaded._default.plans) == 4
    assert len(loaded._packs) <= 4                        # one a packing, not one a shape


def test_empty_batch_gives_empty_outputs():
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": ["n", 3, 4, 4]}, {"y": TensorProto.FLOAT},
                  {"w": weights(2, 3, 1, 1)})
    assert fastcnn.load(proto)(np.zeros((0, 3, 4, 4), np.float32)).shape == (0, 2, 4, 4)


def test_an_output_that_is_an_input_or_a_constant_is_the_callers():
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Identity", ["w"], ["constant"])]
    proto = model(nodes, {"x": [2, 2]}, {"same": TensorProto.FLOAT, "constant": TensorProto.FLOAT}, {"w": weights(2, 2)})
    loaded = fastcnn.load(proto)
    x = np.ones((2, 2), np.float32)
    same, constant = loaded.run(None, {"x": x})
    before = constant.copy()
    same[:], constant[:] = 7, 7
    assert (x == 1).all()
    np.testing.assert_array_equal(loaded.run(None, {"x": x})[1], before)


def test_stages_know_their_steps():
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], name="only")], {"x": [1, 3, 4, 4]}, {"y": TensorProto.FLOAT},
                  {"w": weights(2, 3, 1, 1)})
    stage = next(iter(fastcnn.load(proto, threads=1)._default.plans.values())).direct
    assert isinstance(stage, Stage) and "only" in {step.node for step in stage.steps}


def test_a_layer_of_one_channel_is_no_im2col(on_pixels):
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    layer = model(nodes, {"x": [1, 1, 28, 28]}, {"y": TensorProto.FLOAT}, {"w": weights(32, 1, 3, 3)})
    assert [row.algorithm for row in fastcnn.load(layer, threads=1).choices()] == ["GEMM in place"]


@pytest.mark.parametrize("channels,strides,copies", [(3, [2, 2], 0), (3, [1, 1], 0), (17, [2, 2], 0), (32, [1, 1], 1)])
def test_planes_of_an_input_need_no_copy_of_their_own(channels, strides, copies):
    """The band of a first layer is made from ONNX's own layout; Winograd, which takes 3x3 of stride 1 and many channels, reads pixels."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], strides=strides, pads=[1] * 4), helper.make_node("GlobalMaxPool", ["c"], ["y"])]
    w = weights(20, channels, 3, 3)
    loaded = fastcnn.load(model(nodes, {"x": ["n", channels, 31, 45]}, {"y": TensorProto.FLOAT}, {"w": w}), threads=1)
    x = np.random.default_rng(0).standard_normal((2, channels, 31, 45)).astype(np.float32)
    y = loaded(x)
    kinds = [step.kind for step in next(iter(loaded._default.plans.values())).direct.steps]
    assert kinds.count("copy") == copies, kinds
    np.testing.assert_allclose(y[1:], loaded(x[1:]), rtol=1e-6)
    expected = fastcnn.load(model(nodes[:1], {"x": ["n", channels, 31, 45]}, {"c": TensorProto.FLOAT}, {"w": w}))(x)
    np.testing.assert_allclose(y, expected.max(axis=(2, 3), keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("outputs", [["y", "y"], ["x"], ["w"]], ids=["by two nodes", "an input", "a constant"])
def test_a_value_that_is_made_twice_is_no_plan(outputs: list[str]) -> None:
    """The reader refuses such files; a graph that was written wrongly inside the package would write beyond its memory."""
    nodes = [Node("Add", ("x", "w"), (name,), {}, f"node_{k}", "", 14) for k, name in enumerate(outputs)]
    graph = Graph(nodes, [ValueInfo("x", "tensor(float)", (2,))], [ValueInfo(outputs[0], "tensor(float)", (2,))],
                  {"w": np.ones(2, np.float32)}, {"": 14})
    with pytest.raises(ModelError, match=rf"'node_{len(outputs) - 1}': value '{outputs[0]}' is assigned twice"):
        executor.Engine(graph, 1, Packs())
