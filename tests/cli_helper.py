"""The command `fastcnn` in tests: runs it, and the models that it is run with."""
from __future__ import annotations

from pathlib import Path

import pytest

import fastcnn_cli

ROOT = Path(__file__).parent.parent
DIGITS, SUPERRES = (str(ROOT / "models" / "trained" / f"{name}.onnx") for name in ("digits", "superres"))
QUICK = ("--rounds", "1", "--runs", "3", "--warmup", "0", "--pause", "0")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and error."""
    code = fastcnn_cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err
