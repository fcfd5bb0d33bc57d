"""What make test runs: every instruction set and other processors, all to their end, and every failure is told."""
from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import every_run
import pytest

from fastcnn import _native
from fastcnn.machine.current import named
from fastcnn.machine.table import machine_of


def test_runs_cover_the_instruction_sets_and_other_processors(tmp_path: Path) -> None:
    listed = every_run.runs(tmp_path)
    assert {run.environment.get("FASTCNN_ISA") for run in listed} == {*_native.isas()[:-1], _native.levels()[-1], None}
    assert "FASTCNN_TEST_REPEAT" not in listed[0].environment and all("FASTCNN_TEST_REPEAT" in run.environment for run in listed[1:])
    others = [named(run.environment["FASTCNN_MACHINE"]) for run in listed if "FASTCNN_MACHINE" in run.environment]
    assert len({machine.name for machine in others} - {machine_of(_native.cpu()).name}) == 3
    assert min(machine.l2_bytes for machine in others) < 2 ** 18 < max(machine.l2_bytes for machine in others)


def test_a_run_that_fails_stops_no_other_and_is_told_last(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def execute(run: every_run.Run, arguments: list[str]) -> every_run.Run:
        assert arguments == ["-k", "any"]
        if "planned" in run.name:
            return replace(run, status=1, output="...\nFAILED tests/test_x.py::y - oh\n= 1 failed =")
        return replace(run, output="...\n= 5 passed in 1 s =")

    monkeypatch.setattr(every_run, "execute", execute)
    assert every_run.main(["--jobs", "2", "-k", "any"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("5 passed in 1 s") == len(_native.isas())
    told = [part.splitlines() for part in printed.split("\n\n")[-3:]]
    assert all(lines[0].endswith(": 1 failed") and lines[1] == "FAILED tests/test_x.py::y - oh" for lines in told)
    monkeypatch.setattr(every_run, "execute", lambda run, arguments: run)
    assert every_run.main([]) == 0


@pytest.mark.parametrize("repeat, kept", [("isa", False), ("plans", True)])
def test_repeated_runs_take_what_depends_on_them(repeat: str, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCNN_TEST_REPEAT", repeat)
    files = ["tests/test_machine.py", "tests/test_fusions_matmul_chain.py", "tests/test_tensor.py"]
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", *files], cwd=every_run.ROOT,
                          capture_output=True, text=True)
    assert ("test_products_in_blocks_of_rows" in done.stdout) == kept           # goes through the instruction sets by itself
    assert "test_tensor.py" not in done.stdout and ("test_machine.py" in done.stdout) != kept and "test_blocks_are_alike" in done.stdout
