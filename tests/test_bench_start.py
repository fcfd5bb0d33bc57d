"""bench.start: fresh processes of both engines, medians, the table."""
from __future__ import annotations

import json

import onnx
import pytest
from onnx import helper

from bench import start


@pytest.fixture
def relu(tmp_path) -> str:
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(tmp_path / "relu.onnx"))
    return str(tmp_path / "relu.onnx")


def test_start_main_measures_both_engines(relu, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    assert start.main([relu, "--rounds", "1", "--json", str(tmp_path / "out.json")]) == 0
    engines = json.loads((tmp_path / "out.json").read_text())["results"][relu]
    for figures, in engines.values():
        assert set(figures) == {*start.PHASES, "peak"}
        assert all(value > 0 for value in figures.values()) and figures["peak"] > 10e6
    assert capsys.readouterr().out.count("| relu |") == 2


def test_start_failure_has_the_last_words():
    with pytest.raises(RuntimeError, match=r"fastcnn nowhere\.onnx: .*nowhere"):
        start.measure("fastcnn", "nowhere.onnx", 1, [])


def test_start_medians_and_sums():
    processes = [{"import": 1.0, "load": k, "first run": 2.0, "second run": 1.0, "peak": 5.0} for k in (1.0, 2.0, 9.0)]
    assert start.summarise(processes) == {"import": 1.0, "load": 2.0, "first run": 2.0, "second run": 1.0, "peak": 5.0,
                                          "loaded": 4.0, "answer": 5.0}


def test_start_brief_table_has_a_line_a_network_and_the_means():
    ours = {"import": 0.1, "load": 0.1, "first run": 0.1, "second run": 0.1, "peak": 50e6}
    theirs = {**ours, "load": 0.3, "peak": 100e6}
    lines = start.brief_table({"a/net.onnx": {"fastcnn": [ours], "onnxruntime": [theirs]}}).splitlines()
    assert lines[2] == "| net | 100 / 300 (3.00) | 200 / 400 (2.00) | 300 / 500 (1.67) | 50 / 100 (0.50) |"
    assert lines[3] == "| geometric mean | 3.00 | 2.00 | 1.67 | 0.50 |"
