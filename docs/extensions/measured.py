"""Pictures of the tables in bench/RESULTS.md, and a page for each note of bench/notes, made when the site is built."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastcnn.benchmark.plot import draw
from fastcnn.benchmark.worker.engines import ENGINES

DOCS = Path(__file__).parent.parent
BENCH = DOCS.parent / "bench"
Table = tuple[str, str, list[dict[str, Any]]]


def tables(text: str) -> Iterator[Table]:
    """(section, threads, rows) of every table of whole networks in RESULTS.md: milliseconds of engines, of one thread and of two."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        lines = [line for line in section.splitlines() if line.startswith("|")]
        if not lines or not lines[0].startswith("| network |"):
            continue
        head = [cell.strip() for cell in lines[0].strip("|").split("|")]
        body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
        two = next((k for k, cell in enumerate(head) if cell.startswith("two threads: ")), len(head))
        for threads, columns in (("one thread", range(1, two)), ("two threads", range(two, len(head)))):
            engines = {k: name for k in columns if (name := head[k].removeprefix("two threads: ").removesuffix(" ms")) in ENGINES}
            rows = [_row(cells, engines) for cells in body if len(cells) == len(head) and "*" not in cells[0]]
            if len(engines) > 1:
                yield title, threads, [row for row in rows if row["engines"]]


def _row(cells: list[str], engines: dict[int, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k, name in engines.items():
        number = re.match(r"[\d.]+(?:e[+-]?\d+)?", cells[k])
        if number:
            found[name] = {"median_ms": float(number[0])}
    if "fastcnn" not in found:
        return {"engines": {}}
    for name, entry in found.items():
        if name != "fastcnn":
            entry["ratio"] = entry["median_ms"] / found["fastcnn"]["median_ms"]
    return {"network": cells[0], "batch": 1, "threads": 1, "engines": found}


def make(*_: object) -> None:
    """Pictures into generated/, and pages that include what lies outside of docs/."""
    generated, notes = DOCS / "generated", DOCS / "benchmarks" / "notes"
    generated.mkdir(exist_ok=True)
    notes.mkdir(exist_ok=True)
    parts = []
    for k, (title, threads, rows) in enumerate(tables((BENCH / "RESULTS.md").read_text())):
        cpu, _, date = title.rpartition(", ")
        draw({"cpu": cpu, "date": f"{date}, {threads}", "versions": {"fastcnn": ""}}, rows, generated / f"results-{k}.png")
        parts.append(f"```{{figure}} ../generated/results-{k}.png\n:alt: {title}, {threads}\n{title}: {threads}.\n```\n")
    (generated / "results.md").write_text("\n".join(parts))
    for file in sorted((BENCH / "notes").glob("*.md")):
        (notes / file.name).write_text(f"```{{include}} ../../../bench/notes/{file.name}\n```\n")


def setup(app: object) -> dict[str, bool]:
    app.connect("builder-inited", make)                             # type: ignore[attr-defined]
    return {"parallel_read_safe": True}
