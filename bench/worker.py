"""One process per engine, pinned and fed over a pipe, so that engines share neither thread pools nor allocators."""
from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench import convert
from bench.engines import ENGINES, Feeds, Run

MIN_RUNS = 3
TOP = Path(__file__).parent.parent


class EngineError(RuntimeError):
    """What an engine raised in its process."""


class Worker:
    """An engine in its own process, of this Python or another. Calls wait for the answer; between calls it sleeps in a read of its pipe."""

    def __init__(self, engine: str, threads: int, cpus: Sequence[int], python: str = sys.executable):
        self.engine = engine
        self._pipe, other = Pipe()
        paths = [str(TOP), *filter(None, [os.environ.get("PYTHONPATH")])]
        number = str(other.fileno())
        self._process = subprocess.Popen([python, "-m", "bench.worker", number, engine, str(threads), ",".join(map(str, cpus))],
                                         pass_fds=(other.fileno(),), stdin=subprocess.DEVNULL, stdout=2,
                                         env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
        other.close()

    def versions(self) -> dict[str, str | None]:
        """The versions of the engine's packages in that process, None where one is missing."""
        return self._call("versions")

    def load(self, path: str, feeds: Feeds) -> float:
        """Load a network and keep feeds for it; returns the seconds that loading took, without conversion from ONNX."""
        return self._call("load", path, feeds)

    def outputs(self) -> list[np.ndarray]:
        """What one run returns."""
        return self._call("outputs")

    def time(self, seconds: float, warmup: float) -> tuple[list[float], float]:
        """Seconds of each run, for at least `seconds` after `warmup` seconds of runs that do not count; CPU time over wall time."""
        return self._call("time", seconds, warmup)

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
            raise EngineError(f"{self.engine}: its process ended") from error
        if not ok:
            raise EngineError(f"{self.engine}: {result}")
        return result


def serve(pipe: Connection, engine: str, threads: int, cpus: list[int]) -> None:
    """The worker's side of the pipe, until it is closed."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    session = Session(engine, threads)
    while True:
        try:
            command, args = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((True, getattr(session, command)(*args)))
        except Exception as error:
            traceback.print_exc()
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Session:
    """What a worker does for each command."""

    def __init__(self, engine: str, threads: int):
        self.name, self.engine, self.threads = engine, ENGINES[engine], threads
        self.run: Run = lambda feeds: []
        self.feeds: Feeds = {}

    def versions(self) -> dict[str, str | None]:
        return self.engine.versions()

    def load(self, path: str, feeds: Feeds) -> float:
        self.run = lambda feeds: []          # frees the network before
        gc.collect()
        if self.engine.convert is not None:
            label = "-".join(f"{name}-{version}" for name, version in self.versions().items())
            path = convert.converted(path, self.engine.convert, label)
        start = time.perf_counter()
        self.run, self.feeds = self.engine.load(path, self.threads), feeds
        return time.perf_counter() - start

    def outputs(self) -> list[np.ndarray]:
        return [np.array(y) for y in self.run(self.feeds)]

    def time(self, seconds: float, warmup: float) -> tuple[list[float], float]:
        run, feeds, clock = self.run, self.feeds, time.perf_counter
        gc.collect()
        gc.disable()
        try:
            end = clock() + warmup
            for count in range(1 << 30):
                run(feeds)
                if count >= 1 and clock() >= end:
                    break
            times: list[float] = []
            begin, cpu = clock(), time.process_time()
            end = begin + seconds
            while len(times) < MIN_RUNS or clock() < end:
                start = clock()
                run(feeds)
                times.append(clock() - start)
            share = (time.process_time() - cpu) / (clock() - begin)
        finally:
            gc.enable()
        return times, share


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), sys.argv[2], int(sys.argv[3]), [int(cpu) for cpu in sys.argv[4].split(",") if cpu])
