"""The benchmark harness on the smallest networks: it runs, compares outputs, marks the pick and writes what it found."""
from __future__ import annotations

import json

import numpy as np
import pytest

import models
from bench import engines
from bench import models as bench_models
from bench.layers import FOLDER, candidates, read_layers
from bench.layers import __main__ as bench_layers
from fastcnn.choice.conv import ConvShape


@pytest.mark.parametrize("network", sorted(file.stem for file in FOLDER.glob("*.txt")))
def test_layers_add_up_to_the_network(network):
    macs = sum(layer.count * layer.shape().macs for layer in read_layers(network))
    assert macs == pytest.approx(models.NETWORKS[network].macs, rel=0.02)


def test_layers_bad_line_names_file_and_line(tmp_path):
    file = tmp_path / "bad.txt"
    file.write_text("# comment\nconv1 3 224\n")
    with pytest.raises(ValueError, match=r"bad\.txt:2"):
        read_layers(file)


SHAPES = [
    ConvShape(1, 1, 20, 37, 3, 3, 1, 1, 1, 1, 1, 1, 10, 9, 10, 9),
    ConvShape(2, 1, 24, 33, 1, 1, 1, 1, 1, 1, 0, 0, 7, 5, 7, 5),
    ConvShape(1, 4, 6, 5, 3, 3, 2, 2, 1, 1, 1, 1, 9, 9, 5, 5),
    ConvShape(1, 19, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 8, 7, 8, 7),
]


@pytest.mark.parametrize("shape", SHAPES, ids=["dense", "pointwise", "grouped", "depthwise"])
def test_layers_candidates_all_compute_the_same(isa, shape):
    x, w = candidates.operands(shape)
    listed = candidates.with_pick(list(candidates.candidates(shape, 1)), candidates.pick(shape, 1))
    results = {}
    for name, choice in listed:
        bench = candidates.Bench(choice, shape, x, w, 1)
        bench.run()
        results[name] = bench.y.copy()
    first = next(iter(results.values()))
    assert first.any()
    for name, y in results.items():
        np.testing.assert_allclose(y, first, rtol=0, atol=2e-5, err_msg=name)


def test_layers_main_marks_the_pick_and_writes_times(tmp_path, capsys):
    file, out = tmp_path / "tiny.txt", tmp_path / "out.json"
    file.write_text("tiny 16 8 8 16 3 3 1 1 1 2  # 8x8\n")
    assert bench_layers.main([str(file), "--seconds", "0.001", "--rounds", "1", "--top", "100", "--json", str(out), "--cold"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("<--") == 1 and "winograd m2" in printed and "GFLOP/s" in printed
    row, = json.loads(out.read_text())["results"]
    assert row["best_ms"] <= row["pick_ms"] == row["ms"][row["pick"]]


def test_models_main_compares_and_times_lenet5(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "result.json"
    assert bench_models.main(["lenet5", "--rounds", "2", "--seconds", "0.02", "--warmup", "0", "--pause", "0", "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    entries = written["results"][0]["engines"]
    assert entries["fastcnn"]["difference"] < 1e-4
    assert len(entries["onnxruntime"]["rounds"]) == 2
    assert entries["onnxruntime"]["ratio"] == pytest.approx(entries["onnxruntime"]["median_ms"] / entries["fastcnn"]["median_ms"])
    assert {"date", "cpu", "versions", "command", "threads", "commit"} <= written["machine"].keys()
    assert "| lenet5 |" in capsys.readouterr().out


def test_models_unknown_network_or_engine_is_refused():
    with pytest.raises(SystemExit, match="neither a network"):
        bench_models.find_networks(["resnet51"])
    with pytest.raises(SystemExit, match="unknown engine"):
        bench_models.main(["lenet5", "--against", "nothing"])


def test_models_folder_means_the_files_in_it(tmp_path):
    for name in ("b.onnx", "a.onnx", "c.txt"):
        (tmp_path / name).touch()
    assert [name.rsplit("/", 1)[1] for name in bench_models.find_networks([str(tmp_path)])] == ["a.onnx", "b.onnx"]


def test_models_difference_is_relative_to_the_largest_value():
    assert bench_models.difference([np.array([1.0, 10.0])], [np.array([1.5, 10.0])]) == pytest.approx(0.05)
    assert bench_models.difference([np.array([np.nan])], [np.array([1.0])]) == float("inf")
    assert bench_models.difference([np.zeros(2)], [np.zeros(3)]) == float("inf")
    assert bench_models.difference([], [np.zeros(3)]) == float("inf")


def test_engines_versions_are_none_when_missing():
    assert engines.Engine(engines.load_fastcnn, "no-such-package-at-all", "").version() is None
