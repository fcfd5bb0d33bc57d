"""What more cores are predicted to do, and the number of threads that is chosen by it. Every test sets the machine and the CPUs."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from graph_helper import model
from onnx import ModelProto, helper
from test_threads import needs_openmp

import fastcnn
from fastcnn import loading
from fastcnn.analysis.aims import LATENCY, THROUGHPUT
from fastcnn.analysis.scaling import Cores, Part, latency, parts_of, rate, threads_for
from fastcnn.machine.current import current, using
from fastcnn.machine.table import ROWS

CORES = Cores(enter=4000, barrier=600, foreign=0.0, streams=4)


@pytest.fixture(autouse=True)
def machine() -> Iterator[None]:
    with using(ROWS["zen5"]):
        yield


def convolutions(channels: int, pixels: int, count: int = 4) -> ModelProto:
    w = np.random.default_rng(0).standard_normal((channels, channels, 3, 3)).astype(np.float32)
    names = ["x", *(f"t{k}" for k in range(count - 1)), "y"]
    nodes = [helper.make_node("Conv", [a, "w"], [b], pads=[1] * 4) for a, b in pairwise(names)]
    return model(nodes, {"x": [1, channels, pixels, pixels]}, ["y"], {"w": w})


def parts(proto: ModelProto) -> list[Part]:
    return parts_of(next(iter(fastcnn.load(proto, threads=1)._default.plans.values())))


def test_work_without_weights_is_shared_and_waits_at_barriers():
    steps = [Part("a", 1e6), Part("b", 1e6)]
    assert latency(steps, 1, CORES) == 2e6
    assert latency(steps, 2, CORES) == 4000 + 1e6 + 2 * 600
    assert latency(steps, 16, CORES) == 4000 + 2e6 / 16 + 2 * 8 * 600
    assert latency(steps, 16, replace(CORES, foreign=0.1)) == pytest.approx(4000 + 2e6 / 16 * (1 + 0.2 * 15 / 16) + 2 * 8 * 600)


def test_what_one_thread_does_gains_nothing():
    steps = [Part("a", 1e6, alone=True)]
    assert latency(steps, 8, CORES) == latency(steps, 1, CORES) == 1e6
    assert rate(steps, 1, 8, CORES) == 8 * rate(steps, 8, 8, CORES)


def test_weights_come_as_fast_as_memory_and_l3_give_them():
    step, nbytes = Part("a", 0.0, weights=1 << 24), 1 << 24
    assert step.at(1, CORES) == nbytes / current().memory
    assert step.at(2, CORES) == max(nbytes / current().memory / 2, nbytes / current().l3_weights) + 600
    assert step.at(1, CORES, runs=16) == nbytes / current().memory * 16 / 4
    assert step.at(64, CORES) - 32 * 600 == max(nbytes / current().memory / 4, nbytes / current().l3_weights)


@pytest.mark.parametrize("accuracy", ["fast", "strict"])
def test_a_last_tile_leaves_threads_idle(accuracy):
    """Work is cut into blocks, tiles or panels: with more threads than those, nothing gets faster."""
    def work(pixels: int, threads: int) -> float:
        plan = next(iter(fastcnn.load(convolutions(64, pixels), threads=1, accuracy=accuracy)._default.plans.values()))
        return sum(part._work(threads)[0] for part in parts_of(plan) if part.decision is not None)

    assert 0.5 <= work(56, 2) / work(56, 1) < 0.75
    assert 0.99 / 64 < work(56, 64) / work(56, 1) < 8 / 64
    if accuracy == "strict":
        assert work(8, 4096) == pytest.approx(work(8, 64)) and work(8, 64) > work(8, 1) / 64


def test_measured_steps_replace_the_cost_model():
    plan = next(iter(fastcnn.load(convolutions(64, 56), threads=1)._default.plans.values()))
    steps = parts_of(plan, lambda stage, step: 1e6)
    assert [part.at(1, CORES) for part in steps] == pytest.approx([1e6] * len(steps), rel=1e-5)


def test_latency_takes_many_threads_for_much_work_and_one_for_little():
    much, little = parts(convolutions(128, 112)), parts(convolutions(4, 8))
    assert threads_for(LATENCY, much, 1) == threads_for(LATENCY, little, 64) == 1
    assert threads_for(LATENCY, much, 16, CORES) == 16
    assert threads_for(LATENCY, [Part("step", 1e4)] * 50, 64, CORES) < 16
    assert threads_for(LATENCY, [Part("step", 1e9)], 20, CORES) == 20


def test_throughput_takes_one_thread_unless_more_lose_nothing():
    much = parts(convolutions(128, 112))
    assert threads_for(THROUGHPUT, [Part("step", 1e4)] * 50, 16, CORES) == 1
    assert threads_for(THROUGHPUT, [Part("step", 1e9)], 16, CORES) == 16
    assert threads_for(THROUGHPUT, much, 16, replace(CORES, foreign=0.2)) == 1
    assert rate(much, 1, 16, CORES) > rate(much, 1, 8, CORES)


@needs_openmp
def test_load_takes_what_is_predicted(monkeypatch):
    monkeypatch.setattr(loading, "default_threads", lambda: 2)
    assert fastcnn.load(convolutions(128, 112), threads="latency").threads == 2
    assert fastcnn.load(convolutions(4, 8), threads="latency").threads == 1
    assert fastcnn.load(convolutions(4, 8), threads="throughput").threads == 1
    monkeypatch.setattr(loading, "_predicted", lambda alone, aim: {"latency": 2, "throughput": 1}[aim])
    x = np.ones((1, 64, 30, 30), np.float32)
    made = [fastcnn.load(convolutions(64, 30), threads=threads) for threads in ("latency", "throughput", 1)]
    assert [loaded.threads for loaded in made] == [2, 1, 1]
    for loaded in made:
        np.testing.assert_array_equal(loaded(x), made[2](x))


def test_open_shapes_are_those_of_the_summary(monkeypatch):
    monkeypatch.setattr(loading, "default_threads", lambda: 2)
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], {"x": ["n", 3, "h", "w"]}, ["y"],
                  {"w": np.ones((64, 3, 3, 3), np.float32)})
    assert fastcnn.load(proto, threads="latency").threads in (1, 2)


@pytest.mark.parametrize("threads", ["fast", "", 0, True, 1.5])
def test_other_words_are_refused(threads):
    with pytest.raises(fastcnn.ConfigurationError, match="'latency' or 'throughput'"):
        fastcnn.load(convolutions(4, 8), threads=threads)
