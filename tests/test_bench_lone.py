"""Single operators beside onnxruntime: every case is native and right, and one below its bar is an error."""
from __future__ import annotations

import numpy as np
import pytest

from bench import lone
from bench.kinds import Net


@pytest.mark.parametrize("name", lone.CASES)
def test_case_is_native_and_agrees_with_onnxruntime(name):
    made = lone.CASES[name][0]()
    ours, peer = lone.measure(made.model() if isinstance(made, Net) else made, 0.0)
    assert ours == peer == float("inf"), "no time, no turn"


def test_other_numbers_are_an_error(monkeypatch, capsys):
    monkeypatch.setattr(lone, "TOLERANCE", -1.0)
    assert lone.main(["depthwise 7, 256", "--seconds", "0"]) == 1
    assert "other numbers" in capsys.readouterr().out


@pytest.mark.parametrize("ours, status", [(1.0, 0), (1.1, 1)])
def test_below_the_bar_exits_with_1(monkeypatch, capsys, ours, status):
    monkeypatch.setattr(lone, "measure", lambda model, seconds: (ours, 1.0))
    assert lone.main(["Loop of 50"]) == status
    assert f"{status} of 1 below" in capsys.readouterr().out


def test_difference_is_infinite_between_shapes_and_types():
    a = np.ones(3, np.float32)
    assert lone.difference(a, a) == 0.0
    assert lone.difference(a, a[:2]) == lone.difference(a, a.astype(np.float64)) == float("inf")


def test_table_goes_into_a_section_of_the_results(monkeypatch, tmp_path):
    monkeypatch.setattr(lone, "measure", lambda model, seconds: (1.0, 2.0))
    monkeypatch.setattr(lone.report, "RESULTS", tmp_path / "RESULTS.md")
    assert lone.main(["Loop of 50", "--write", "Lone layers"]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.startswith("## Lone layers\n") and "| Loop of 50 cells of 64 | 1 | 2 | 2.00 | 1.0 |" in text
    assert text.endswith("0 of 1 below their bar\n")
