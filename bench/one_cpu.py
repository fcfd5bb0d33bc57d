"""More threads than CPUs: python -m bench.one_cpu MODEL.onnx... prints the latency on one CPU by threads, the CPU idle and busy.

Each engine and number of threads is a process of its own, all pinned to the CPU that this one may use; they take turns. Busy: a process
of the same priority computes there all the time. Latency is the mean, as slices that others get do not show in a median.
"""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from fastcnn.benchmark.processes import Worker
from fastcnn.benchmark.session import random_feeds

ENGINES, THREADS, ROUNDS, SECONDS, WARMUP = ("fastcnn", "onnxruntime"), (1, 2, 4, 16), 3, 0.3, 0.05
HEAD = "| network | CPU | " + " | ".join(f"{n} threads" for n in THREADS) + " | worst to one thread | worst to onnxruntime |"


def main(arguments: Sequence[str]) -> int:
    """The table; 1 where a row misses a bar: 1.2 times one thread's latency, onnxruntime's at the same number of threads."""
    cpu, missed = min(os.sched_getaffinity(0)), 0
    os.sched_setaffinity(0, [cpu])
    print(HEAD + "\n" + "|---" * (4 + len(THREADS)) + "|")
    for name in arguments:
        path = Path(name)
        with ExitStack() as stack:
            workers = {(engine, n): stack.enter_context(closing(Worker(engine, n, [cpu]))) for engine in ENGINES for n in THREADS}
            feeds = random_feeds(path)
            for worker in workers.values():
                worker.load(str(path), feeds)
            for busy in (False, True):
                missed += not row(path.stem, workers, busy)
    return int(missed > 0)


def row(name: str, workers: dict[tuple[str, int], Worker], busy: bool) -> bool:
    """Prints a network's line; whether it keeps both bars."""
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        rounds = [{key: mean(worker.time(SECONDS, WARMUP)[0]) for key, worker in workers.items()} for _ in range(ROUNDS)]
    finally:
        if burner is not None:
            burner.kill()
            burner.wait()
    at = {key: median(round[key] for round in rounds) * 1e3 for key in workers}
    to_one = max(at["fastcnn", n] / at["fastcnn", 1] for n in THREADS)
    to_other = max(at["fastcnn", n] / at["onnxruntime", n] for n in THREADS)
    cells = [f"{at['fastcnn', n]:.3g} ({at['onnxruntime', n]:.3g})" for n in THREADS]
    print(f"| {name} | {'busy' if busy else 'idle'} | {' | '.join(cells)} | {to_one:.2f} | {to_other:.2f} |", flush=True)
    return to_one <= 1.2 and to_other <= 1


def mean(seconds: Sequence[float]) -> float:
    """Of a few numbers."""
    return sum(seconds) / len(seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
