"""Measures what services need of an engine: python -m bench.service CHECK MODEL.onnx [--rounds 3], a table of both engines.

CHECK: threads  eight Python threads on one model, and on a model of one thread each: runs a second; every result is compared bit by bit
       idle     CPU milliseconds in the ten seconds after a burst of runs
       rate     CPU seconds of 1000 requests that come six a second
       prefork  MB of private memory of each of four forked children that have run a model which the parent loaded (fastcnn alone)
       soak     100000 runs at random heights, from four threads: MB and descriptors after each tenth (fastcnn alone)
Each figure is that of a process of its own with the engine's default options; engines take turns, the median of the rounds is shown.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.child import figures
from fastcnn.benchmark.session import random_feeds

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]
ENGINES, CALLERS, IDLE_SECONDS, RATE, RATE_SECONDS = ("fastcnn", "onnxruntime"), 8, 10.0, 6, 20
SOAK_RUNS, SOAK_THREADS, CHILDREN = 100_000, 4, 4


def loaded(engine: str, path: str, threads: int | None = None) -> Run:
    """run(feeds) of a model with the engine's default options, but for the number of threads."""
    if engine == "fastcnn":
        import fastcnn
        model = fastcnn.load(path, threads=threads)
        return lambda feeds: model.run(None, feeds)
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)


def threads(engine: str, path: str) -> dict[str, float]:
    """Runs a second of one model, and of as many models as callers."""
    base = random_feeds(Path(path))
    feeds = [{name: value + np.float32(k) if value.dtype.kind == "f" else value for name, value in base.items()} for k in range(CALLERS)]
    one = loaded(engine, path)
    return {"one model": _runs_a_second([one] * CALLERS, feeds), "a model each": _runs_a_second([loaded(engine, path, 1)
                                                                                                 for _ in range(CALLERS)], feeds)}


def _runs_a_second(runs: Sequence[Run], feeds: Sequence[Feeds], seconds: float = 4.0) -> float:
    want = [run(feed) for run, feed in zip(runs, feeds)]
    begin = time.perf_counter()
    runs[0](feeds[0])
    count = max(2, min(200, round(seconds / (time.perf_counter() - begin) / len(runs))))
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(count):
            if not all(np.array_equal(a, b) for a, b in zip(runs[k](feeds[k]), want[k])):
                wrong.append(k)

    callers = [threading.Thread(target=work, args=(k,)) for k in range(len(runs))]
    begin = time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    if wrong:
        raise RuntimeError(f"{len(wrong)} results differ from those of one thread")
    return count * len(runs) / (time.perf_counter() - begin)


def idle(engine: str, path: str) -> dict[str, float]:
    run, feeds = loaded(engine, path), random_feeds(Path(path))
    for _ in range(200):
        run(feeds)
    before = time.process_time()
    time.sleep(IDLE_SECONDS)
    return {"CPU ms": 1e3 * (time.process_time() - before)}


def rate(engine: str, path: str) -> dict[str, float]:
    run, feeds = loaded(engine, path), random_feeds(Path(path))
    for _ in range(20):
        run(feeds)
    before, begin = time.process_time(), time.perf_counter()
    for k in range(RATE * RATE_SECONDS):
        time.sleep(max(0.0, begin + k / RATE - time.perf_counter()))
        run(feeds)
    return {"CPU s of 1000": 1e3 * (time.process_time() - before) / (RATE * RATE_SECONDS)}


def prefork(engine: str, path: str) -> dict[str, float]:
    """Private memory that a child has beyond what it has before its first run, and what the weights take."""
    import fastcnn
    model, feeds = fastcnn.load(path), random_feeds(Path(path))
    model.prepare({name: value.shape for name, value in feeds.items()})
    ends = []
    for _ in range(CHILDREN):
        read, write = os.pipe()
        if os.fork() == 0:
            for _ in range(3):
                model.run(None, feeds)
            os.write(write, str(_private_bytes()).encode())
            os._exit(0)
        os.close(write)
        ends.append(read)
    private = [int(os.read(end, 100)) for end in ends]
    for _ in ends:
        os.wait()
    return {"MB a child": max(private) / 1e6, "MB of weights": model.stats().weight_bytes / 1e6}


def _private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private"))


def soak(engine: str, path: str) -> dict[str, float]:
    """A model whose inputs have symbolic heights and widths takes any from 8 to 20."""
    import fastcnn
    model, (base,) = fastcnn.load(path), random_feeds(Path(path)).items()
    name, shape = base[0], base[1].shape
    found: dict[str, float] = {}

    def work(seed: int, runs: int) -> None:
        chance = random.Random(seed)
        for _ in range(runs):
            model.run(None, {name: np.ones((*shape[:2], chance.randint(8, 20), chance.randint(8, 20)), np.float32)})

    for tenth in range(1, 11):
        callers = [threading.Thread(target=work, args=(10 * tenth + k, SOAK_RUNS // 10 // SOAK_THREADS)) for k in range(SOAK_THREADS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        found[f"{tenth}0 %"] = resident / 1e6
        found["descriptors"] = len(os.listdir("/proc/self/fd"))
    return found


CHECKS: dict[str, tuple[Callable[[str, str], dict[str, float]], Sequence[str]]] = {
    "threads": (threads, ENGINES), "idle": (idle, ENGINES), "rate": (rate, ENGINES), "prefork": (prefork, ENGINES[:1]),
    "soak": (soak, ENGINES[:1])}


def measured(check: str, engine: str, path: str) -> dict[str, float]:
    """In a process of its own."""
    return figures(f"{check} {engine} {path}", "service", check, path, "--engine", engine)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    args: Any = parser.parse_args(arguments)
    if args.engine:
        print(json.dumps(CHECKS[args.check][0](args.engine, args.models[0])))
        return 0
    for path in args.models:
        engines = CHECKS[args.check][1]
        rounds = [{engine: measured(args.check, engine, path) for engine in engines} for _ in range(args.rounds)]
        for figure in rounds[0][engines[0]]:
            cells = [f"{engine} {median(found[engine][figure] for found in rounds):.4g}" for engine in engines]
            print(f"| {Path(path).stem} | {args.check}: {figure} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
