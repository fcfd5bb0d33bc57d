"""One process per engine, pinned and fed over a pipe, so that engines share neither thread pools nor allocators."""
from __future__ import annotations

import gc
import multiprocessing
import os
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from bench.engines import ENGINES, Feeds, Run

MIN_RUNS = 3


class EngineError(RuntimeError):
    """What an engine raised in its process."""


class Worker:
    """An engine in its own process. Calls wait for the answer; between calls the process sleeps in a read of its pipe."""

    def __init__(self, engine: str, threads: int, cpus: Sequence[int]):
        context = multiprocessing.get_context("spawn")
        self.engine = engine
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, engine, threads, list(cpus)), daemon=True)
        self._process.start()
        other.close()

    def load(self, path: str, feeds: Feeds) -> float:
        """Load a network and keep feeds for it; returns the seconds that loading took."""
        return self._call("load", path, feeds)

    def outputs(self) -> list[np.ndarray]:
        """What one run returns."""
        return self._call("outputs")

    def time(self, seconds: float, warmup: float) -> tuple[list[float], float]:
        """Seconds of each run, for at least `seconds` after `warmup` seconds of runs that do not count; CPU time over wall time."""
        return self._call("time", seconds, warmup)

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._pipe.close()
            self._process.join(5)
            if self._process.is_alive():
                self._process.terminate()

    def _call(self, command: str, *args: Any) -> Any:
        try:
            self._pipe.send((command, args))
            ok, result = self._pipe.recv()
        except (EOFError, BrokenPipeError) as error:
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
        self.engine, self.threads = ENGINES[engine], threads
        self.run: Run = lambda feeds: []
        self.feeds: Feeds = {}

    def load(self, path: str, feeds: Feeds) -> float:
        self.run = lambda feeds: []          # frees the network before
        gc.collect()
        start = time.perf_counter()
        self.run, self.feeds = self.engine.load(path, self.threads), feeds
        return time.perf_counter() - start

    def outputs(self) -> list[np.ndarray]:
        return [np.asarray(y) for y in self.run(self.feeds)]

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
