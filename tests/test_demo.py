"""`make demo` from beginning to end, the measurement cut short."""
from __future__ import annotations

import pytest

for module in ("rich", "PIL", "sklearn", "skimage", "onnxruntime", "tqdm"):
    pytest.importorskip(module, reason="the demo needs the [demo] extra")

from bench import demo  # noqa: E402


def test_demo_runs_to_its_summary(tmp_path, capsys):
    assert demo.main(["--rounds", "1", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "450 of 450 held-out images right" in printed and "Summary" in printed
    assert all(f"{network}, 1 thread: fastcnn" in printed for network in demo.NETWORKS)
    assert (tmp_path / "flower_x2.png").stat().st_size > 100_000
