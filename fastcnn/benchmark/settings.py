"""Settings of a benchmark, and the engines and precisions that take part."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastcnn.benchmark.processes import Worker
from fastcnn.benchmark.worker.engines import ENGINES, OURS
from fastcnn.ir.errors import ConfigurationError

INT8 = "int8"
LATENCY, SINGLE_STREAM, SERVER, OFFLINE = SCENARIOS = ("latency", "single-stream", "server", "offline")
SAME_PRECISION = {"f32": "float32", "fp32": "float32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Settings:
    """How measurements are taken.

    rounds    in each of which every engine has a turn              seconds   of measurement of an engine in a round
    runs      instead of seconds: so many runs of an engine in a round
    warmup    seconds of runs before each turn that do not count    pause     seconds before each turn, for threads to stop spinning
    again     how often a turn on a busy CPU is taken again at most (one thread)
    cpus      that every engine is pinned to; by default the first ones allowed, as many as threads
    pythons   engine -> interpreter, for engines that live in another virtual environment
    scenario  "latency", or MLPerf's "single-stream" (p90), "server" (Poisson arrivals, p99), "offline" (throughput)
    rate      queries a second at the server; None: the highest is searched whose p99 is at most limit_ms
    """

    rounds: int = 5
    seconds: float = 1.0
    runs: int | None = None
    warmup: float = 0.3
    pause: float = 0.3
    again: int = 3
    cpus: Sequence[int] | None = None
    pythons: Mapping[str, str] = field(default_factory=dict)
    scenario: str = LATENCY
    rate: float | None = None
    limit_ms: float = 15.0

    def cpus_for(self, threads: int) -> list[int]:
        """The CPUs that engines with this number of threads are pinned to."""
        if self.cpus is not None:
            return list(self.cpus)
        return sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []

    def turns(self) -> int:
        """How many turns an engine has with a network."""
        return self.rounds if self.scenario == LATENCY else 1


@dataclass(frozen=True)
class Contender:
    """An engine at one precision."""

    engine: str
    precision: str

    @property
    def label(self) -> str:
        return self.engine if self.precision == ENGINES[self.engine].precisions[0] else f"{self.engine} {self.precision}"


def contenders(against: Sequence[str], precisions: Sequence[str]) -> list[Contender]:
    """fastcnn at each precision; each other engine at those of them that it has, or else at its default. Raises ConfigurationError."""
    wanted = [SAME_PRECISION.get(precision.lower(), precision.lower()) for precision in precisions]
    found = []
    for engine in [OURS, *(name for name in against if name != OURS)]:
        if engine not in ENGINES:
            raise ConfigurationError(f"unknown engine {engine!r}: expected one of {', '.join(ENGINES)}")
        known = ENGINES[engine].precisions
        if engine == OURS and not set(wanted) <= set(known):
            raise ConfigurationError(f"precision {next(p for p in wanted if p not in known)!r}: expected one of {', '.join(known)}")
        found += [Contender(engine, precision) for precision in wanted if precision in known] or [Contender(engine, known[0])]
    return list(dict.fromkeys(found))


def installed(engine: str, settings: Settings) -> str:
    """Versions of the engine and its converter. Raises ConfigurationError where a package is missing."""
    if engine in settings.pythons:
        worker = Worker(engine, 1, [], settings.pythons[engine])
        try:
            versions = worker.versions()
        finally:
            worker.close()
    else:
        versions = ENGINES[engine].versions()
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        raise ConfigurationError(f"{engine} needs: pip install {' '.join(missing)}")
    first, *others = versions.items()
    return " ".join([str(first[1]), *(f"({name} {version})" for name, version in others)])
