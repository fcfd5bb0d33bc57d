"""PlanesChain: which convolutions stay on planes from an input to an output, on machines that are named, and that the numbers stay."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import model, node, onnxruntime_run

import fastcnn
from fastcnn.convolve import planes_chain
from fastcnn.convolve.shape import ConvShape
from fastcnn.plan.stage import Stage

C = 16
RNG = np.random.default_rng(0)
WEIGHTS = {name: (RNG.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32) for name, shape in {
    "point": (C, C, 1, 1), "depth": (C, 1, 3, 3), "dense": (C, C, 3, 3), "wide": (2 * C, C, 1, 1), "bias": (C,),
    "slope": (C, 1, 1)}.items()}


def point(x: str, y: str) -> Any:
    return node("Conv", [x, "point", "bias"], [y])


def depth(x: str, y: str, **attrs: Any) -> Any:
    return node("Conv", [x, "depth"], [y], group=C, pads=[1] * 4, **attrs)


def relu(x: str, y: str) -> Any:
    return node("Relu", [x], [y])


BLOCK = [point("x", "a"), depth("a", "b"), relu("b", "y")]
TWICE = [point("x", "a"), depth("a", "b"), relu("b", "c"), point("c", "d"), depth("d", "e"), node("Clip", ["e", "low", "high"], ["y"])]
SEPARABLE = [depth("x", "a", strides=[2, 2]), node("Conv", ["a", "wide"], ["y"])]


def proto(nodes: list[Any], outputs: tuple[str, ...] = ("y",), shape: tuple[int, ...] = (1, C, 96, 96), **more: np.ndarray) -> Any:
    known = {**WEIGHTS, "low": np.float32(-1), "high": np.float32(1), **more}
    used = {name for n in nodes for name in n.input}
    return model(nodes, {"x": list(shape)}, list(outputs), {name: w for name, w in known.items() if name in used})


def kinds(loaded: fastcnn.Model, *shape: int) -> list[str]:
    """The kinds of steps of a model for an input of this shape."""
    engine = loaded.prepare({"x": shape})._open()
    return [step.kind for plan in engine.plans.values() for stage in plan.stages if isinstance(stage, Stage) for step in stage.steps]


@pytest.mark.parametrize("nodes", [BLOCK, TWICE, SEPARABLE], ids=["block", "twice", "separable"])
@pytest.mark.parametrize("threads", [1, 2])
def test_planes_chain_gives_onnxruntimes_numbers(nodes, threads, isa, monkeypatch):
    monkeypatch.setattr(planes_chain, "pays", lambda layers: True)
    made = proto(nodes, shape=(2, C, 37, 50))
    x = RNG.standard_normal((2, C, 37, 50)).astype(np.float32)
    loaded = fastcnn.load(made, threads=threads)
    (y,), (wanted,) = loaded.run(None, {"x": x}), onnxruntime_run(made, {"x": x})
    np.testing.assert_allclose(y, wanted, atol=1e-5 * abs(wanted).max())
    assert kinds(loaded, 2, C, 37, 50) == ["planes_chain"]


@pytest.mark.parametrize("nodes, outputs", [
    ([*BLOCK, relu("a", "z")], ("y", "z")),                                     # read twice between
    (BLOCK, ("y", "a")),                                                        # seen outside between
    ([*BLOCK, relu("y", "z")], ("y", "z")),                                     # and at the end
    ([relu("x", "r"), point("r", "a"), depth("a", "y")], ("y",)),               # what it reads is no input
    ([point("x", "a"), depth("a", "b"), node("Sigmoid", ["b"], ["y"])], ("y",)),         # no clamp
    ([point("x", "a"), node("PRelu", ["a", "slope"], ["b"]), depth("b", "y")], ("y",)),
    ([point("x", "a"), depth("a", "b"), node("Add", ["b", "x"], ["y"])], ("y",)),
    ([point("x", "a"), depth("a", "b", dilations=[1, 1]), node("MaxPool", ["b"], ["y"], kernel_shape=[2, 2])], ("y",)),
    ([point("x", "y")], ("y",)),                                                # one layer
    ([point("x", "a"), node("Conv", ["a", "dense"], ["y"], strides=[1, 3])], ("y",)),
])
def test_planes_chain_leaves_what_it_cannot_compute(nodes, outputs, monkeypatch):
    monkeypatch.setattr(planes_chain, "pays", lambda layers: True)
    made = proto(nodes, outputs)
    x = RNG.standard_normal((1, C, 96, 96)).astype(np.float32)
    loaded = fastcnn.load(made, threads=1)
    for got, wanted in zip(loaded.run(None, {"x": x}), onnxruntime_run(made, {"x": x})):
        np.testing.assert_allclose(got, wanted, atol=1e-5 * abs(wanted).max())
    assert "planes_chain" not in kinds(loaded, 1, C, 96, 96)


@pytest.mark.parametrize("option", [{"precision": "bf16"}, {"weights": "int8"}], ids=str)
def test_planes_chain_is_for_floats_as_they_are(option, monkeypatch):
    monkeypatch.setattr(planes_chain, "pays", lambda layers: True)
    assert "planes_chain" not in kinds(fastcnn.load(proto(BLOCK), threads=1, **option), 1, C, 96, 96)


def test_planes_chain_does_not_share_weights_with_a_chain_that_begins_alike(monkeypatch):
    """Models that share packs: the first layers are the same, the second are not."""
    monkeypatch.setattr(planes_chain, "pays", lambda layers: True)
    x = RNG.standard_normal((1, C, 96, 96)).astype(np.float32)
    for depth_weights in (WEIGHTS["depth"], 2 * WEIGHTS["depth"]):
        made = proto(BLOCK, depth=depth_weights)
        np.testing.assert_allclose(fastcnn.load(made).run(None, {"x": x})[0], onnxruntime_run(made, {"x": x})[0], atol=1e-4)


def test_planes_chain_is_kept_in_a_compiled_model(tmp_path, monkeypatch):
    monkeypatch.setattr(planes_chain, "pays", lambda layers: True)
    x = RNG.standard_normal((1, C, 96, 96)).astype(np.float32)
    loaded = fastcnn.load(proto(TWICE), threads=1)
    (wanted,) = loaded.run(None, {"x": x})
    loaded.save(tmp_path / "chain.fcm", shapes={"x": (1, C, 96, 96)})
    again = fastcnn.load(tmp_path / "chain.fcm", threads=1)
    np.testing.assert_array_equal(again.run(None, {"x": x})[0], wanted)
    assert kinds(again, 1, C, 96, 96) == ["planes_chain"]


def test_planes_chain_is_shown_among_the_choices(monkeypatch):
    monkeypatch.setattr(planes_chain, "pays", lambda layers: True)
    loaded = fastcnn.load(proto(BLOCK), threads=1)
    loaded.prepare({"x": (1, C, 96, 96)})
    (row,) = loaded.choices()
    assert row.algorithm == "planes_chain" and row.source == "fused"
    assert row.layer == f"96x96x{C}, 1x1, 3x3" and "[" not in str(row)


def pair(channels: int, side: int) -> tuple[ConvShape, ConvShape]:
    """A 1x1 convolution and a depthwise one."""
    return (ConvShape(1, 1, channels, channels, 1, 1, 1, 1, 1, 1, 0, 0, side, side, side, side),
            ConvShape(1, channels, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, side, side, side, side))


@pytest.mark.parametrize("isa", ["avx2"], indirect=True)
@pytest.mark.parametrize("channels, side, wanted", [(64, 160, True), (64, 80, True), (64, 40, True), (16, 160, True),
                                                    (64, 14, False), (64, 7, False), (512, 14, False)])
def test_planes_chain_pays_on_wide_maps_on_zen3(channels, side, wanted, plan_for, isa):
    plan_for("zen3")
    assert planes_chain.pays(pair(channels, side) * 2) is wanted


@pytest.mark.parametrize("isa", ["avx2"], indirect=True)
def test_planes_chain_has_to_fit_the_second_cache(plan_for, isa):
    plan_for("zen3", l2_bytes=100_000)
    assert not planes_chain.pays(pair(64, 160) * 2)
    plan_for("zen3", l2_bytes=4 << 20)
    assert planes_chain.fields_of(pair(64, 160))["block"] == planes_chain.BLOCKS[0]


@pytest.mark.parametrize("isa", ["avx512"], indirect=True)
@pytest.mark.parametrize("channels, side, wanted", [(64, 160, True), (64, 80, True), (64, 40, False), (16, 160, True), (64, 14, False)])
def test_planes_chain_pays_on_wide_maps_on_sapphire_rapids(channels, side, wanted, plan_for, isa):
    plan_for("sapphire_rapids")
    assert planes_chain.pays(pair(channels, side) * 2) is wanted
