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
        assert set(figures) == {"peak", *start.PHASES, *(phase + start.CPU for phase in start.PHASES)}
        assert all(value > 0 for value in figures.values()) and figures["peak"] > 10e6
    assert capsys.readouterr().out.count("| relu |") == 2


def test_start_failure_has_the_last_words():
    with pytest.raises(RuntimeError, match=r"fastcnn nowhere\.onnx: .*nowhere"):
        start.measure("fastcnn", "nowhere.onnx", 1, [])


def figures(load: float = 0.1, peak: float = 50e6) -> dict[str, float]:
    phases = {"import": 0.1, "load": load, "first run": 0.1, "second run": 0.1}
    return {"peak": peak, **phases, **{name + start.CPU: 2 * value for name, value in phases.items()}}


def test_start_medians_and_sums():
    summary = start.summarise([figures(k) for k in (1.0, 2.0, 9.0)])
    assert summary == pytest.approx({**figures(2.0), "loaded": 2.1, "answer": 2.2, "loaded cpu": 4.2, "answer cpu": 4.4})


@pytest.mark.parametrize("clock, cells", [
    ("", "100 / 300 (3.00) | 200 / 400 (2.00) | 300 / 500 (1.67) | 50 / 100 (0.50) |"),
    (start.CPU, "200 / 600 (3.00) | 400 / 800 (2.00) | 600 / 1000 (1.67) | 50 / 100 (0.50) |")])
def test_start_brief_table_has_a_line_a_network_the_means_and_the_sums(clock, cells):
    engines = {"fastcnn": [figures()], "onnxruntime": [figures(0.3, 100e6)]}
    for path in ("a/net.onnx", "net/model.onnx"):
        lines = start.brief_table({path: engines}, clock).splitlines()
        assert lines[2:] == [f"| net | {cells}", "| geometric mean | 3.00 | 2.00 | 1.67 | 0.50 |", f"| sum | {cells}"]


def test_start_bar_is_the_sum_of_loads(tmp_path, monkeypatch, capsys):
    for name in "ab":
        (tmp_path / f"{name}.onnx").touch()
    loads = {("fastcnn", "a"): 1.0, ("fastcnn", "b"): 0.1, ("onnxruntime", "a"): 0.5, ("onnxruntime", "b"): 0.5}
    monkeypatch.setattr(start, "measure", lambda engine, model, *_: figures(loads[engine, model[-6]]))
    assert [start.main([str(tmp_path), "--brief", "--cpu", "--bar", bar]) for bar in ("1.0", "1.2")] == [1, 0]
    assert capsys.readouterr().out.count("| sum | 2200 / 2000 (0.91) |") == 2
