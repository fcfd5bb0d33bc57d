"""The fused 1x1 + depthwise step against its two halves in float64, and the planner's decision to fuse."""
from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number

import fastcnn
from fastcnn import _native
from fastcnn.ops.expand_depthwise import pack_panels
from fastcnn.plan import fusion

rng = np.random.default_rng(0)


def reference(x, w1, b1, w2, b2, stride, pad):
    """Relu(depthwise(Relu(w1 x + b1)) + b2) on (H, W, C) in float64."""
    wide = np.maximum(x.astype(np.float64) @ w1.T.astype(np.float64) + b1, 0)
    k = w2.shape[0]
    padded = np.pad(wide, ((pad, pad), (pad, pad), (0, 0)))
    oh, ow = ((n + 2 * pad - k) // stride + 1 for n in x.shape[:2])
    y = np.zeros((oh, ow, wide.shape[2]))
    for r in range(k):
        for s in range(k):
            y += padded[r:r + (oh - 1) * stride + 1:stride, s:s + (ow - 1) * stride + 1:stride] * w2[r, s]
    return np.maximum(y + b2, 0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize("kernel,stride,pad", [(3, 1, 1), (3, 2, 1), (5, 1, 2), (5, 2, 2), (3, 1, 0), (7, 1, 3)])
@pytest.mark.parametrize("ic,c", [(1, 1), (3, 17), (16, 96), (24, 144)])
def test_step_equals_its_halves(isa, ic, c, kernel, stride, pad, block, threads):
    h, w, nv = 11, 9, 2
    x, w1 = (rng.standard_normal(s).astype(np.float32) for s in ((h, w, ic), (c, ic)))
    w2, b1, b2 = (rng.standard_normal(s).astype(np.float32) for s in ((kernel, kernel, c), (c,), (c,)))
    expected = reference(x, w1, b1, w2, b2, stride, pad)
    y = Guarded(np.zeros(expected.shape, np.float32), output=True)
    taps = pack_panels(w2.transpose(2, 0, 1)[:, None], nv * _native.vector_length())
    oh, ow, _ = expected.shape
    status = run_step(
        "expand_depthwise", [y, Guarded(x), _native.pack_gemm_b(w1, False, nv), Guarded(b1), taps, Guarded(b2)], threads,
        n=1, kh=kernel, kw=kernel, sh=stride, sw=stride, dh=1, dw=1, pt=pad, pl=pad, ih=h, iw=w, oh=oh, ow=ow, ic=ic, c=c,
        x_image=0, x_row=w * ic, x_pixel=ic, y_image=0, y_row=ow * c, y_pixel=c, nv=nv, block=block,
        fn=unary_number("Relu"), alpha=0.0, beta=0.0, expand_fn=unary_number("Relu"), expand_alpha=0.0, expand_beta=0.0)
    assert status == 0
    assert_close(y.array, expected, tolerance(ic * kernel * kernel), f"{ic}->{c} {kernel}x{kernel}/{stride}")


def network(activation: str):
    """1x1 expansion, activation, depthwise 3x3 stride 2, activation."""
    seeded = np.random.default_rng(1)
    tensors = [numpy_helper.from_array((seeded.standard_normal(shape) * 0.3).astype(np.float32), name) for name, shape in
               {"w1": (48, 8, 1, 1), "b1": (48,), "w2": (48, 1, 3, 3)}.items()]
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["wide"]), helper.make_node(activation, ["wide"], ["act"]),
             helper.make_node("Conv", ["act", "w2"], ["dw"], group=48, pads=[1] * 4, strides=[2, 2]),
             helper.make_node("Relu", ["dw"], ["y"])]
    graph = helper.make_graph(nodes, "pair", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, "h", "w"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def kinds(model) -> list[str]:
    return [step.kind for step in next(iter(model._default.plans.values())).direct.steps]


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid"])
def test_planner_fuses_what_outgrows_the_cache_with_the_same_numbers(monkeypatch, activation):
    x = rng.standard_normal((2, 8, 13, 15)).astype(np.float32)
    apart = fastcnn.load(network(activation), threads=1)
    before = apart(x)
    assert "expand_depthwise" not in kinds(apart)
    monkeypatch.setattr(fusion, "SHARE_OF_L2", 0)
    together = fastcnn.load(network(activation), threads=2)
    np.testing.assert_allclose(together(x), before, rtol=1e-5, atol=1e-6)
    assert "expand_depthwise" in kinds(together)


def test_planner_keeps_a_tensor_that_somebody_asks_for(monkeypatch):
    monkeypatch.setattr(fusion, "SHARE_OF_L2", 0)
    model = fastcnn.load(network("Relu"), threads=1)
    x = rng.standard_normal((1, 8, 6, 6)).astype(np.float32)
    wide, y = model.run(["act", "y"], {"x": x})
    assert wide.shape == (1, 48, 6, 6) and wide.min() == 0
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-6)
