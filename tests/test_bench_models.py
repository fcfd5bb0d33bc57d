"""Engines side by side: conversion, batches, tables, the picture, workers of other interpreters, scenarios; bench.models."""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import fastcnn
import models
from bench import models as bench_models
from bench import report as bench_report
from fastcnn.benchmark import report, scenarios, session
from fastcnn.benchmark.batch import rebatch, save_with_batch
from fastcnn.benchmark.processes import EngineError, Worker
from fastcnn.benchmark.settings import Settings, contenders
from fastcnn.benchmark.worker.convert import converted
from fastcnn.benchmark.worker.engines import ENGINES
from fastcnn.benchmark.worker.load import served

X = np.random.default_rng(0).standard_normal((1, 1, 32, 32)).astype(np.float32)


@pytest.fixture
def lenet5(tmp_path) -> Path:
    path = tmp_path / "lenet5.onnx"
    onnx.save(models.build("lenet5"), str(path))
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "ncnn", "torch"])
def test_engine_computes_what_fastcnn_computes(engine, lenet5, tmp_path, monkeypatch):
    missing = [package for package in ENGINES[engine].packages if find_spec(package) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = Worker(engine, 1, [])
    try:
        assert all(worker.versions().values())
        assert worker.load(str(lenet5), {"x": X})["load_seconds"] > 0
        (y,), seconds = worker.outputs()
        times, share = worker.time(0.0, 0.0)
        assert seconds > 0 and (worker.peak() is None or worker.peak() > 1 << 20)
    finally:
        worker.close()
    assert report.difference([y], fastcnn.load(lenet5, threads=1).run(None, {"x": X})) < 1e-5
    assert len(times) >= 3 and share > 0


def test_fastcnn_of_another_clone_is_an_engine(lenet5, tmp_path, monkeypatch):
    (tmp_path / "fastcnn").mkdir()
    (tmp_path / "fastcnn" / "__init__.py").write_text(
        "class load:\n    def __init__(self, path, threads): pass\n    def run(self, names, feeds): return [[1.0]]\n")
    for command in (["init", "-q"], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setenv("FASTCNN_BEFORE", str(tmp_path))
    worker = Worker("before", 1, [])
    try:
        commit, = worker.versions().values()
        worker.load(str(lenet5), {"x": X})
        (y,), _ = worker.outputs()
    finally:
        worker.close()
    assert y.tolist() == [1.0] and len(commit) >= 7


def test_worker_errors_name_the_engine(lenet5):
    worker = Worker("fastcnn", 1, [], sys.executable)
    try:
        with pytest.raises(EngineError, match=r"fastcnn: .*nowhere"):
            worker.load("nowhere.onnx", {})
        assert worker.load(str(lenet5), {"x": X})["load_seconds"] > 0
    finally:
        worker.close()
    with pytest.raises(EngineError, match="its process ended"):
        worker.outputs()


def test_converted_once_for_the_same_content(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    calls = []

    def converter(path: str, folder: Path) -> None:
        calls.append(path)
        (folder / "result").write_text("converted")

    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    first, second = (converted(str(tmp_path / name), converter, "tool-1") for name in "ab")
    assert first == second and len(calls) == 1 and (Path(first) / "result").exists()
    assert converted(str(tmp_path / "a"), converter, "tool-2") != first and len(calls) == 2


def test_converted_nothing_stays_of_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def failing(path: str, folder: Path) -> None:
        raise RuntimeError("no such operator")

    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(RuntimeError, match="no such operator"):
        converted(str(tmp_path / "a"), failing, "tool-1")
    assert not list(tmp_path.glob("fastcnn-bench-*/tool-1/*"))


def shuffle() -> onnx.ModelProto:
    """Relu, then channels shuffled in two groups, as exporters write it: batch 1 in both targets of Reshape."""
    shapes = {"s5": [1, 2, 3, 4, 5], "s4": [1, 6, 4, 5]}
    nodes = [helper.make_node("Relu", ["x"], ["a"]),
             helper.make_node("Constant", [], ["s4"], value=helper.make_tensor("", TensorProto.INT64, [4], shapes["s4"])),
             helper.make_node("Reshape", ["a", "s5"], ["b"]), helper.make_node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3, 4]),
             helper.make_node("Reshape", ["c", "s4"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 6, 4, 5]) for name in "xy")
    graph = helper.make_graph(nodes, "shuffle", [x], [y], [helper.make_tensor("s5", TensorProto.INT64, [5], shapes["s5"])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_rebatch_gives_what_single_images_give(tmp_path):
    x = np.random.default_rng(1).standard_normal((3, 6, 4, 5)).astype(np.float32)
    one = fastcnn.load(shuffle(), threads=1)
    path = tmp_path / "one.onnx"
    onnx.save(shuffle(), str(path))
    assert save_with_batch(path, 1, tmp_path) == path
    many = fastcnn.load(save_with_batch(path, 3, tmp_path), threads=1)
    assert list(many.get_outputs()[0].shape) == [3, 6, 4, 5]
    y, = many.run(None, {"x": x})
    np.testing.assert_array_equal(y, np.concatenate([one.run(None, {"x": image[None]})[0] for image in x]))


def test_rebatch_refuses_inputs_of_different_batch():
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [n, 2]) for name, n in (("a", 1), ("b", 2))]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", infos, infos[1:])
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        rebatch(helper.make_model(graph), 8)


def result(network: str, batch: int = 1, **milliseconds: float | None) -> dict[str, Any]:
    engines: dict[str, dict[str, Any]] = {}
    for name, ms in milliseconds.items():
        engines[name] = {"rounds": [], "cpu_share": [], "error": f"{name}: no"} if ms is None else \
            {"rounds": [[ms / 1e3] * 3] * 2, "cpu_share": [1.0, 1.0]}
    report.summarise(engines, batch)
    return {"network": network, "batch": batch, "threads": 1, "cpus": [1], "engines": engines}


FACTS = {"cpu": "a CPU", "date": "2026-11-21T00:00", "commit": "abc", "command": "bench",
         "versions": {"fastcnn": "0", "onnxruntime": "1", "ncnn": "2"}}


def test_table_best_peer_and_geometric_means():
    rows = [result("a", fastcnn=1.0, onnxruntime=2.0, ncnn=8.0), result("b", fastcnn=2.0, onnxruntime=4.0, ncnn=3.0),
            result("c", fastcnn=1.0, onnxruntime=2.0, ncnn=None)]
    lines = bench_report.table(FACTS, rows).splitlines()
    assert [line.split(" | ")[6] for line in lines[6:9]] == ["2.00 (onnxruntime)", "1.50 (ncnn)", "2.00 (onnxruntime)"]
    assert "| **2.00** | **3.46** | **1.82** |" in lines[9]        # sqrt(8 * 1.5), (2 * 1.5 * 2) ** (1 / 3)
    assert lines[-1] == "c: ncnn: no"
    assert rows[0]["engines"]["fastcnn"]["images_per_second"] == pytest.approx(1000)


def test_table_batches_have_a_time_per_image():
    text = bench_report.table(FACTS, [result("a", n, fastcnn=2.0 * n, onnxruntime=4.0) for n in (1, 8)])
    assert "| a | 8 | 2 | 16 (16-16) |" in text
    assert result("a", 8, fastcnn=16.0)["engines"]["fastcnn"]["images_per_second"] == pytest.approx(500)


def test_report_reads_several_files_of_one_machine(tmp_path):
    files = [tmp_path / f"{name}.json" for name in "abc"]
    for file, cpu in zip(files, ("a CPU", "a CPU", "another"), strict=True):
        file.write_text(json.dumps({"machine": {**FACTS, "cpu": cpu}, "results": [result(file.stem, fastcnn=1.0)]}))
    assert [row["network"] for row in report.read(files[:2])[1]] == ["a", "b"]
    with pytest.raises(ValueError, match="cpu is 'another'"):
        report.read(files)


@pytest.mark.parametrize("peers", [{"onnxruntime": 2.0, "ncnn": 8.0}, {}], ids=["ratios", "alone"])
def test_plot_writes_a_picture(tmp_path, capsys, peers):
    pytest.importorskip("matplotlib")
    file = tmp_path / "r.json"
    rows = [result("a", fastcnn=1.0, **peers), result("b", 8, fastcnn=2.0, **dict.fromkeys(peers))]
    file.write_text(json.dumps({"machine": FACTS, "results": rows}))
    bench_report.main([str(file), "--plot", str(tmp_path / "r.png")])
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG") and "| a |" in capsys.readouterr().out


def test_models_python_option_is_checked():
    with pytest.raises(SystemExit, match="ENGINE=PATH"):
        bench_models.read_pythons(["ncnn"])
    assert bench_models.read_pythons(["ncnn=/a=b"]) == {"ncnn": "/a=b"}


def test_models_disturbed_turns_are_taken_again():
    class Busy:
        def __init__(self, *shares: float):
            self.turns = [([share], share) for share in shares]

        def time(self, seconds: float, warmup: float) -> tuple[list[float], float]:
            return self.turns.pop(0)

    twice = Settings(again=2)
    assert session.undisturbed(Busy(0.5, 0.99, 1.0), 1, twice) == ([0.99], 0.99)
    assert session.undisturbed(Busy(0.5, 0.7, 0.6, 1.0), 1, twice) == ([0.7], 0.7)
    assert session.undisturbed(Busy(1.2, 2.0), 2, twice) == ([1.2], 0.6)


def test_report_writes_a_section_in_the_place_of_the_one_before(tmp_path, monkeypatch):
    file, target = tmp_path / "r.json", tmp_path / "RESULTS.md"
    file.write_text(json.dumps({"machine": FACTS, "results": [result("a", 1, fastcnn=2.0, onnxruntime=4.0)]}))
    target.write_text("# Results\nIntroduction.\n\n## Here\nold\n\n## There\nkept\n")
    monkeypatch.setattr(bench_report, "RESULTS", target)
    bench_report.main([str(file), "--write", "Here"])
    bench_report.main([str(file), "--write", "Elsewhere"])
    text = target.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Results", "## Here", "## There", "## Elsewhere"]
    assert "old" not in text and "kept" in text and text.count("| a |") == 2


# ---- load ----


class Clock:
    """Time that passes only in runs and in sleep."""

    def __init__(self, *takes: float):
        self.now, self.takes = 100.0, list(takes)

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> None:
        self.now += self.takes.pop(0)


def test_server_counts_from_the_arrival_and_queries_wait_in_a_line():
    clock = Clock(3.0, 1.0, 1.0)
    latencies = served(clock.run, [1.0, 2.0, 9.0], clock, clock.sleep)
    assert latencies == pytest.approx([3.0, 3.0, 1.0], abs=5e-3)         # the second waits for two seconds, the third for nobody


def test_arrivals_are_the_same_for_every_engine_and_come_at_the_rate():
    times = scenarios.arrivals(50.0, 40.0)
    assert times == scenarios.arrivals(50.0, 40.0) and len(times) == 2000 and times == sorted(times)
    assert times[-1] == pytest.approx(40.0, rel=0.1)
    assert len(scenarios.arrivals(1.0, 2.0)) == scenarios.LEAST


def test_highest_rate_is_the_last_within_the_limit():
    def trial(rate: float) -> list[float]:
        return [0.01 if rate <= 60 else 1.0] * 100

    rate, latencies = scenarios.highest_rate(trial, 0.01, 0.015)
    assert 60 * 0.96 < rate <= 60 and latencies[0] == 0.01
    assert scenarios.highest_rate(trial, 0.02, 0.015)[0] == 0.0, "a query alone takes longer than the limit"


def test_contenders_run_the_precisions_that_they_have():
    labels = [rival.label for rival in contenders(["openvino", "onnxruntime"], ["fp32", "bf16", "strict"])]
    assert labels == ["fastcnn", "fastcnn bf16", "fastcnn strict", "openvino", "openvino bf16", "onnxruntime"]
    assert [rival.label for rival in contenders(["onnxruntime", "ncnn"], ["int8"])] == ["fastcnn int8", "onnxruntime int8", "ncnn"]
    with pytest.raises(fastcnn.ConfigurationError, match="int4"):
        contenders([], ["int4"])
    with pytest.raises(fastcnn.ConfigurationError, match="unknown engine 'nothing'"):
        contenders(["nothing"], ["float32"])


def test_report_has_a_row_an_engine_with_all_figures():
    row = result("a", fastcnn=1.0, onnxruntime=2.0, ncnn=None)
    for entry in row["engines"].values():
        entry |= {"load_seconds": 0.5, "first_seconds": 0.001, "peak_bytes": 3_000_000, "difference": 1e-6}
    cells = report.detailed([row])
    assert cells[1] == ["a", "1", "1", "onnxruntime", *["2"] * 4, "500", "500", "1", "3", "1.0e-06", "2.00"]
    assert cells[2][:5] == ["a", "1", "1", "ncnn", "failed"]
    text = report.markdown(FACTS, report.COLUMNS, cells, report.remarks([row]))
    assert "a CPU" in text and "| a | 1 | 1 | fastcnn |" in text and text.endswith("a: ncnn: no\n")
    row["engines"]["onnxruntime"]["cpu_share"] = [0.4]
    assert "40% of its CPU" in report.remarks([row])[0]
