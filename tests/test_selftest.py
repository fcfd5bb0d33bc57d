"""Doctor's self-test: it reaches every kind of step, on every machine alike, and fails where a result is wrong."""
from __future__ import annotations

import numpy as np
import pytest

from fastcnn import _native
from fastcnn.machine.table import ROWS
from fastcnn.selftest import check, coverage, self_test


@pytest.mark.parametrize("row", ROWS)
def test_selftest_reaches_every_kind_of_step_whatever_the_machine(plan_for, row):
    """A step of the table without a network here fails; so does an excuse that is not needed."""
    plan_for(row)
    before = _native.current_isa()
    lines = self_test()
    assert not [line for line in lines if not line["ok"]]
    assert _native.current_isa() == before
    for level in coverage(lines):
        _native.set_isa(level["instruction_set"])
        excused = check.unreachable()
        _native.set_isa(before)
        assert level["not_tried"] == excused, level["instruction_set"]
        assert level["tried"] + len(excused) == level["of"] == len(_native.step_fields())


def test_selftest_names_a_step_that_nothing_reaches(monkeypatch):
    monkeypatch.setattr(check, "TABLES", check.TABLES[:1])
    for level in coverage(self_test()):
        assert level["not_tried"]["nms"] == "no network of the self-test reaches it"
        assert "softmax" not in level["not_tried"]


@pytest.mark.parametrize("changed", [lambda y: y * np.float32(1.001), lambda y: y + np.float32("nan"), lambda y: y[:, :1],
                                     lambda y: y > 0], ids=["a thousandth", "not a number", "shape", "type"])
def test_selftest_finds_what_is_wrong(monkeypatch, changed):
    run = check.Engine.run
    monkeypatch.setattr(check, "TABLES", check.TABLES[:1])
    monkeypatch.setattr(check.Engine, "run", lambda engine, feeds: [changed(y) for y in run(engine, feeds)])
    assert not any(line["ok"] for line in self_test())


@pytest.mark.parametrize("dtype, quanta, ok", [(np.uint8, 1, True), (np.uint8, 2, False), (np.int8, 2, False), (np.bool_, 1, False),
                                               (np.int64, 1, False)])
def test_selftest_allows_bytes_one_quantum(dtype, quanta, ok):
    wanted = np.array([1, 0, 100]).astype(dtype)
    got = np.array([1, quanta, 100]).astype(dtype)
    assert (check.difference(got, wanted) <= check.allowed(got, wanted)) is ok
    assert check.difference(wanted, wanted) == 0
