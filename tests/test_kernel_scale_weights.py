"""Squeeze-and-excitation's scale in the weights: the step at every instruction set, and which Mul the planner takes into its Conv."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from step_helper import Guarded, run_step

import fastcnn
from fastcnn import _native
from fastcnn.fusions import scaled_conv

rng = np.random.default_rng(3)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("nv", [1, 2, 4])
@pytest.mark.parametrize("oc,k", [(1, 1), (16, 5), (17, 3), (100, 33)])
def test_scaled_weights_are_the_packed_weights_times_the_scale_of_each_input_channel(isa, oc, k, nv, threads):
    w, scale = rng.standard_normal((oc, k)).astype(np.float32), rng.standard_normal(k).astype(np.float32)
    packed = _native.pack_gemm_b(w, False, nv)
    y = Guarded(np.full(packed.shape, np.nan, np.float32), output=True)
    assert run_step("scale_weights", [y, Guarded(packed), Guarded(scale)], threads, oc=oc, k=k, nv=nv) == 0
    np.testing.assert_array_equal(y.array, _native.pack_gemm_b(w * scale, False, nv))


def gate(kind: str, n: int | str = "n") -> fastcnn.Model:
    """x times a scale, then Conv 1x1 8 -> 5, Add and Relu; `kind` spoils it or not."""
    seeded = np.random.default_rng(4)
    shapes = {"w": (5, 8, 3, 3) if kind == "3x3" else (5, 8, 1, 1), "b": (5,)}
    tensors = [numpy_helper.from_array(seeded.standard_normal(shape).astype(np.float32), name) for name, shape in shapes.items()]
    operands = ["s", "x"] if kind == "scale first" else ["x", "s"]
    strides = [2, 2] if kind == "strided" else [1, 1]
    nodes = [helper.make_node("Mul", operands, ["m"]), helper.make_node("Conv", ["m", "w", "b"], ["c"], strides=strides)]
    if kind != "bare":
        nodes.append(helper.make_node("Relu", ["c"], ["y"]))
    if kind == "residual":
        nodes[1:] = [nodes[1], helper.make_node("Add", ["c", "r"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    inputs = {"x": ["n", 8, "h", "w"], "s": ["n", 8, "h" if kind == "map" else 1, "w" if kind == "map" else 1], "r": ["n", 5, "h", "w"]}
    if kind == "residual":          # an Add is a residual where its shape is sure to be the Conv's
        inputs = {name: [n, c, *((1, 1) if name == "s" else (7, 7))] for name, (_, c, *_) in inputs.items()}
    else:
        del inputs["r"]
    outputs = {"bare": ["c"], "shared": ["y", "m"]}.get(kind, ["y"])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    graph = helper.make_graph(nodes, "gate", given,
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], tensors)
    return fastcnn.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), threads=2)


@pytest.mark.parametrize("kind,folded", [("plain", True), ("scale first", True), ("bare", True), ("residual", True), ("3x3", False),
                                         ("strided", False), ("shared", False), ("map", False)])
@pytest.mark.parametrize("n", [1, 3])
def test_planner_scales_weights_instead_of_maps(monkeypatch, kind, folded, n):
    side = 7
    feeds = {"x": rng.standard_normal((n, 8, side, side)), "s": rng.standard_normal((n, 8, *([side] * 2 if kind == "map" else [1, 1]))),
             "r": rng.standard_normal((n, 5, side, side))}
    model = gate(kind, n)
    feeds = {i.name: feeds[i.name].astype(np.float32) for i in model.get_inputs()}
    got = model.run(None, feeds)
    kinds = [step.kind for step in next(iter(model._default.plans.values())).direct.steps]
    assert (kinds.count("scale_weights"), kinds.count("binary")) == ((n, 0) if folded else (0, 1))
    monkeypatch.setattr(scaled_conv, "MOST_OUTPUTS_A_PIXEL", 0)
    for a, b in zip(got, gate(kind, n).run(None, feeds)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_planner_leaves_the_scale_where_weights_outweigh_the_map():
    model = gate("plain")
    model.run(None, {"x": np.ones((1, 8, 1, 2), np.float32), "s": np.ones((1, 8, 1, 1), np.float32)})
    kinds = [step.kind for step in next(iter(model._default.plans.values())).direct.steps]
    assert "scale_weights" not in kinds and "binary" in kinds
