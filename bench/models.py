"""Whole networks against other engines:  python -m bench.models [NAMES or .onnx files or folders] --against onnxruntime

One process per engine, all on the same CPUs. In each round every engine runs for a while, one after the other, the others asleep;
so drifts of the machine hit all alike. Prints a Markdown table and writes everything into a JSON file.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tqdm import tqdm

import models
from bench import machine
from bench.engines import ENGINES, Feeds
from bench.worker import EngineError, Worker

DEFAULT_NETWORKS = ("lenet5", "resnet18", "resnet50", "mobilenet_v2", "vgg16")
BUSY = 0.97                     # with one thread: less CPU time than this share of the wall time, and others took the CPU
REFERENCE = "onnxruntime"       # whose outputs the others are compared with
RESULTS = Path(__file__).parent / "results"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(DEFAULT_NETWORKS), metavar="NETWORK",
                        help=f"names ({', '.join(models.NETWORKS)}), .onnx files, folders of them")
    parser.add_argument("--against", default=REFERENCE,
                        help=f"comma-separated peers ({', '.join(list(ENGINES)[1:])}), default %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", help="comma-separated CPUs for every engine; default: the first THREADS allowed ones")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--extent", type=int, default=224, help="what symbolic axes besides the first become")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measurement per engine and round")
    parser.add_argument("--warmup", type=float, default=0.3, help="seconds of runs before each that do not count")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between engines, for threads to stop spinning")
    parser.add_argument("--json", type=Path, help="where results go; default: bench/results/<date>-models.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    engines = ["fastcnn", *(name for name in args.against.split(",") if name and name != "fastcnn")]
    for name in engines[1:]:
        if name not in ENGINES:
            sys.exit(f"unknown engine {name!r}, only {', '.join(ENGINES)}")
        if ENGINES[name].version() is None:
            sys.exit(f"{name} needs the package {ENGINES[name].package}: pip install {ENGINES[name].package}")
    cpus = pick_cpus(args.cpus, args.threads)
    facts = machine.describe(engines, args.threads, cpus)
    workers = [Worker(name, args.threads, cpus) for name in engines]
    results = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            networks = find_networks(args.networks)
            with tqdm(total=len(networks) * args.rounds * len(workers), unit="run", leave=False) as progress:
                for name in networks:
                    progress.set_description(Path(name).stem)
                    results.append(bench_network(name, workers, args, Path(folder), progress))
    finally:
        for worker in workers:
            worker.close()
    write_json(args.json, facts, results)
    print(table(facts, results, engines))
    return 0


def pick_cpus(text: str | None, threads: int) -> list[int]:
    """The CPUs that every engine is pinned to."""
    if text:
        return [int(cpu) for cpu in text.split(",")]
    return sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []


def find_networks(names: Sequence[str]) -> list[str]:
    """Names of the models package and paths of files; folders become the files in them."""
    found = []
    for name in names:
        if Path(name).is_dir():
            found += sorted(str(path) for path in Path(name).rglob("*.onnx"))
        elif name in models.NETWORKS or Path(name).is_file():
            found.append(name)
        else:
            sys.exit(f"{name!r} is neither a network ({', '.join(models.NETWORKS)}) nor a file")
    return found


def bench_network(name: str, workers: Sequence[Worker], args: argparse.Namespace, folder: Path, progress: tqdm) -> dict[str, Any]:
    """Load everywhere, compare outputs, then the interleaved rounds."""
    path = folder / "network.onnx" if name in models.NETWORKS else Path(name)
    if name in models.NETWORKS:
        onnx.save(models.build(name, batch=args.batch), str(path))
    feeds = random_feeds(path, args.batch, args.extent)
    engines: dict[str, dict[str, Any]] = {}
    outputs, alive = {}, []
    for worker in workers:
        entry: dict[str, Any] = {"rounds": [], "cpu_share": []}
        engines[worker.engine] = entry
        try:
            entry["load_seconds"] = worker.load(str(path), feeds)
            outputs[worker.engine] = worker.outputs()
            alive.append(worker)
        except EngineError as error:
            entry["error"] = str(error)
            progress.update(args.rounds)
    for engine, values in outputs.items():
        if REFERENCE in outputs and engine != REFERENCE:
            engines[engine]["difference"] = difference(values, outputs[REFERENCE])
    for _ in range(args.rounds):
        for worker in alive:
            time.sleep(args.pause)
            times, share = worker.time(args.seconds, args.warmup)
            engines[worker.engine]["rounds"].append(times)
            engines[worker.engine]["cpu_share"].append(share / args.threads)
            progress.update()
    summarise(engines)
    return {"network": Path(name).stem, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "inputs": {k: list(v.shape) for k, v in feeds.items()}, "engines": engines}


def random_feeds(path: Path, batch: int, extent: int) -> Feeds:
    """Seeded random inputs of the types and shapes that the file declares."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {w.name for w in graph.initializer}
    rng = np.random.default_rng(0)
    feeds = {}
    for value in graph.input:
        if value.name in weights:
            continue
        dims = value.type.tensor_type.shape.dim
        shape = [d.dim_value or (batch if axis == 0 else extent) for axis, d in enumerate(dims)]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = (rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)).astype(dtype)
    return feeds


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


def summarise(engines: dict[str, Any]) -> None:
    """Adds median, p10, p90 in ms, and each peer's median over ours: of all runs, and the lowest and highest of a round."""
    for entry in engines.values():
        times = np.concatenate([np.asarray(r) for r in entry["rounds"]]) * 1e3 if entry["rounds"] else None
        if times is not None:
            entry["median_ms"], entry["p10_ms"], entry["p90_ms"] = (float(np.percentile(times, q)) for q in (50, 10, 90))
            entry["runs"] = len(times)
    ours = engines["fastcnn"]
    for name, entry in engines.items():
        if name != "fastcnn" and "median_ms" in entry and "median_ms" in ours:
            entry["ratio"] = entry["median_ms"] / ours["median_ms"]
            by_round = [float(np.median(a) / np.median(b)) for a, b in zip(entry["rounds"], ours["rounds"], strict=True)]
            entry["ratio_rounds"] = [min(by_round), max(by_round)]


def write_json(path: Path | None, facts: dict[str, Any], results: list[dict[str, Any]]) -> None:
    if path is None:
        path = RESULTS / f"{facts['date'].replace(':', '')[:15]}-models.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
    print(f"{path}\n", file=sys.stderr)


def table(facts: dict[str, Any], results: Sequence[dict[str, Any]], engines: Sequence[str]) -> str:
    """Markdown: ms as median (p10-p90); ratio is the peer's median over ours; diff is ours against onnxruntime."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [f"{facts['cpu']}, {facts['threads']} thread(s) on CPU {','.join(map(str, facts['cpus']))}, "
             f"{facts['date'][:10]}; {versions}; commit {facts['commit']}; `{facts['command']}`", ""]
    peers = engines[1:]
    head = ["network", *(f"{name} ms" for name in engines), *(f"ratio {name}" for name in peers), "diff"]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in results:
        entries = row["engines"]
        diff = entries["fastcnn"].get("difference")
        cells = [row["network"], *(_milliseconds(entries[name]) for name in engines),
                 *(_ratio(entries[name]) for name in peers), "-" if diff is None else f"{diff:.1e}"]
        lines.append("| " + " | ".join(cells) + " |")
    everyone = [entry for row in results for entry in row["engines"].values()]
    lowest = min((share for entry in everyone for share in entry["cpu_share"]), default=1.0)
    if facts["threads"] == 1 and lowest < BUSY:
        lines += ["", f"The machine was busy: in the worst round an engine had {lowest:.0%} of its CPU."]
    errors = [f"{row['network']}: {entry['error']}" for row in results for entry in row["engines"].values()
              if "error" in entry]
    return "\n".join([*lines, *(["", *errors] if errors else [])])


def _milliseconds(entry: dict[str, Any]) -> str:
    if "median_ms" not in entry:
        return "-"
    return f"{entry['median_ms']:.3g} ({entry['p10_ms']:.3g}-{entry['p90_ms']:.3g})"


def _ratio(entry: dict[str, Any]) -> str:
    if "ratio" not in entry:
        return "-"
    return f"{entry['ratio']:.2f} ({entry['ratio_rounds'][0]:.2f}-{entry['ratio_rounds'][1]:.2f})"


if __name__ == "__main__":
    sys.exit(main())
