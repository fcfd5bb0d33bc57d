"""figures(): what a command of bench measures in a process of its own."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def figures(what: str, module: str, *arguments: str) -> dict[str, Any]:
    """The JSON object that `python -m bench.MODULE ARGUMENTS` prints. Raises RuntimeError: what failed, and the last line of its errors."""
    done = subprocess.run([sys.executable, "-m", f"bench.{module}", *arguments], capture_output=True, text=True,
                          env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"})
    if done.returncode:
        raise RuntimeError(f"{what}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
