"""The engine's process: reads commands from a pipe and answers with plain data."""
from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from . import convert
from .engines import ENGINES, Feeds, Run
from .load import served

MIN_RUNS = 3
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    """Arguments: the number of the pipe, the engine, threads, CPUs with commas between."""
    number, engine, threads, cpus = sys.argv[1:]
    serve(Connection(int(number)), engine, int(threads), [int(cpu) for cpu in cpus.split(",") if cpu])


def serve(pipe: Connection, engine: str, threads: int, cpus: list[int]) -> None:
    """Answers until the pipe is closed."""
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
        except KeyboardInterrupt:
            return
        except Exception as error:
            traceback.print_exc()
            pipe.send((False, f"{type(error).__name__}: {error}"))


def memory(name: str) -> int | None:
    """Bytes of this process: VmRSS now, VmHWM at most; None where the system does not say."""
    try:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return None
    return 1024 * int(line.split()[1])


class Session:
    """The commands of a worker."""

    def __init__(self, engine: str, threads: int):
        self.name, self.engine, self.threads = engine, ENGINES[engine], threads
        self.run: Run = lambda feeds: []
        self.feeds: Feeds = {}

    def versions(self) -> dict[str, str | None]:
        return self.engine.versions()

    def load(self, path: str, feeds: Feeds, precision: str) -> dict[str, Any]:
        """Seconds of loading, without imports and conversion; bytes before it. The peak counts from here on."""
        self.run = lambda feeds: []          # frees the network before
        gc.collect()
        for name in self.engine.modules:
            import_module(name)
        if self.engine.convert is not None:
            label = "-".join(f"{name}-{version}" for name, version in self.versions().items())
            path = convert.converted(path, self.engine.convert, label)
        with suppress(OSError):
            RESET.write_text("5")            # VmHWM begins at VmRSS again (proc(5))
        before, start = memory("VmRSS"), time.perf_counter()
        self.run, self.feeds = self.engine.load(path, self.threads, precision), feeds
        return {"load_seconds": time.perf_counter() - start, "before_bytes": before}

    def outputs(self) -> tuple[list[np.ndarray], float]:
        """Runs once: (outputs, seconds)."""
        start = time.perf_counter()
        results = self.run(self.feeds)
        seconds = time.perf_counter() - start
        return [np.array(y) for y in results], seconds

    def peak(self) -> int | None:
        return memory("VmHWM")

    def time(self, seconds: float, warmup: float, least: int = MIN_RUNS) -> tuple[list[float], float]:
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
            while len(times) < least or clock() < end:
                start = clock()
                run(feeds)
                times.append(clock() - start)
            share = (time.process_time() - cpu) / (clock() - begin)
        finally:
            gc.enable()
        return times, share

    def serve(self, arrivals: list[float]) -> list[float]:
        self.run(self.feeds)
        gc.collect()
        return served(lambda: self.run(self.feeds), arrivals)
