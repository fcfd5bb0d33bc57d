"""Formats results of bench.models as Markdown:  python -m bench.report RESULTS.json ...  (several files: one table of all)"""
from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastcnn.benchmark.report import Row, best_peer, geometric_mean, heading, read, remarks

REFERENCE = "onnxruntime"       # the engine whose difference is shown
RESULTS = Path(__file__).parent / "RESULTS.md"


def table(facts: Mapping[str, Any], results: Sequence[Row]) -> str:
    """Markdown: ms as median (p10-p90), ms per image with batches; ratio is the peer's median over the first engine's (lowest-highest
    round), best peer the lowest of a row; diff is that of onnxruntime; the last row has geometric means. A table a number of threads."""
    counts = sorted({row["threads"] for row in results})
    parts = [_table([row for row in results if row["threads"] == count]) for count in counts]
    lines = remarks(results)
    return "\n\n".join([heading(facts), *parts, *(["\n".join(lines)] if lines else [])])


def _table(results: Sequence[Row]) -> str:
    """Of one number of threads."""
    first = results[0]
    engines = list(dict.fromkeys(name for row in results for name in row["engines"]))
    peers = engines[1:]
    batches = any(row["batch"] != 1 for row in results)
    head = ["network", *(["batch", "ms/image"] if batches else []), *(f"{name} ms" for name in engines),
            *(f"ratio {name}" for name in peers), "best peer", "diff"]
    lines = [f"{first['threads']} thread(s) on CPU {','.join(map(str, first['cpus']))}", "",
             "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in results:
        entries = {name: row["engines"].get(name, {}) for name in engines}
        per_image = [str(row["batch"]), _per_image(entries[engines[0]], row["batch"])] if batches else []
        best, diff = best_peer(row), next((entry.get("difference") for name, entry in entries.items() if name.startswith(REFERENCE)), None)
        cells = [row["network"], *per_image, *(_milliseconds(entry) for entry in entries.values()),
                 *(_ratio(entries[name]) for name in peers), f"{best[1]:.2f} ({best[0]})" if best else "-",
                 "-" if diff is None else f"{diff:.1e}"]
        lines.append("| " + " | ".join(cells) + " |")
    to_each = [geometric_mean(row["engines"][name]["ratio"] for row in results if "ratio" in row["engines"].get(name, {}))
               for name in peers]
    to_best = geometric_mean(best[1] for best in map(best_peer, results) if best)
    blanks = [""] * (len(engines) + (2 if batches else 0))
    means = ["-" if mean is None else f"**{mean:.2f}**" for mean in [*to_each, to_best]]
    return "\n".join([*lines, "| " + " | ".join(["**geometric mean**", *blanks, *means, ""]) + " |"])


def _per_image(entry: Row, batch: int) -> str:
    return f"{entry['median_ms'] / batch:.3g}" if "median_ms" in entry else "-"


def _milliseconds(entry: Row) -> str:
    if "median_ms" not in entry:
        return "-"
    return f"{entry['median_ms']:.3g} ({entry['p10_ms']:.3g}-{entry['p90_ms']:.3g})"


def _ratio(entry: Row) -> str:
    if "ratio" not in entry:
        return "-"
    return f"{entry['ratio']:.2f} ({entry['ratio_rounds'][0]:.2f}-{entry['ratio_rounds'][1]:.2f})"


def write_section(file: Path, heading: str, text: str) -> None:
    """Puts the text under "## heading" of a Markdown file, in the place of what stands there."""
    before = file.read_text() if file.exists() else ""
    section = f"## {heading}\n{text.strip()}\n"
    parts = re.split(r"^(?=## )", before, flags=re.MULTILINE)
    kept = [section if part.startswith(f"## {heading}\n") else part.rstrip("\n") + "\n" for part in parts if part.strip()]
    file.write_text("\n".join(kept if section in kept else [*kept, section]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json")
    parser.add_argument("--write", metavar="SECTION", help=f"into this section of {RESULTS.name} instead of printing")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="a picture of the ratios (needs matplotlib)")
    args = parser.parse_args(arguments)
    facts, results = read(args.results)
    if args.plot:
        from fastcnn.benchmark.plot import draw
        draw(facts, results, args.plot)
    if args.write:
        write_section(RESULTS, args.write, table(facts, results))
    else:
        print(table(facts, results))


if __name__ == "__main__":
    main()
