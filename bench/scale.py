"""More cores: python -m bench.scale MODEL.onnx... [--cores 16,32,64] measures what there are and predicts what there are not.

Measured on this machine's CPUs, each thread count in a process of its own, which take turns:
  one image on 1 to N threads                                       (latency)
  batches cut over the cores: N callers of one model, a thread each (images a second), against a batch of N on all threads
  several models side by side, a thread each, against each by itself
Predicted from the steps of the plan for one thread, timed one by one, and two numbers that two threads show: what a step waits at
its end, and what data of the other core cost. Rows of more cores than were measured are a guess: fastcnn/analysis/scaling.py says on what.
"""
from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import fastcnn
import fastcnn._native as _native
from bench.child import figures
from fastcnn.analysis.aims import AIMS
from fastcnn.analysis.scaling import Cores, Part, latency, parts_of, rate, threads_for
from fastcnn.analysis.timing import TimedEngine
from fastcnn.benchmark.session import random_feeds
from fastcnn.cpu import default_threads
from fastcnn.machine.clock import cycles_per_second, least_seconds
from fastcnn.plan.bind import spec_of

SECONDS, ROUNDS, CORES = 0.7, 3, (4, 8, 16, 32, 64)
Feeds = dict[str, np.ndarray]


def timed(run: Callable[[], object], seconds: float = SECONDS) -> float:
    """Seconds of a run, the median of as many as fit."""
    found, end = list[float](), time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return median(found)


def side_by_side(runs: Sequence[Callable[[], object]], seconds: float = SECONDS) -> list[float]:
    """Runs a second of each caller while all call."""
    counts, begin = [0] * len(runs), time.perf_counter()

    def work(k: int) -> None:
        while time.perf_counter() < begin + seconds:
            runs[k]()
            counts[k] += 1

    callers = [threading.Thread(target=work, args=(k,)) for k in range(len(runs))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return [count / (time.perf_counter() - begin) for count in counts]


def measured(path: str, threads: int, others: Sequence[str]) -> dict[str, Any]:
    """What one process finds with so many threads a run."""
    feeds, cpus = random_feeds(Path(path)), default_threads()
    model = fastcnn.load(path, threads=threads)
    model.run(None, feeds)
    found: dict[str, Any] = {"ms": 1e3 * timed(lambda: model.run(None, feeds))}
    if threads == 1:
        found["callers"] = sum(side_by_side([lambda: model.run(None, feeds)] * cpus))
        found["steps"] = step_seconds(model, feeds)
        runs = [caller(other) for other in others]
        alone = [1 / timed(run) for run in runs]
        found["beside"] = [both / one for both, one in zip(side_by_side(runs), alone)] if len(runs) > 1 else []
    if threads == 2:
        found["waits"] = waits()
    if threads == cpus > 1:
        batch = {name: np.concatenate([value] * cpus) for name, value in feeds.items()}
        try:
            model.run(None, batch)
            found["batch"] = cpus / timed(lambda: model.run(None, batch))
        except fastcnn.InputError:              # the file fixes the batch
            found["batch"] = None
    return found


def caller(path: str) -> Callable[[], object]:
    model, feeds = fastcnn.load(path, threads=1), random_feeds(Path(path))
    model.run(None, feeds)
    return lambda: model.run(None, feeds)


def step_seconds(model: fastcnn.Model, feeds: Feeds) -> list[list[float]]:
    """Of each step of each stage, the median of some runs."""
    engine, runs = TimedEngine(model._open()), list[list[list[float]]]()
    for _ in range(15):
        engine.timed.clear()
        engine.run(dict(feeds))
        runs.append([list(timed.seconds()) if timed.spans.size else [] for timed in engine.timed])
    return [[median(run[stage][step] for run in runs) for step in range(len(steps))] for stage, steps in enumerate(runs[0])]


def waits() -> tuple[float, float]:
    """(cycles until two threads are at work, cycles that a step of two threads waits), by programs of tiny steps.

    For good or ill a process keeps where its threads and their counters lie: least_waits() asks several.
    """
    x, y = np.ones(256, np.float32), np.zeros(256, np.float32)
    given = {**dict.fromkeys(_native.step_fields()["copy"], 0), "ndim": 1, "shape": (256,), "y_strides": (1,), "x_strides": (1,),
             "elem_bytes": 4}

    def seconds(steps: int, threads: int) -> float:
        program = _native.Program([("copy", (y, x), threads, given)] * steps, 0, threads, 0)
        workspace = _native.Workspace()
        return least_seconds(lambda: program.run(workspace, []), 0.1, 20)

    step = (seconds(1010, 2) - seconds(10, 2) - (seconds(1010, 1) - seconds(10, 1))) / 1000
    enter = min(seconds(1, 2) for _ in range(5)) - seconds(1, 1) - step     # at first both threads may be on one CPU
    return max(enter, 0.0) * cycles_per_second(), max(step, 0.0) * cycles_per_second()


def least_waits(found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The least that any process waited, of each of both numbers."""
    return min(enter for enter, _ in found), min(step for _, step in found)


def foreign_of(parts: Sequence[Part], cores: Cores, cycles: float) -> float:
    """The share of Cores.foreign with which two threads take as many cycles as they were measured to: between 0 and 1."""
    low, high = latency(parts, 2, replace(cores, foreign=0.0)), latency(parts, 2, replace(cores, foreign=1.0))
    return min(max((cycles - low) / max(high - low, 1.0), 0.0), 1.0)


def report(path: str, others: Sequence[str], counts: Sequence[int]) -> None:
    """The tables of one network."""
    cpus, name = default_threads(), Path(path).stem
    rounds = [{threads: in_process(path, threads, others) for threads in range(1, cpus + 1)} for _ in range(ROUNDS)]
    ms = {threads: median(found[threads]["ms"] for found in rounds) for threads in range(1, cpus + 1)}
    hz = cycles_per_second()
    steps = rounds[0][1]["steps"]
    scale = ms[1] / 1e3 / max(sum(map(sum, steps)), 1e-9)       # what a call takes beside its steps is spread over them
    model = fastcnn.load(path, threads=1)
    parts = parts_of(model._open().plan({k: spec_of(v) for k, v in random_feeds(Path(path)).items()}),
                     lambda stage, step: hz * scale * steps[stage][step])
    enter, barrier = least_waits([found[2]["waits"] for found in rounds]) if cpus > 1 else (Cores().enter, Cores().barrier)
    cores = Cores(enter=enter, barrier=barrier)
    plain = latency(parts, 2, cores)
    if cpus > 1:
        cores = replace(cores, foreign=foreign_of(parts, cores, hz * ms[2] / 1e3))
        print(f"{name}: two threads {ms[2]:.4g} ms, predicted before that was known {1e3 * plain / hz:.4g}; entering {enter:.0f} cycles, "
              f"barrier {barrier:.0f}, foreign data {cores.foreign:.3f}")
    callers = median(found[1]["callers"] for found in rounds)
    batches = [found[cpus]["batch"] for found in rounds if found[cpus].get("batch")]
    together = f"; a batch of {cpus} on all threads {median(batches):.4g}" if batches else ""
    print(f"{name}: images a second: {cpus} callers of one thread {callers:.4g} (predicted {hz * rate(parts, 1, cpus, cores):.4g}); "
          f"one image on all threads {1e3 / ms[cpus]:.4g}{together}")
    if rounds[0][1]["beside"]:
        beside = [median(found[1]["beside"][k] for found in rounds) for k in range(len(others))]
        print(f"{name}: side by side, share of the speed alone: " + ", ".join(f"{Path(o).stem} {b:.2f}" for o, b in zip(others, beside)))
    print("| cores | one image ms | times as fast | images a second | with one thread each | |\n" + "|---" * 6 + "|")
    for threads in [*range(1, cpus + 1), *(count for count in counts if count > cpus)]:
        known = threads <= cpus
        one = ms[threads] if known else 1e3 * latency(parts, threads, cores) / hz
        each = callers if threads == cpus else hz * rate(parts, 1, threads, cores)
        print(f"| {threads} | {one:.4g} | {ms[1] / one:.3g} | {1e3 / one:.4g} | {each:.4g} | {'measured' if known else 'guess'} |")
    chosen = {aim: [threads_for(aim, parts, count, cores) for count in counts] for aim in AIMS}
    for aim, found in chosen.items():
        print(f"threads={aim!r} on {', '.join(map(str, counts))} cores: {', '.join(map(str, found))}", flush=True)


def in_process(path: str, threads: int, others: Sequence[str]) -> dict[str, Any]:
    return figures(path, "scale", path, "--threads", str(threads), "--beside", *others)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--cores", default=",".join(map(str, CORES)), help="numbers of cores to predict, default %(default)s")
    parser.add_argument("--beside", nargs="*", default=[], metavar="MODEL.onnx", help="models that run side by side")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.threads:
        print(json.dumps(measured(args.models[0], args.threads, args.beside)))
        return 0
    for path in args.models:
        report(path, args.beside, [int(count) for count in args.cores.split(",")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
