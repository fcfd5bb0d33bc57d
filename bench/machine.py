"""What a result has to say about where it came from."""
from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.engines import ENGINES


def cpu_model() -> str:
    """The processor's name, and its numbers where the name says little."""
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
    """The commit of this tree, with + when files differ from it."""
    try:
        return _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def describe(engines: Sequence[str], threads: int, cpus: Iterable[int]) -> dict[str, Any]:
    """Machine, date, versions (of engines in this process), commit, command, load."""
    import fastcnn

    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "fastcnn_cpu_info": fastcnn.cpu_info(),
        "cpus": list(cpus),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: fastcnn.__version__ if name == "fastcnn" else ENGINES[name].version() for name in engines},
        "settings": {name: ENGINES[name].settings for name in engines},
        "commit": commit(),
        "command": " ".join([Path(sys.executable).name, "-m", *(_module(sys.argv[0]), *sys.argv[1:])]),
    }


def _module(path: str) -> str:
    parts = list(Path(path).with_suffix("").parts)
    return ".".join(parts[parts.index("bench"):]).removesuffix(".__main__") if "bench" in parts else path
