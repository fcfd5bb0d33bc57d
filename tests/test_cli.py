"""The command `fastcnn` from its entry point: what it prints, its exit codes, what it imports."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn_cli

pytest.importorskip("click", reason="the command line needs click: pip install 'fastcnn[cli]'")
pytest.importorskip("rich", reason="the command line needs rich: pip install 'fastcnn[cli]'")
ROOT = Path(__file__).parent.parent
DIGITS = str(ROOT / "models" / "trained" / "digits.onnx")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and error."""
    code = fastcnn_cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", list(fastcnn_cli.COMMANDS))
def test_cli_every_command_has_help(capsys, name):
    code, out, err = run(capsys, name, "--help")
    assert code == 0 and not err and f"Usage: fastcnn {name}" in out


def test_cli_help_imports_neither_the_package_nor_numpy():
    """It takes 100 ms at most so."""
    program = ("import sys, fastcnn_cli; code = fastcnn_cli.main(['--help']);"
               "sys.exit(code or any(name in sys.modules for name in ('fastcnn', 'numpy', 'onnx', 'rich.table')))")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in fastcnn_cli.COMMANDS)


@pytest.mark.parametrize("arguments, words", [
    (["nonsense"], "No such command 'nonsense'"),
    (["summary"], "Missing argument 'MODEL'"),
    (["summary", "missing.onnx"], "'missing.onnx' cannot be read"),
    (["summary", DIGITS, "--shape", "1x9"], "input 'image': shape [1, 9] does not fit"),
    (["summary", DIGITS, "--shape", "axb"], "--shape axb: expected numbers such as 1x3x224x224"),
    (["summary", DIGITS, "--threads", "0"], "Invalid value for '--threads'"),
])
def test_cli_errors_are_one_sentence_and_exit_code_2(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and not out
    assert err.startswith("fastcnn: ") and err.count("\n") == 1 and words in err


def test_cli_without_its_libraries_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    assert run(capsys, "--help") == (2, "", f"fastcnn: {fastcnn_cli.EXTRA}\n")


def test_cli_as_a_module():
    done = subprocess.run([sys.executable, "-m", "fastcnn", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fastcnn ")


def test_cli_summary(capsys):
    code, out, _ = run(capsys, "summary", DIGITS, "--object", "40")
    assert code == 0 and "Conv + BatchNormalization + Relu" in out and "parameters 67,754" in out


def test_cli_summary_json(capsys):
    code, out, _ = run(capsys, "summary", DIGITS, "--shape", "image=3x1x8x8", "--json")
    found = json.loads(out)
    assert code == 0 and found["inputs"] == {"image": [3, 1, 8, 8]} and found["layers"][0]["shape"] == [3, 32, 8, 8]
