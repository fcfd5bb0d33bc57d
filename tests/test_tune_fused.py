"""Tuning of what can run as one step: every variant gives the same bits, the winner is computed and remembered, choices() shows it."""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from graph_helper import model
from onnx import helper

import fastcnn
from fastcnn import _native
from fastcnn.convolve.decision import CostModel, Selection, Timed
from fastcnn.tune import tuner
from fastcnn.tune.answers import Answers, machine_key
from fastcnn.tune.tuner import Tuner

RNG = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32)


def conv(x: str, w: str, y: str, **attrs: object):
    return helper.make_node("Conv", [x, w], [y], y, **attrs)


def bottleneck(channels: int = 32, side: int = 96) -> bytes:
    constants = {"w": weights(channels, 8, 1, 1), "d": weights(channels, 1, 3, 3), "p": weights(12, channels, 1, 1)}
    first = helper.make_node("MaxPool", ["x"], ["q"], kernel_shape=[3, 3], pads=[1] * 4)        # else all of it could stay on planes
    nodes = [first, conv("q", "w", "a"), helper.make_node("Relu", ["a"], ["b"]), conv("b", "d", "c", pads=[1, 1, 1, 1], group=channels),
             helper.make_node("Relu", ["c"], ["e"]), conv("e", "p", "y")]
    return model(nodes, {"x": [1, 8, side, side]}, ["y"], constants).SerializeToString()


def normalized() -> bytes:
    constants = {"w": weights(40, 64, 1, 1), "s": weights(64), "b": weights(64), "m": weights(64), "v": np.abs(weights(64)) + 1}
    nodes = [helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
             helper.make_node("BatchNormalization", ["p", "s", "b", "m", "v"], ["n"], "n"), helper.make_node("Relu", ["n"], ["r"]),
             conv("r", "w", "y")]
    return model(nodes, {"x": [1, 64, 60, 62]}, ["y"], constants).SerializeToString()


def chain() -> bytes:
    constants = {"w": weights(24, 512).copy(), "v": weights(512, 24).copy()}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], "a"), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("MatMul", ["b", "v"], ["y"], "y")]
    return model(nodes, {"x": [1, 2100, 24]}, ["y"], constants).SerializeToString()


def stem() -> bytes:
    nodes = [conv("x", "w", "a", pads=[3, 3, 3, 3], strides=[2, 2]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("MaxPool", ["b"], ["y"], "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])]
    return model(nodes, {"x": [1, 3, 160, 160]}, ["y"], {"w": weights(64, 3, 7, 7)}).SerializeToString()


NETWORKS = {"bottleneck": bottleneck, "small_bottleneck": lambda: bottleneck(side=48), "normalized": normalized, "chain": chain,
            "stem": stem}


class Fixed(CostModel):
    """A chooser that takes the k-th variant of everything, after trying whether it runs."""

    measures = True

    def __init__(self, k: int):
        super().__init__()
        self.k = k
        self.names: Sequence[str] = ()

    def variant(self, key: str, names: Sequence[str], threads: int, make: Callable[[str], Timed]) -> Selection:
        self.names = names
        seconds = {name: make(name).run(_native.Workspace()) for name in names[self.k:self.k + 1]}
        assert all(value > 0 for value in seconds.values())
        return Selection(names[self.k] if self.k < len(names) else names[0], seconds)


def image(network: bytes) -> np.ndarray:
    shape = fastcnn.load(network).get_inputs()[0].shape
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_variants_all_give_the_same_bits(isa, network, threads, monkeypatch, plan_for):
    plan_for("sapphire_rapids")
    blob = network()
    x = image(blob)
    expected = fastcnn.load(blob, threads=threads)(x)
    k, tried = 0, 1
    while k < tried:
        chooser = Fixed(k)
        monkeypatch.setattr(tuner, "tuner", lambda *_, chooser=chooser: chooser)
        tuned = fastcnn.load(blob, threads=threads, tune=True)
        np.testing.assert_array_equal(tuned(x), expected, err_msg=str(chooser.names[k:k + 1]))
        assert "tuned" in {row.source for row in tuned.choices()}
        tried = len(chooser.names)
        assert tried >= 3 and "apart" in chooser.names
        k += 1


@pytest.fixture
def quick(monkeypatch):
    """Few rounds and little memory: what is tested here is not the figures."""
    monkeypatch.setattr(tuner, "SMALLEST_MEGABYTES", 1)
    monkeypatch.setattr(tuner, "MORE_ROUNDS", 1)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_fused_steps_are_timed_once_and_shown(quick, network, tmp_path, monkeypatch, plan_for):
    plan_for("sapphire_rapids")
    file, blob = tmp_path / "answers.json", network()
    tuned = fastcnn.load(blob, threads=1, tune=file)
    row, = [row for row in tuned.choices() if "apart" in row.measured_ms]
    assert row.source == "tuned" and row.predicted_ms is None and len(row.measured_ms) >= 3 and "the best of" in str(row)
    answers = json.loads(file.read_text())["machines"][machine_key()]
    assert any("apart" in answer["seconds"] for answer in answers.values())
    monkeypatch.setattr(tuner, "Rounds", None)            # whoever times now fails
    monkeypatch.setattr(tuner, "Trials", None)
    again = fastcnn.load(blob, threads=1, tune=file)
    assert again.choices() == tuned.choices()
    np.testing.assert_array_equal(again(image(blob)), tuned(image(blob)))


def test_fused_steps_keep_the_pick_when_time_is_up(tmp_path, monkeypatch, plan_for):
    plan_for("sapphire_rapids")
    monkeypatch.setenv("FASTCNN_TUNE_SECONDS", "0")
    rows, untuned = (fastcnn.load(bottleneck(), threads=1, tune=tune).choices() for tune in (tmp_path / "a.json", False))
    assert ("fused", "ConvDepthwise") in [(row.source, row.op_type) for row in rows]
    assert [(row.source, row.op_type, row.tile, row.blocking) for row in rows] == [
        (row.source, row.op_type, row.tile, row.blocking) for row in untuned]


class Seconds:
    """Takes as long as it says."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def run(self, workspace: _native.Workspace) -> float:
        return self.seconds


def test_variant_is_the_fastest_and_the_pick_in_case_of_doubt(quick, tmp_path):
    asked = Tuner(Answers(tmp_path / "a.json"), 30.0, 0)
    assert asked.variant("clear", ["pick", "other"], 1, lambda name: Seconds({"pick": 1e-3, "other": 5e-4}[name])).name == "other"
    assert asked.variant("doubt", ["pick", "other"], 1, lambda name: Seconds({"pick": 1e-3, "other": 9.9e-4}[name])).name == "pick"
    assert asked.variant("alone", ["pick"], 1, lambda name: Seconds(1.0)) == Selection("pick")
    key = next(key for key in asked.answers.known if key.startswith("clear"))
    assert asked.answers.known[key].seconds == {"pick": 1e-3, "other": 5e-4}
