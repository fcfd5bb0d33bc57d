"""bench.service and bench.serving_load: both engines measured, wrong answers noticed."""
from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from serving_models import doubling

from bench import service


@pytest.fixture
def double(tmp_path) -> str:
    onnx.save(doubling(), str(tmp_path / "double.onnx"))
    return str(tmp_path / "double.onnx")


@pytest.mark.parametrize("check, rows", [("threads", 2), ("prefork", 2)])
def test_a_check_prints_a_row_a_figure(double, check, rows, capsys):
    assert service.main([check, double, "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("| double |") == rows and out.count("fastcnn") == rows
    assert out.count("onnxruntime") == (rows if "onnxruntime" in service.CHECKS[check][1] else 0)


def test_idle_and_rate_count_cpu_time(double, monkeypatch):
    monkeypatch.setattr(service, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(service, "RATE_SECONDS", 1)
    monkeypatch.setattr(service, "RATE", 20)
    for engine in service.ENGINES:
        assert service.idle(engine, double)["CPU ms"] >= 0
        assert service.rate(engine, double)["CPU s of 1000"] > 0


def test_soak_reports_ten_times(monkeypatch):
    monkeypatch.setattr(service, "SOAK_RUNS", 80)
    found = service.soak("fastcnn", str(Path(__file__).parent.parent / "models" / "trained" / "superres.onnx"))
    assert len(found) == 11 and found["descriptors"] > 0


def test_results_of_several_threads_that_differ_are_noticed():
    """A model that numbers its runs."""
    count = iter(range(1000))
    with pytest.raises(RuntimeError, match="differ"):
        service._runs_a_second([lambda feeds: [np.array(next(count))]] * 2, [{}, {}])


def test_a_check_that_fails_has_the_last_words():
    with pytest.raises(RuntimeError, match=r"idle fastcnn nowhere\.onnx: .*nowhere"):
        service.measured("idle", "fastcnn", "nowhere.onnx")


def test_load_of_both_engines_and_an_answer_that_is_another_ones(double, capsys):
    for name in ("starlette", "uvicorn", "orjson", "prometheus_client"):
        pytest.importorskip(name)
    from bench import serving_load
    assert serving_load.main([double, "--seconds", "0.4", "--clients", "2", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert "| double | fastcnn |" in out and "| double | onnxruntime |" in out
    with serving_load.server("fastcnn", double) as port, pytest.raises(RuntimeError, match="another"):
        x = np.ones((1, 3), np.float32)
        head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}],
                           "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
        serving_load.client(port, [(head + x.tobytes(), len(head))] * 2, [x, 2 * x], time.perf_counter() + 60, [])
