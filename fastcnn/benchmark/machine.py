"""The provenance of a result: processor, versions, commit, command."""
from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastcnn.benchmark.worker.engines import ENGINES
from fastcnn.cpu import cpu_info
from fastcnn.version import __version__

TOP = Path(__file__).parent.parent.parent


def cpu_model() -> str:
    """The processor's name, family and model number."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine()
    name, family, number = (facts.get(key, "?") for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family} model {number})"


def commit() -> str | None:
    """The commit of this tree, with + where files differ from it; None outside of a clone."""
    try:
        if not (TOP / ".git").exists():
            return None
        return _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def describe(engines: Sequence[str] = ("fastcnn",), **more: Any) -> dict[str, Any]:
    """A dict of date, machine, load, installed versions and settings of the engines, commit and command, and `more`."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "fastcnn_cpu_info": cpu_info(),
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: __version__ if name == "fastcnn" else ENGINES[name].version() for name in engines},
        "settings": {name: ENGINES[name].settings for name in engines},
        "commit": commit(),
        "command": command_line(),
        **more,
    }


def command_line() -> str:
    """The command line: `fastcnn ...`, or `python -m bench. ...`."""
    path = Path(sys.argv[0])
    if path.stem in ("fastcnn", "fastcnn_cli") or path.parts[-2:] == ("fastcnn", "__main__.py"):
        return " ".join(["fastcnn", *sys.argv[1:]])
    parts = list(path.with_suffix("").parts)
    name = ".".join(parts[parts.index("bench"):]).removesuffix(".__main__") if "bench" in parts else str(path)
    return " ".join([Path(sys.executable).name, "-m", name, *sys.argv[1:]])
