"""`fastcnn bench` from its entry point: what is measured, in which engines, what it prints."""
from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from cli_helper import DIGITS, QUICK, SUPERRES, run
from quantized_models import SEVEN_BITS

from fastcnn.precision import scales

pytest.importorskip("click", reason="the command line needs click: pip install 'fastcnn[cli]'")
pytest.importorskip("rich", reason="the command line needs rich: pip install 'fastcnn[cli]'")


def test_cli_bench_measures_all_that_it_should(capsys):
    code, out, err = run(capsys, "bench", "-m", DIGITS, "--against", "onnxruntime", "--batch", "1,3", "--precision", "float32,strict",
                         "--json", *QUICK)
    assert code == 0, err
    found = json.loads(out)
    assert {"cpu", "versions", "settings", "fastcnn_cpu_info", "command"} <= found["machine"].keys()
    assert [(row["batch"], row["threads"], list(row["engines"])) for row in found["results"]] == [
        (n, 1, ["fastcnn", "fastcnn strict", "onnxruntime"]) for n in (1, 3)]
    for row in found["results"]:
        for entry in row["engines"].values():
            assert len(entry["rounds"]) == 1 and entry["runs"] == 3
            assert entry["min_ms"] <= entry["median_ms"] <= entry["p90_ms"] <= entry["p99_ms"]
            assert entry["images_per_second"] == pytest.approx(1e3 * row["batch"] / entry["median_ms"])
            assert entry["load_seconds"] > 0 and entry["first_seconds"] > 0 and entry.get("difference", 0) < 1e-5


def test_cli_bench_quantises_the_network_for_every_engine_that_runs_bytes(capsys, monkeypatch):
    monkeypatch.setattr(scales, "LARGEST", SEVEN_BITS)
    code, out, err = run(capsys, "bench", SUPERRES, "--against", "onnxruntime", "--precision", "float32,int8", "--shape", "1x1x24x24",
                         "--json", *QUICK)
    assert code == 0, err
    row, = json.loads(out)["results"]
    assert list(row["engines"]) == ["fastcnn", "fastcnn int8", "onnxruntime", "onnxruntime int8"]
    differences = {label: entry.get("difference", 0.0) for label, entry in row["engines"].items()}
    assert differences["onnxruntime"] < 1e-5 and all(1e-4 < differences[f"{engine} int8"] < 0.1 for engine in ("fastcnn", "onnxruntime"))


def test_cli_bench_table_markdown_and_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = run(capsys, "bench", DIGITS, "--against", "none", "--plot", str(tmp_path / "b.png"), *QUICK)
    assert code == 0 and "median ms" in out and "fastcnn" in out, err
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(capsys, "bench", DIGITS, "--against", "none", "--markdown", "-x", "1", "-b", "2", "-shape", "[2,1,8,8]", "-d",
                       "CPU", *QUICK)
    assert code == 0 and "| digits | 2 | 1 | fastcnn |" in out


@pytest.mark.parametrize("scenario, words", [("single-stream", "p90"), ("server", "queries/s"), ("offline", "images/s")])
def test_cli_bench_scenarios(capsys, scenario, words):
    code, out, err = run(capsys, "bench", DIGITS, "--against", "none", "--scenario", scenario, "--rate", "1000", "--limit-ms", "1000",
                         *QUICK, "-t", "0.01")
    assert code == 0 and words in out, err


def test_cli_bench_tells_of_engines_that_fail(capsys, tmp_path):
    node = onnx.helper.make_node("Reshape", ["x", "shape"], ["y"])
    infos = [onnx.helper.make_tensor_value_info(name, 1, [None]) for name in "xy"]
    shape = onnx.numpy_helper.from_array(np.array([3]), "shape")
    graph = onnx.helper.make_graph([node], "g", infos[:1], infos[1:], [shape])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), str(tmp_path / "bad.onnx"))
    code, out, _ = run(capsys, "bench", str(tmp_path / "bad.onnx"), "--against", "onnxruntime", "--shape", "4", *QUICK)
    assert code == 0 and out.count("failed") == 2 and "bad: fastcnn: ShapeError: " in out and "bad: onnxruntime: " in out


@pytest.mark.parametrize("arguments, words", [
    ([], "Missing argument 'MODEL...'"),
    (["nothing.onnx"], "'nothing.onnx': no such file"),
    ([DIGITS, "--against", "nothing"], "unknown engine 'nothing'"),
    ([DIGITS, "--precision", "int4"], "precision 'int4': expected one of float32, bf16, strict, int8"),
    ([DIGITS, "--threads", "two"], "--threads two: expected numbers"),
    ([DIGITS, "--scenario", "server", "--plot", "x.png", "--rate", "9", *QUICK, "--against", "none"], "--plot draws latencies"),
    ([DIGITS, "--python", "torch"], "--python torch: expected ENGINE=PATH"),
])
def test_cli_bench_errors(capsys, arguments, words):
    code, _, err = run(capsys, "bench", *arguments)
    assert code == 2 and err.count("\n") == 1 and words in err
