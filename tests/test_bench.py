"""The benchmark harness on the smallest networks: it runs, compares outputs, marks the pick and writes what it found."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from conv_step import assert_alike
from graph_helper import model
from onnx import helper
from quantized_models import SEVEN_BITS

import models
from bench import models as bench_models
from bench.layers import FOLDER, extract, fit, picks, read_layers
from bench.layers import __main__ as bench_layers
from fastcnn import _native
from fastcnn.benchmark import report
from fastcnn.benchmark.worker import engines
from fastcnn.convolve import ladder
from fastcnn.convolve.ladder import candidates, choose, name_of
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.errors import ConfigurationError
from fastcnn.machine.current import using
from fastcnn.machine.table import ROWS
from fastcnn.precision import scales
from fastcnn.tune.trial import Trials


@pytest.mark.parametrize("network", sorted(file.stem for file in FOLDER.glob("*.txt")
                                               if file.stem in models.NETWORKS and models.NETWORKS[file.stem].macs))
def test_layers_add_up_to_the_network(network):
    macs = sum(layer.count * layer.shape().macs for layer in read_layers(network))
    assert macs == pytest.approx(models.NETWORKS[network].macs, rel=0.02)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.stem)
def test_layers_lines_are_as_they_would_be_written(file):
    assert extract.text(file.stem, read_layers(file)) == file.read_text()


def test_layers_bad_line_names_file_and_line(tmp_path):
    file = tmp_path / "bad.txt"
    file.write_text("# comment\nconv1 3 224\n")
    with pytest.raises(ValueError, match=r"bad\.txt:2"):
        read_layers(file)


def test_extract_counts_equal_layers_and_keeps_uneven_ones(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "/block/block.0/conv1/Conv", pads=[1, 1, 1, 1]),
             helper.make_node("Conv", ["a", "w"], ["b"], "/block/block.1/conv1/Conv", pads=[1, 1, 1, 1]),
             helper.make_node("Conv", ["b", "v"], ["y"], "/last/Conv", pads=[0, 3, 0, 2], strides=[2, 1], dilations=[1, 2], group=2)]
    weights = {"w": np.ones((4, 4, 3, 3), np.float32), "v": np.ones((6, 2, 1, 4), np.float32)}
    file = tmp_path / "net.onnx"
    file.write_bytes(model(nodes, {"x": ["n", 4, 9, 8]}, ["y"], weights).SerializeToString())
    assert extract.main([str(file), "--folder", str(tmp_path)]) == 0
    first, last = read_layers(tmp_path / "net.txt")
    assert (first.name, first.count, first.pad) == ("block.0.conv1", 2, (1, 1, 1, 1))
    assert last.shape() == ConvShape(1, 2, 2, 3, 1, 4, 2, 1, 1, 2, 0, 3, 9, 8, 5, 7)


SHAPES = [
    ConvShape(1, 1, 20, 37, 3, 3, 1, 1, 1, 1, 1, 1, 10, 9, 10, 9),
    ConvShape(2, 1, 24, 33, 1, 1, 1, 1, 1, 1, 0, 0, 7, 5, 7, 5),
    ConvShape(1, 4, 6, 5, 3, 3, 2, 2, 1, 1, 1, 1, 9, 9, 5, 5),
    ConvShape(1, 19, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 8, 7, 8, 7),
    ConvShape(1, 1, 16, 20, 3, 3, 1, 1, 2, 2, 2, 2, 8, 6, 8, 6),
]


@pytest.mark.parametrize("shape", SHAPES, ids=["dense", "pointwise", "grouped", "depthwise", "dilated"])
@pytest.mark.parametrize("threads", [1, 2])
def test_layers_candidates_all_compute_the_same(isa, shape, threads):
    places = own_places(shape)
    listed = candidates(Problem(shape, places, threads))
    assert name_of(choose(Problem(shape, places, threads)), listed) in listed
    trials = Trials(Problem(shape, places, threads), listed)
    assert_alike(trials, 2e-5)


def test_layers_main_marks_the_pick_and_writes_times(tmp_path, capsys):
    file, out = tmp_path / "tiny.txt", tmp_path / "out.json"
    file.write_text("tiny 16 8 8 16 3 3 1 1 1 1 2  # 8x8\n")
    assert bench_layers.main([str(file), "--rounds", "1", "--top", "100", "--json", str(out), "--cold"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("<--") == 1 and "Winograd m2" in printed and "GFLOP/s" in printed
    row, = json.loads(out.read_text())["results"]
    assert row["best_ms"] <= row["pick_ms"] == row["ms"][row["pick"]]


class Scripted:
    """Trials that take the milliseconds of a script: the first time asked, and after that."""

    script: ClassVar[dict[str, tuple[float, float]]] = {}
    asked: ClassVar[list[set[str]]] = []

    def __init__(self, problem, listed, eviction, shift=0):
        self.names, self.first = list(listed), shift == 0

    def times(self, rounds, names=None):
        self.asked.append(set(names or self.names))
        return {name: 1e-3 * self.script.get(name, (9.0, 9.0))[not self.first] for name in names or self.names}


@pytest.mark.parametrize("pick, winner, status, said", [
    ((1.0, 1.0), (2.0, 2.0), 0, "100.0% of the picks"),         # the pick is the fastest
    ((2.0, 1.01), (1.0, 1.0), 0, "mean regret 1.00%"),          # what was faster had luck
    ((2.0, 0.9), (1.0, 1.0), 0, "mean regret -10.00%"),
    ((1.05, 1.05), (1.0, 1.0), 1, "mean regret 5.00%"),         # good, but not on average
    ((2.0, 1.2), (1.0, 1.0), 1, "0.0% of the picks"),
])
def test_picks_are_held_against_fresh_times_of_the_winner(monkeypatch, capsys, tmp_path, pick, winner, status, said):
    layer, = [layer for layer in read_layers("resnet50") if "layer2.1.conv2" in str(layer)]
    places = own_places(layer.shape())
    listed = candidates(Problem(layer.shape(), places, 1))
    name = name_of(choose(Problem(layer.shape(), places, 1)), listed)
    other = next(other for other in listed if other != name)
    monkeypatch.setattr(Scripted, "script", {name: pick, other: winner})
    monkeypatch.setattr(Scripted, "asked", [])
    monkeypatch.setattr(picks, "Trials", Scripted)
    monkeypatch.setattr(picks, "Eviction", lambda threads: None)
    out = tmp_path / "out.json"
    assert picks.main(["resnet50", "--only", "layer2.1.conv2", "--json", str(out)]) == status
    printed = capsys.readouterr().out
    assert said in printed and "1 layers (0 too small to count)" in printed
    assert Scripted.asked[0] == set(listed) and {name, other} <= Scripted.asked[1]
    assert Scripted.asked[2:] == ([{name, other}] if winner[0] < pick[0] else [])
    row, = json.loads(out.read_text())["results"]
    assert row["pick"] == name and row["ms"][name] == pytest.approx(pick[0])
    assert row["regret"] == pytest.approx(pick[1] / winner[1] - 1 if winner[0] < pick[0] else 0)


def test_picks_too_small_to_time_are_left_out(monkeypatch, capsys):
    monkeypatch.setattr(picks, "Trials", Scripted)
    monkeypatch.setattr(picks, "Eviction", lambda threads: None)
    assert picks.main(["regnet_y_1_6gf", "--only", "block1-1.f.se.fc"]) == 0
    assert "2 too small to count" in capsys.readouterr().out


@pytest.mark.skipif(_native.vector_length() == 1, reason="scalar kernels are so slow that few picks depend on the numbers")
def test_fit_finds_the_numbers_that_made_the_times(tmp_path, capsys):
    """Times of the cost model itself, with the numbers of one machine; the search begins at another's."""
    row = ROWS["sapphire_rapids"]
    rows, there = [], replace(row, wide=replace(row.wide, products=6.0), narrow=replace(row.narrow, products=6.0))
    with using(there):
        for layer in [*read_layers("resnet18"), *read_layers("googlenet")][:40]:
            listed = candidates(Problem(layer.shape(), own_places(layer.shape()), 1))
            ms = {name: ladder.cycles(picked, 1) for name, picked in listed.items()}
            rows.append({"network": "any", "layer": str(layer), "line": layer.line(), "ms": ms})
    (tmp_path / "picks.json").write_text(json.dumps({"isa": _native.current_isa(), "results": rows}))
    assert fit.main([str(tmp_path / "picks.json"), "--machine", "sapphire_rapids", "--numbers", "wide.products,narrow.products"]) == 0
    printed = capsys.readouterr().out.splitlines()
    better = [line for line in printed if ".products " in line]
    before, after = (float(line.split("regret ")[1].rstrip("%")) for line in (printed[0], better[-1]))
    assert after < before / 2


def test_models_main_compares_and_times_lenet5(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "result.json"
    assert bench_models.main(["lenet5", "--rounds", "2", "--seconds", "0.02", "--warmup", "0", "--pause", "0", "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    entries = written["results"][0]["engines"]
    assert entries["onnxruntime"]["difference"] < 1e-4
    assert len(entries["onnxruntime"]["rounds"]) == 2
    assert entries["onnxruntime"]["ratio"] == pytest.approx(entries["onnxruntime"]["median_ms"] / entries["fastcnn"]["median_ms"])
    assert {"date", "cpu", "versions", "command", "settings", "commit"} <= written["machine"].keys()
    assert "| lenet5 |" in capsys.readouterr().out


def test_models_main_measures_precisions_side_by_side(tmp_path, capsys, monkeypatch):
    """All engines run the same network in 8 bits; those without the other precision run their own."""
    monkeypatch.setattr(scales, "LARGEST", SEVEN_BITS)
    pytest.importorskip("onnxruntime")
    out = tmp_path / "result.json"
    quick = ["--rounds", "1", "--seconds", "0.02", "--warmup", "0", "--pause", "0"]
    assert bench_models.main(["lenet5", "--precision", "int8,weights-bf16", *quick, "--json", str(out)]) == 0
    entries = json.loads(out.read_text())["results"][0]["engines"]
    assert list(entries) == ["fastcnn int8", "fastcnn weights-bf16", "onnxruntime int8"]
    assert entries["onnxruntime int8"]["difference"] < 0.05
    assert f"| {entries['onnxruntime int8']['difference']:.1e} |" in capsys.readouterr().out


def test_models_unknown_network_or_engine_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="neither a network"):
        bench_models.found_networks(["resnet51"], tmp_path)
    with pytest.raises(ConfigurationError, match="unknown engine"):
        bench_models.main(["lenet5", "--against", "nothing"])


def test_models_folder_means_the_files_in_it(tmp_path):
    for name in ("b.onnx", "a.onnx", "c.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in bench_models.found_networks([str(tmp_path)], tmp_path)] == ["a.onnx", "b.onnx"]


def test_models_difference_is_relative_to_the_largest_value():
    assert report.difference([np.array([1.0, 10.0])], [np.array([1.5, 10.0])]) == pytest.approx(0.05)
    assert report.difference([np.array([np.nan])], [np.array([1.0])]) == float("inf")
    assert report.difference([np.zeros(2)], [np.zeros(3)]) == float("inf")
    assert report.difference([], [np.zeros(3)]) == float("inf")


def test_engines_versions_are_none_when_missing():
    assert engines.Engine(engines.load_fastcnn, ("no-such-package-at-all",), (), "").version() is None
