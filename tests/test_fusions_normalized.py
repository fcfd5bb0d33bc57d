"""NormalizedConv, NormalizedPool: BatchNormalization in front of a 1x1 Conv or a pooling is part of its step, or stays one of its own."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import floats, model, node, onnxruntime_run, random_feeds

import fastcnn
from fastcnn.plan.lowering import Stage

C, SHAPE = 12, [2, 12, 6, 9]
NORM = {"g": floats(C), "s": floats(C, seed=2), "m": floats(C, seed=3), "v": np.abs(floats(C, seed=4)) + 0.5}
WEIGHTS = {"w": floats(7, C, 1, 1, seed=5), "b": floats(7, seed=6), "k": floats(7, C, 3, 3, seed=7), "d": floats(C, 1, 3, 3, seed=8),
           "slope": floats(7, 1, 1, seed=9), "half": floats(6, C // 2, 1, 1, seed=10)}


def norm(x: str = "x", y: str = "n", **attrs: Any) -> Any:
    return node("BatchNormalization", [x, "g", "s", "m", "v"], [y], **attrs)


def steps_of(proto: Any, threads: int = 1) -> list[str]:
    """Kinds of steps, once the results are found to be onnxruntime's."""
    feeds, loaded = random_feeds(proto), fastcnn.load(proto, threads=threads)
    for actual, expected in zip(loaded.run(None, feeds), onnxruntime_run(proto, feeds)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * np.abs(expected).max())
    plan = next(iter(loaded._default.plans.values()))
    return [step.kind for stage in plan.stages if isinstance(stage, Stage) for step in stage.steps if step.kind != "copy"]


FUSED = {
    "Relu": [norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "w", "b"], ["y"])],
    "Clip": [norm(epsilon=1e-2), node("Clip", ["n", "low", "high"], ["r"]), node("Conv", ["r", "w"], ["y"])],
    "own epilogue": [norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "w", "b"], ["c"]), node("Add", ["c", "z"], ["e"]),
                     node("Tanh", ["e"], ["y"])],
    "slope": [norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "w"], ["c"]), node("PRelu", ["c", "slope"], ["y"])],
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", FUSED)
def test_normalization_runs_in_the_step_of_the_convolution(name: str, threads: int, isa: str) -> None:
    constants = {**NORM, **WEIGHTS, "low": np.float32(-0.5), "high": np.float32(0.75)}
    proto = model(FUSED[name], {"x": SHAPE, "z": [2, 7, 6, 9]}, ["y"], constants)
    assert steps_of(proto, threads) == ["conv"]


def test_layers_of_densenet(isa: str) -> None:
    """Each normalises the Concat of all before, of which every part is written once."""
    nodes, constants, parts = [], dict(WEIGHTS), ["x"]
    for k in range(3):
        channels, tag = C + 4 * k, str(k)
        constants |= {f"{p}{tag}": np.abs(floats(channels, seed=20 + k)) + 0.5 for p in "gsmv"}
        constants |= {f"u{tag}": floats(8, channels, 1, 1, seed=30 + k), f"t{tag}": floats(4, 8, 3, 3, seed=40 + k)}
        whole = f"all{tag}" if k else "x"
        nodes += [node("Concat", parts, [whole], axis=1)] if k else []
        nodes += [
            node("BatchNormalization", [whole, *(p + tag for p in "gsmv")], ["n" + tag]),
            node("Relu", ["n" + tag], ["r" + tag]),
            node("Conv", ["r" + tag, "u" + tag], ["c" + tag]),
            node("Relu", ["c" + tag], ["e" + tag]),
            node("Conv", ["e" + tag, "t" + tag], ["f" + tag], pads=[1, 1, 1, 1]),
        ]
        parts.append("f" + tag)
    proto = model([*nodes, node("Concat", parts, ["y"], axis=1)], {"x": SHAPE}, ["y"], constants)
    assert "scale_shift" not in steps_of(proto)


CONV = node("Conv", ["r", "w"], ["y"])
STAYS = {
    "3x3": ([norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "k"], ["y"], pads=[1, 1, 1, 1])], SHAPE, ["y"]),
    "stride 2": ([norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "w"], ["y"], strides=[2, 2])], SHAPE, ["y"]),
    "padding": ([norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "w"], ["y"], pads=[1, 1, 1, 1])], SHAPE, ["y"]),
    "depthwise": ([norm(), node("Relu", ["n"], ["r"]), node("Conv", ["r", "d"], ["y"], group=C)], SHAPE, ["y"]),
    "read twice": ([norm(), node("Relu", ["n"], ["r"]), CONV, node("Abs", ["r"], ["q"])], SHAPE, ["y", "q"]),
    "given out": ([norm(), node("Relu", ["n"], ["r"]), CONV], SHAPE, ["y", "r"]),
    "other activation": ([norm(), node("Tanh", ["n"], ["r"]), CONV], SHAPE, ["y"]),
    "scaled": ([norm(), node("Relu", ["n"], ["a"]), node("Mul", ["a", "f"], ["r"]), CONV], SHAPE, ["y"]),
    "narrow map": ([norm(), node("Relu", ["n"], ["r"]), CONV], [1, C, 9, 6], ["y"]),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_stays_a_step_of_its_own(name: str) -> None:
    nodes, shape, outputs = STAYS[name]
    assert "scale_shift" in steps_of(model(nodes, {"x": shape, "f": [2, C, 1, 1]}, outputs, {**NORM, **WEIGHTS}))


def pooled(pool: str = "AveragePool", x: str = "r", **attrs: Any) -> Any:
    return node(pool, [x], ["y"], **{"kernel_shape": [2, 2], "strides": [2, 2], **attrs})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pool", [
    pooled(), pooled(x="n"), pooled(ceil_mode=1), pooled("MaxPool", kernel_shape=[2, 3], strides=[2, 1], pads=[1, 1, 0, 1]),
    pooled(strides=[3, 3], pads=[1] * 4, count_include_pad=1), pooled("LpPool", p=3)], ids=str)
def test_normalization_runs_in_the_step_of_the_pooling(pool: Any, threads: int, isa: str) -> None:
    nodes = [norm(), *([node("Relu", ["n"], ["r"])] if pool.input[0] == "r" else []), pool]
    proto = model([*nodes, node("GlobalMaxPool", ["y"], ["q"])], {"x": SHAPE}, ["q"], NORM)
    assert steps_of(proto, threads) == ["affine_pool", "pool"]


@pytest.mark.parametrize("pool, outputs", [
    (pooled(kernel_shape=[3, 3]), ["y"]), (pooled(strides=[1, 1]), ["y"]), (pooled(), ["y", "r"]), (pooled("GlobalAveragePool"), ["y"]),
], ids=["rows shared", "stride 1", "given out", "global"])
def test_pooling_that_leaves_its_normalization(pool: Any, outputs: list[str]) -> None:
    if pool.op_type == "GlobalAveragePool":
        del pool.attribute[:]
    proto = model([norm(), node("Relu", ["n"], ["r"]), pool], {"x": SHAPE}, outputs, NORM)
    assert "scale_shift" in steps_of(proto)


def test_choices_show_the_fused_step() -> None:
    proto = model(FUSED["Relu"], {"x": SHAPE}, ["y"], {**NORM, **WEIGHTS})
    choice, = fastcnn.load(proto).choices()
    assert (choice.algorithm, choice.source, choice.op_type) == ("conv", "fused", "NormalizedConv")
