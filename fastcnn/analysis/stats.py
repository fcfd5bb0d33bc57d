"""Stats: counters of a loaded model: runs, latencies, plans, memory."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

import fastcnn._native as _native
from fastcnn.plan.executor import Engine
from fastcnn.plan.workspaces import Counted

# Bounds of the histogram that is exported, a factor of two apart, 1 us to two minutes; they are bounds of the finer one too.
EXPORTED = tuple(1e-9 * 2 ** k for k in range(10, 38))


@dataclass(frozen=True)
class Latencies:
    """A histogram: counts[k] runs took from bounds[k - 1] (the first: 0) to bounds[k] seconds. Bounds are 12 to 25 % apart."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float

    @property
    def runs(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """The exact mean in seconds; 0 before the first run."""
        return self.seconds / self.runs if self.runs else 0.0

    def quantile(self, share: float) -> float:
        """An upper bound, in seconds, of this share of the latencies: the upper bound of a bucket. 0 before the first run."""
        if not 0 <= share <= 1:
            raise ValueError(f"share={share!r}: expected 0 to 1")
        if not self.runs:
            return 0.0
        below = np.cumsum(self.counts)
        return self.bounds[int(np.searchsorted(below, max(1, np.ceil(share * below[-1]))))]

    def cumulative(self, bounds: Sequence[float] = EXPORTED) -> list[int]:
        """For each bound, the number of runs that took at most that many seconds; a bucket that a bound cuts counts for the next."""
        below = np.cumsum(self.counts)
        at = np.searchsorted(self.bounds, np.asarray(bounds) * (1 + 1e-9), side="right")
        return [int(below[k - 1]) if k else 0 for k in at]


@dataclass(frozen=True)
class Stats:
    """Counted since the model was loaded, in this process.

    runs             that succeeded; planning is not part of their latencies
    failed           runs that raised an error after their inputs were found right
    under_way        runs at work just now; waiting: those that wait for them, so that they do not take more memory
    plans            kept just now; plan_misses: runs that had to plan, plan_evictions: plans forgotten for newer ones
    weight_bytes     packed weights; workspace_bytes: activations and scratch, kept for the next runs
    """

    runs: int
    failed: int
    under_way: int
    waiting: int
    latencies: Latencies
    plans: int
    plan_misses: int
    plan_evictions: int
    weight_bytes: int
    workspace_bytes: int

    @property
    def plan_hits(self) -> int:
        """Number of runs whose shapes were planned already."""
        return max(0, self.runs + self.failed - self.plan_misses)

    def to_dict(self) -> dict[str, object]:
        """For JSON; of the latencies the mean and three quantiles, in seconds."""
        said: dict[str, object] = {name: value for name, value in asdict(self).items() if name != "latencies"}
        of = self.latencies
        return {**said, "plan_hits": self.plan_hits,
                "latency": {"mean": of.mean, **{f"p{100 * q:g}": of.quantile(q) for q in (0.5, 0.9, 0.99)}}}

    def openmetrics(self, model: str = "") -> str:
        """The counters as OpenMetrics text, for Prometheus; model: a label, where one process has several models."""
        return openmetrics({model: self})

    def __str__(self) -> str:
        of = self.latencies
        return (f"{self.runs} runs, {self.failed} failed, {1e3 * of.mean:.3g} ms in the mean, p50 {1e3 * of.quantile(0.5):.3g} ms, "
                f"p99 {1e3 * of.quantile(0.99):.3g} ms; {self.plans} plans, {self.plan_hits} hits, {self.plan_misses} misses; "
                f"weights {self.weight_bytes / 1e6:.1f} MB, workspaces {self.workspace_bytes / 1e6:.1f} MB")


def stats_of(engines: Iterable[Engine], weight_bytes: int) -> Stats:
    """The Stats summed over several engines of a model, which share only their weights."""
    engines = list(engines)
    pools = [engine.workspaces for engine in engines]
    counted = sum((pool.counted() for pool in pools), Counted())
    steps = _native.LATENCY_STEPS
    bounds = tuple(1e-9 * (steps + k % steps + 1) * 2.0 ** (k // steps) / steps for k in range(_native.LATENCY_BUCKETS))
    return Stats(
        sum(counted.latencies), counted.failed, sum(len(pool.made) - len(pool.free) for pool in pools), sum(pool.waiting for pool in pools),
        Latencies(bounds, counted.latencies, counted.seconds), sum(len(engine.plans) for engine in engines),
        sum(engine.misses for engine in engines), sum(engine.evictions for engine in engines),
        weight_bytes, sum(pool.nbytes() for pool in pools))


# Metric -> (kind, help, field).
METRICS = {
    "fastcnn_runs": ("counter", "Runs that succeeded.", "runs"),
    "fastcnn_failed_runs": ("counter", "Runs that raised an error.", "failed"),
    "fastcnn_runs_under_way": ("gauge", "Runs at work just now.", "under_way"),
    "fastcnn_runs_waiting": ("gauge", "Runs that wait for others of the same model.", "waiting"),
    "fastcnn_plans": ("gauge", "Plans that are kept.", "plans"),
    "fastcnn_plan_hits": ("counter", "Runs whose shapes were planned already.", "plan_hits"),
    "fastcnn_plan_misses": ("counter", "Runs that had to plan.", "plan_misses"),
    "fastcnn_plan_evictions": ("counter", "Plans forgotten for newer ones.", "plan_evictions"),
    "fastcnn_weight_bytes": ("gauge", "Packed weights.", "weight_bytes"),
    "fastcnn_workspace_bytes": ("gauge", "Activations and scratch, kept for the next runs.", "workspace_bytes"),
}
LATENCY = ("fastcnn_run_seconds", "How long runs took, without planning.")


def openmetrics(models: Mapping[str, Stats]) -> str:
    """Exposition text of several models by name, to its "# EOF" (OpenMetrics 1.0). A name of "" has no label."""
    lines = []
    for metric, (kind, help_text, field) in METRICS.items():
        lines += [f"# TYPE {metric} {kind}", f"# HELP {metric} {help_text}"]
        suffix = "_total" if kind == "counter" else ""
        lines += [f"{metric}{suffix}{_labels(model)} {getattr(stats, field)}" for model, stats in models.items()]
    metric, help_text = LATENCY
    lines += [f"# TYPE {metric} histogram", f"# UNIT {metric} seconds", f"# HELP {metric} {help_text}"]
    for model, stats in models.items():
        of = stats.latencies
        for bound, count in (*zip([f"{bound:.6g}" for bound in EXPORTED], of.cumulative()), ("+Inf", of.runs)):
            lines.append(f"{metric}_bucket{_labels(model, le=bound)} {count}")
        lines += [f"{metric}_count{_labels(model)} {of.runs}", f"{metric}_sum{_labels(model)} {of.seconds:.9g}"]
    return "\n".join([*lines, "# EOF", ""])


def _labels(model: str, **more: str) -> str:
    escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    pairs = [*([f'model="{escaped}"'] if model else []), *(f'{name}="{value}"' for name, value in more.items())]
    return "{" + ",".join(pairs) + "}" if pairs else ""
