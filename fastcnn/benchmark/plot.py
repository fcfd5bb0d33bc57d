"""Plots results: each peer's time over ours, or bars where there is no peer."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastcnn.benchmark.report import Row, best_peer, geometric_mean
from fastcnn.ir.errors import ConfigurationError

MARKERS = "osD^vPX*"
TICKS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 10, 20, 50, 100)


def draw(facts: Mapping[str, Any], results: Sequence[Row], path: Path) -> None:
    """One line a network, sorted by the ratio to the best peer; a mark for each peer at its time over the first engine's (log axis).

    Where the first engine ran alone: a bar a network, its median in ms. Raises ConfigurationError without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        raise ConfigurationError("--plot needs matplotlib: pip install 'fastcnn[bench]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = sorted((row for row in results if best_peer(row)), key=lambda row: best_peer(row)[1])      # type: ignore[index]
    figure, axes = pyplot.subplots(figsize=(9, 1.8 + 0.3 * len(rows or results)), layout="constrained")
    if rows:
        _ratios(axes, facts, rows)
    else:
        _times(axes, results)
    versions = next(iter(facts["versions"].items()))
    axes.set_title(f"{facts['cpu']}, {facts['date'][:10]}, {' '.join(map(str, versions))}", fontsize=9)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _ratios(axes: Any, facts: Mapping[str, Any], rows: Sequence[Row]) -> None:
    ours, *peers = dict.fromkeys(name for row in rows for name in row["engines"])
    for name, marker in zip(peers, MARKERS * len(peers), strict=False):
        found = [(row["engines"][name]["ratio"], y) for y, row in enumerate(rows) if "ratio" in row["engines"].get(name, {})]
        if found:
            mean = geometric_mean(ratio for ratio, _ in found)
            version = facts["versions"].get(name.split()[0], "")
            axes.plot(*zip(*found, strict=True), marker, label=f"{name} {version}, mean {mean:.2f}", alpha=0.85)
    best = [best_peer(row)[1] for row in rows]                  # type: ignore[index]
    for y, ratio in enumerate(best):
        axes.plot([1, ratio], [y, y], color="0.6", linewidth=3, zorder=0, solid_capstyle="butt")
    axes.set_yticks(range(len(rows)), _names(rows))
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    low, high = min(low, 0.9), max(high, 1.1)
    axes.set_xlim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", alpha=0.4)
    axes.set_xlabel(f"time over that of {ours} (right of 1: {ours} is faster); bars: the best peer, geometric mean "
                    f"{geometric_mean(best):.2f}")
    axes.figure.legend(loc="outside lower center", ncols=3, fontsize=8)


def _times(axes: Any, results: Sequence[Row]) -> None:
    rows = [row for row in results if "median_ms" in next(iter(row["engines"].values()))]
    axes.barh(range(len(rows)), [next(iter(row["engines"].values()))["median_ms"] for row in rows], color="0.6")
    axes.set_yticks(range(len(rows)), _names(rows))
    axes.set_xlabel("median ms")
    axes.grid(axis="x", alpha=0.4)


def _names(rows: Sequence[Row]) -> list[str]:
    """Networks, with batch and threads where these vary."""
    batches, threads = (len({row[key] for row in rows}) > 1 for key in ("batch", "threads"))
    return [row["network"] + (f" x{row['batch']}" if batches else "") + (f", {row['threads']} threads" if threads else "") for row in rows]
