"""bench.operators: what counts as passed, wrong or refused, and the table."""
from __future__ import annotations

import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

from bench import operators

X = np.array([1, 2], np.float32)


def case(expected: np.ndarray = X) -> Any:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [helper.make_tensor_value_info("x", 1, [2])],
                              [helper.make_tensor_value_info("y", 1, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return SimpleNamespace(name="test_relu", model=model, data_sets=[([X], [expected])], rtol=1e-3, atol=1e-7)


def refuse(model: Any, inputs: Any) -> Any:
    raise RuntimeError("no such operator")


def sleep(model: Any, inputs: Any) -> Any:
    time.sleep(600)


@pytest.mark.parametrize("run, expected, result, why", [
    (operators.run_fastcnn, X, "native", ""),
    (operators.run_onnxruntime, X, "passed", ""),
    (operators.run_fastcnn, X + 1, "wrong", "Not equal"),
    (operators.run_fastcnn, X.astype(np.float64), "wrong", "float64"),
    (refuse, X, "refused", "RuntimeError: no such operator"),
], ids=["fastcnn", "onnxruntime", "value", "type", "refused"])
def test_judge(monkeypatch, run, expected, result, why):
    monkeypatch.setattr(operators, "CASE_SECONDS", 600)             # on a machine that others use too
    found, message = operators.judge(run, case(expected))
    assert found == result and why in message


def test_judge_stops_what_takes_too_long(monkeypatch):
    monkeypatch.setattr(operators, "CASE_SECONDS", 1)
    found, message = operators.judge(sleep, case())
    assert found == "refused" and "TimeoutError" in message


def test_bits_are_read_as_the_type_that_numpy_lacks():
    expected = X.astype(ml_dtypes.bfloat16)
    assert operators.typed(expected.view(np.uint16), expected).dtype == expected.dtype
    assert operators.typed(X, expected) is X


def test_table_adds_up():
    text = operators.table({"fastcnn": Counter(native=3, fallback=2, wrong=1), "onnxruntime": Counter(passed=4, refused=1, crash=1)})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert rows[0][1:] == ["6", "5", "3", "2", "1", "0", "0"]
    assert rows[1][1:] == ["6", "4", "", "", "0", "1", "1"]


def test_a_worker_that_dies_is_a_crash_and_the_next_goes_on(monkeypatch):
    script = ("import json, sys, os\nskip = int(sys.argv[sys.argv.index('--skip') + 1])\n"
              "for k in range(skip, 3):\n    print(json.dumps([str(k)]), flush=True)\n"
              "    os._exit(139) if k == 1 else print(json.dumps([str(k), 'passed', '']), flush=True)\n")
    popen = operators.subprocess.Popen
    monkeypatch.setattr(operators.subprocess, "Popen",
                        lambda command, **more: popen([command[0], "-c", script, *command[3:]], **more))
    assert [row[:2] for row in operators.results_of("onnxruntime")] == [("0", "passed"), ("1", "crash"), ("2", "passed")]
