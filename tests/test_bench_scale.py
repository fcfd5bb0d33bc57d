"""bench.scale: what it measures on a small model, and that its rows beyond the machine are called guesses."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import helper

from bench import scale
from fastcnn.analysis.scaling import Cores, Part, latency


@pytest.fixture
def path(tmp_path) -> str:
    w = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)]
    onnx.save(model(nodes, {"x": [1, 64, 28, 28]}, ["y"], {"w": w}), str(tmp_path / "one.onnx"))
    return str(tmp_path / "one.onnx")


def test_rows_say_what_was_measured_and_what_is_a_guess(path, monkeypatch, capsys):
    monkeypatch.setattr(scale, "SECONDS", 0.01)
    monkeypatch.setattr(scale, "ROUNDS", 1)
    monkeypatch.setattr(scale, "default_threads", lambda: 2)
    monkeypatch.setattr(scale, "in_process", scale.measured)
    assert scale.main([path, "--cores", "2,16,64", "--beside", path, path]) == 0
    out = capsys.readouterr().out
    assert out.count("| measured |") == 2 and out.count("| guess |") == 2
    assert "side by side" in out and "callers of one thread" in out and "threads='throughput' on 2, 16, 64 cores" in out


def test_what_two_threads_take_is_explained_by_foreign_data():
    parts, cores = [Part("step", 1e6)], Cores(enter=0, barrier=0)
    for share in (0.0, 0.25, 1.0):
        assert scale.foreign_of(parts, cores, latency(parts, 2, Cores(0, 0, share))) == pytest.approx(share)
    assert scale.foreign_of(parts, cores, 1.0) == 0.0


def test_the_least_that_any_process_waited_counts(path, monkeypatch, capsys):
    """A process keeps its luck: one in which two threads' counters lie badly waits ten times as long at every step."""
    waited = iter([(900.0, 5000.0), (700.0, 60.0), (800.0, 70.0)])
    monkeypatch.setattr(scale, "SECONDS", 0.01)
    monkeypatch.setattr(scale, "ROUNDS", 3)
    monkeypatch.setattr(scale, "default_threads", lambda: 2)
    monkeypatch.setattr(scale, "in_process", scale.measured)
    monkeypatch.setattr(scale, "waits", lambda: next(waited))
    assert scale.main([path, "--cores", "2"]) == 0
    assert "entering 700 cycles, barrier 60" in capsys.readouterr().out
