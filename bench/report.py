"""What bench.models found, as Markdown:  python -m bench.report RESULTS.json ...  (several files: one table of all)"""
from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BUSY = 0.97                     # with one thread: less CPU time than this share of the wall time, and others took the CPU
OURS = "fastcnn"
RESULTS = Path(__file__).parent / "RESULTS.md"


def summarise(engines: dict[str, Any], batch: int) -> None:
    """Adds median, p10, p90 in ms, images a second, and each peer's median over ours: of all runs, and the lowest and highest round."""
    for entry in engines.values():
        times = np.concatenate([np.asarray(r) for r in entry["rounds"]]) * 1e3 if entry["rounds"] else None
        if times is not None:
            entry["median_ms"], entry["p10_ms"], entry["p90_ms"] = (float(np.percentile(times, q)) for q in (50, 10, 90))
            entry["images_per_second"] = 1e3 * batch / entry["median_ms"]
            entry["runs"] = len(times)
    ours = engines[OURS]
    for name, entry in engines.items():
        if name != OURS and "median_ms" in entry and "median_ms" in ours:
            entry["ratio"] = entry["median_ms"] / ours["median_ms"]
            by_round = [float(np.median(a) / np.median(b)) for a, b in zip(entry["rounds"], ours["rounds"], strict=True)]
            entry["ratio_rounds"] = [min(by_round), max(by_round)]


def best_peer(row: dict[str, Any]) -> tuple[str, float] | None:
    """Name and ratio of the fastest peer, None where none ran."""
    ratios = {name: entry["ratio"] for name, entry in row["engines"].items() if "ratio" in entry}
    return min(ratios.items(), key=lambda item: item[1]) if ratios else None


def geometric_mean(values: Iterable[float]) -> float | None:
    """exp(mean(log(v))), None of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else None


def read(paths: Iterable[Path]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The machine of the first file and the results of all. Raises ValueError where machine, threads or versions differ."""
    facts: dict[str, Any] = {}
    results = []
    for path in paths:
        content = json.loads(path.read_text())
        results += content["results"]
        facts = facts or content["machine"]
        for key in ("cpu", "threads"):
            if content["machine"][key] != facts[key]:
                raise ValueError(f"{path}: {key} is {content['machine'][key]!r}, not {facts[key]!r} as in the files before")
        different = [n for n, v in content["machine"]["versions"].items() if facts["versions"].setdefault(n, v) != v]
        if different:
            raise ValueError(f"{path}: another version of {', '.join(different)} than in the files before")
    return facts, results


def table(facts: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """Markdown: ms as median (p10-p90), ms per image with batches; ratio is the peer's median over ours (lowest-highest round), best peer
    the lowest of a row; diff is ours against onnxruntime; the last row has the geometric means."""
    engines = [name for name in facts["versions"] if any(name in row["engines"] for row in results)]
    peers = [name for name in engines if name != OURS]
    batches = any(row["batch"] != 1 for row in results)
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    head = ["network", *(["batch", "ms/image"] if batches else []), *(f"{name} ms" for name in engines),
            *(f"ratio {name}" for name in peers), "best peer", "diff"]
    lines = [f"{facts['cpu']}, {facts['threads']} thread(s) on CPU {','.join(map(str, facts['cpus']))}, "
             f"{facts['date'][:10]}; {versions}; commit {facts['commit']}; `{facts['command']}`", "",
             "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in results:
        entries = {name: row["engines"].get(name, {}) for name in engines}
        per_image = [str(row["batch"]), _per_image(entries[OURS], row["batch"])] if batches else []
        best, diff = best_peer(row), entries[OURS].get("difference")
        cells = [row["network"], *per_image, *(_milliseconds(entry) for entry in entries.values()),
                 *(_ratio(entries[name]) for name in peers), f"{best[1]:.2f} ({best[0]})" if best else "-",
                 "-" if diff is None else f"{diff:.1e}"]
        lines.append("| " + " | ".join(cells) + " |")
    to_each = [geometric_mean(row["engines"][name]["ratio"] for row in results if "ratio" in row["engines"].get(name, {}))
               for name in peers]
    to_best = geometric_mean(best[1] for best in map(best_peer, results) if best)
    blanks = [""] * (len(engines) + (2 if batches else 0))
    means = ["-" if mean is None else f"**{mean:.2f}**" for mean in [*to_each, to_best]]
    lines.append("| " + " | ".join(["**geometric mean**", *blanks, *means, ""]) + " |")
    return "\n".join([*lines, *_remarks(facts, results)])


def _remarks(facts: dict[str, Any], results: Sequence[dict[str, Any]]) -> list[str]:
    everyone = [(row, name, entry) for row in results for name, entry in row["engines"].items()]
    lowest = min((share for _, _, entry in everyone for share in entry["cpu_share"]), default=1.0)
    lines = []
    if facts["threads"] == 1 and lowest < BUSY:
        lines += ["", f"The machine was busy: in the worst round an engine had {lowest:.0%} of its CPU."]
    errors = [f"{row['network']}: {entry['error']}" for row, _, entry in everyone if "error" in entry]
    return [*lines, *(["", *errors] if errors else [])]


def _per_image(entry: dict[str, Any], batch: int) -> str:
    return f"{entry['median_ms'] / batch:.3g}" if "median_ms" in entry else "-"


def _milliseconds(entry: dict[str, Any]) -> str:
    if "median_ms" not in entry:
        return "-"
    return f"{entry['median_ms']:.3g} ({entry['p10_ms']:.3g}-{entry['p90_ms']:.3g})"


def _ratio(entry: dict[str, Any]) -> str:
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
    args = parser.parse_args(arguments)
    text = table(*read(args.results))
    if args.write:
        write_section(RESULTS, args.write, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
