"""What bench.models found, as a picture:  python -m bench.plot RESULTS.json ... OUT.png  (or .svg, .pdf)"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import report

MARKERS = "osD^vPX*"
TICKS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 10, 20, 50, 100)


def draw(facts: dict[str, Any], results: Sequence[dict[str, Any]], path: Path) -> None:
    """One line a network, sorted by the ratio to the best peer; a mark for each peer at its time over fastcnn's (log axis)."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = sorted((row for row in results if report.best_peer(row)), key=lambda row: report.best_peer(row)[1])
    peers = [name for name in facts["versions"] if name != report.OURS]
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.3 * len(rows)), layout="constrained")
    for name, marker in zip(peers, MARKERS * len(peers), strict=False):
        found = [(row["engines"][name]["ratio"], y) for y, row in enumerate(rows) if "ratio" in row["engines"].get(name, {})]
        if found:
            mean = report.geometric_mean(ratio for ratio, _ in found)
            axes.plot(*zip(*found, strict=True), marker, label=f"{name} {facts['versions'][name]}, mean {mean:.2f}", alpha=0.85)
    for y, row in enumerate(rows):
        axes.plot([1, report.best_peer(row)[1]], [y, y], color="0.6", linewidth=3, zorder=0, solid_capstyle="butt")
    batches = len({row["batch"] for row in rows}) > 1
    axes.set_yticks(range(len(rows)), [f"{row['network']} x{row['batch']}" if batches else row["network"] for row in rows])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", alpha=0.4)
    best = report.geometric_mean(report.best_peer(row)[1] for row in rows)
    axes.set_xlabel(f"time over fastcnn's (right of 1: fastcnn is faster); bars: the best peer, geometric mean {best:.2f}")
    axes.set_title(f"{facts['cpu']}, {facts['threads']} thread(s), {facts['date'][:10]}, commit {facts['commit']}", fontsize=9)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) < 2:
        sys.exit(__doc__)
    facts, results = report.read(Path(name) for name in arguments[:-1])
    draw(facts, results, Path(arguments[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
