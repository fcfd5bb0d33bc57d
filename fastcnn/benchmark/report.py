"""Turns measurements into statistics, rows of tables and Markdown."""
from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BUSY = 0.97                     # with one thread: less CPU time than this share of the wall time, and others took the CPU
PERCENTILES = {"p10": 10.0, "median": 50.0, "p90": 90.0, "p99": 99.0}
Row = dict[str, Any]
COLUMNS = ("network", "batch", "threads", "engine", "min ms", "median ms", "p90 ms", "p99 ms", "images/s", "load ms", "first ms", "peak MB",
           "difference", "ratio")
LOAD_COLUMNS = ("network", "batch", "threads", "engine", "runs", "result")


def summarise(engines: dict[str, Row], batch: int) -> None:
    """Adds min and percentiles in ms, images per second, and each peer's median over the first engine's (overall, worst, best round)."""
    for entry in engines.values():
        times = np.concatenate([np.asarray(r) for r in entry["rounds"]]) * 1e3 if entry["rounds"] else None
        if times is not None:
            entry |= {f"{name}_ms": float(np.percentile(times, q)) for name, q in PERCENTILES.items()}
            entry |= {"min_ms": float(times.min()), "images_per_second": 1e3 * batch / entry["median_ms"], "runs": len(times)}
    ours = next(iter(engines.values()))
    for entry in list(engines.values())[1:]:
        if "median_ms" in entry and "median_ms" in ours:
            entry["ratio"] = entry["median_ms"] / ours["median_ms"]
            by_round = [float(np.median(a) / np.median(b)) for a, b in zip(entry["rounds"], ours["rounds"], strict=True)]
            entry["ratio_rounds"] = [min(by_round), max(by_round)]


def difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Largest |a - b| over the largest |b| of its output; infinite where shapes differ or only one is finite."""
    worst = 0.0 if len(ours) == len(theirs) else float("inf")
    for a, b in zip(ours, theirs, strict=False):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape or (np.isfinite(a) != np.isfinite(b)).any():
            return float("inf")
        finite = np.isfinite(b)
        if finite.any():
            worst = max(worst, float(np.abs(a - b)[finite].max() / max(np.abs(b[finite]).max(), 1e-30)))
    return worst


def best_peer(row: Row) -> tuple[str, float] | None:
    """Name and ratio of the fastest peer, None where none ran."""
    ratios = {name: entry["ratio"] for name, entry in row["engines"].items() if "ratio" in entry}
    return min(ratios.items(), key=lambda item: item[1]) if ratios else None


def geometric_mean(values: Iterable[float]) -> float | None:
    """exp(mean(log(v))), None of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else None


def read(paths: Iterable[Path]) -> tuple[dict[str, Any], list[Row]]:
    """(machine of the first file, results of all files). Raises ValueError where machine or versions differ."""
    facts: dict[str, Any] = {}
    results = []
    for path in paths:
        content = json.loads(path.read_text())
        results += content["results"]
        facts = facts or content["machine"]
        if content["machine"]["cpu"] != facts["cpu"]:
            raise ValueError(f"{path}: cpu is {content['machine']['cpu']!r}, not {facts['cpu']!r} as in the files before")
        different = [n for n, v in content["machine"]["versions"].items() if facts["versions"].setdefault(n, v) != v]
        if different:
            raise ValueError(f"{path}: another version of {', '.join(different)} than in the files before")
    return facts, results


def heading(facts: Mapping[str, Any]) -> str:
    """One line: processor, instruction set, date, versions, commit, command."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    isa = facts.get("fastcnn_cpu_info", {}).get("instruction_set")
    commit = f"; commit {facts['commit']}" if facts["commit"] else ""
    return f"{facts['cpu']}{f', {isa}' if isa else ''}, {facts['date'][:10]}; {versions}{commit}; `{facts['command']}`"


def detailed(results: Sequence[Row]) -> list[list[str]]:
    """A row of COLUMNS for each engine of each network. ratio: its median over the first engine's; difference: to the first engine."""
    found = []
    for row in results:
        for name, entry in row["engines"].items():
            cells = [row["network"], str(row["batch"]), str(row["threads"]), name]
            if "median_ms" not in entry:
                found.append([*cells, "failed", *[""] * (len(COLUMNS) - 5)])
                continue
            times = [milliseconds(entry[f"{key}_ms"]) for key in ("min", "median", "p90", "p99")]
            once = [milliseconds(1e3 * entry[key]) for key in ("load_seconds", "first_seconds")]
            peak = f"{entry['peak_bytes'] / 1e6:.0f}" if entry.get("peak_bytes") else ""
            beside = [f"{entry[key]:{form}}" if key in entry else "" for key, form in (("difference", ".1e"), ("ratio", ".2f"))]
            found.append([*cells, *times, per_second(entry["images_per_second"]), *once, peak, *beside])
    return found


def loaded(results: Sequence[Row]) -> list[list[str]]:
    """A row of LOAD_COLUMNS for each engine of each network under load."""
    found = []
    for row in results:
        for name, entry in row["engines"].items():
            cells = [row["network"], str(row["batch"]), str(row["threads"]), name]
            found.append([*cells, "" if "error" in entry else str(entry["runs"]), "failed" if "error" in entry else _told(entry)])
    return found


def _told(entry: Row) -> str:
    if entry["scenario"] == "single-stream":
        return f"p90 {milliseconds(entry['p90_ms'])} ms"
    if entry["scenario"] == "offline":
        return f"{per_second(entry['images_per_second'])} images/s"
    if not entry["rate"]:
        return f"no rate keeps p99 within {entry['limit_ms']:g} ms: one query takes {milliseconds(entry['p99_ms'])} ms"
    kept = "within" if entry["valid"] else "beyond"
    return f"{per_second(entry['rate'])} queries/s: p99 {milliseconds(entry['p99_ms'])} ms, {kept} {entry['limit_ms']:g} ms"


def per_second(rate: float) -> str:
    """A rate with three digits and separated thousands."""
    return f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"


def milliseconds(ms: float) -> str:
    """A time in ms with three digits."""
    return f"{ms:.3g}" if ms < 1000 else f"{ms:.0f}"


def remarks(results: Sequence[Row]) -> list[str]:
    """Notes below the table: a busy machine, engines that failed."""
    everyone = [(row, entry) for row in results for entry in row["engines"].values()]
    lowest = min((share for row, entry in everyone for share in entry.get("cpu_share", []) if row["threads"] == 1), default=1.0)
    busy = [f"warning: the machine was busy: in the worst round an engine had {lowest:.0%} of its CPU"] if lowest < BUSY else []
    return busy + [f"{row['network']}: {entry['error']}" for row, entry in everyone if "error" in entry]


def markdown(facts: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str]) -> str:
    """Heading, table and remarks."""
    table = ["| " + " | ".join(cells) + " |" for cells in [columns, *rows]]
    return "\n".join([heading(facts), "", table[0], "|---" * len(columns) + "|", *table[1:], *(["", *lines] if lines else [])]) + "\n"
