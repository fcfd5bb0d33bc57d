"""One process per engine, pinned and fed over a pipe, so that engines share neither thread pools nor allocators."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn.benchmark.worker.engines import Feeds
from fastcnn.benchmark.worker.serve import MIN_RUNS
from fastcnn.ir.errors import FastCNNError

HERE = Path(__file__).parent
# Leads to the worker without importing fastcnn, which the other Python may not have; the engine gets ours only if it is this Python.
START = ("import sys; home, top = sys.argv[1:3]; del sys.argv[1:3]; sys.path[0] = home; from worker.serve import main; "
         "sys.path[:1] = [top] if top else []; main()")


class EngineError(FastCNNError):
    """An error that an engine raised in its process."""


class Worker:
    """An engine in its own process, of this Python or another. Calls wait for the answer; between calls it sleeps in a read of its pipe."""

    def __init__(self, engine: str, threads: int, cpus: Sequence[int], python: str = sys.executable, quiet: bool = True):
        self.engine = engine
        self._pipe, other = Pipe()
        top = str(HERE.parent.parent) if python == sys.executable else ""
        self._process = subprocess.Popen(
            [python, "-c", START, str(HERE), top, str(other.fileno()), engine, str(threads), ",".join(map(str, cpus))],
            pass_fds=(other.fileno(),), stdin=subprocess.DEVNULL, stdout=2, stderr=subprocess.DEVNULL if quiet else None)
        other.close()

    def versions(self) -> dict[str, str | None]:
        """The versions of the engine's packages in that process, None where one is missing."""
        return self._call("versions")

    def load(self, path: str, feeds: Feeds, precision: str = "float32") -> dict[str, Any]:
        """Load a network and keep feeds for it: "load_seconds" without imports and conversion, "before_bytes" that the process had then."""
        return self._call("load", path, feeds, precision)

    def outputs(self) -> tuple[list[np.ndarray], float]:
        """Runs once: (outputs, seconds)."""
        return self._call("outputs")

    def peak(self) -> int | None:
        """Most bytes that the process had since it began to load."""
        return self._call("peak")

    def time(self, seconds: float, warmup: float, least: int = MIN_RUNS) -> tuple[list[float], float]:
        """Seconds of each run, for `seconds` and `least` runs at least, after `warmup` seconds that do not count; CPU over wall time."""
        return self._call("time", seconds, warmup, least)

    def serve(self, arrivals: Sequence[float]) -> list[float]:
        """Seconds from each arrival, in seconds after the beginning, to its answer; one query runs at a time."""
        return self._call("serve", list(arrivals))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()

    def _call(self, command: str, *args: Any) -> Any:
        try:
            self._pipe.send((command, args))
            ok, result = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise EngineError(f"{self.engine}: its process ended{self._why()}") from error
        if not ok:
            raise EngineError(f"{self.engine}: {result}")
        return result

    def _why(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return ""
        return f" by signal {-code}" if code < 0 else f" with code {code}"
