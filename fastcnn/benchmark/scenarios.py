"""MLPerf's scenarios: queries one after another, as they arrive, all at once (MLPerf Inference rules, section 4)."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fastcnn.benchmark.processes import Worker
from fastcnn.benchmark.report import Row
from fastcnn.benchmark.settings import OFFLINE, SERVER, Settings

LEAST = 100                     # queries of a trial, so that a p99 means something
HALVINGS = 6                    # of the range of rates, after which the highest is known to 2 %


def measured(worker: Worker, images: int, settings: Settings) -> Row:
    """Measures an engine under a scenario's load. images: number of images per query."""
    if settings.scenario == SERVER:
        return _server(worker, settings)
    seconds, least = settings.rounds * settings.seconds, settings.rounds * settings.runs if settings.runs else LEAST
    times, share = worker.time(0.0 if settings.runs else seconds, settings.warmup, least)
    entry: Row = {"scenario": settings.scenario, "runs": len(times), "cpu_share": [share], "rounds": [times]}
    if settings.scenario == OFFLINE:
        return entry | {"images_per_second": images * len(times) / sum(times)}
    return entry | {"p90_ms": 1e3 * float(np.percentile(times, 90))}


def _server(worker: Worker, settings: Settings) -> Row:
    """The server scenario, at the given rate or at the highest that keeps p99 within the limit."""
    def trial(rate: float) -> Sequence[float]:
        return worker.serve(arrivals(rate, settings.rounds * settings.seconds))

    limit = settings.limit_ms / 1e3
    alone = worker.time(settings.seconds, settings.warmup)[0]
    if settings.rate is not None:
        rate, latencies = settings.rate, trial(settings.rate)
    else:
        rate, latencies = highest_rate(trial, float(np.mean(alone)), limit)
    p99 = float(np.percentile(latencies if rate else alone, 99))
    return {"scenario": SERVER, "rate": rate, "p99_ms": 1e3 * p99, "limit_ms": settings.limit_ms, "valid": bool(rate) and p99 <= limit,
            "runs": len(latencies if rate else alone), "rounds": [latencies], "alone_ms": 1e3 * float(np.median(alone))}


def arrivals(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Seconds at which queries of a Poisson process arrive, the same for every engine: rate * seconds of them, LEAST at least."""
    count = max(LEAST, round(rate * seconds))
    return [float(t) for t in np.random.default_rng(seed).exponential(1 / rate, count).cumsum()]


def highest_rate(trial: Callable[[float], Sequence[float]], seconds: float, limit: float) -> tuple[float, Sequence[float]]:
    """The highest rate tried whose p99 is within the limit, and its latencies; 0 where there is none. Halves 0 to 1 / seconds."""
    low, high, kept = 0.0, 1 / seconds, list[float]()
    if seconds > limit:
        return 0.0, kept
    for _ in range(HALVINGS):
        rate = (low + high) / 2
        latencies = trial(rate)
        if np.percentile(latencies, 99) <= limit:
            low, kept = rate, list(latencies)
        else:
            high = rate
    return low, kept
