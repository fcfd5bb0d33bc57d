"""Whole networks against other engines:  python -m bench.models [NAMES or .onnx files or folders] --against onnxruntime

One process per engine, all on the same CPUs. In each round every engine runs for a while, one after the other, the others asleep;
so drifts of the machine hit all alike. Prints a Markdown table, writes everything into a JSON file, draws it with --plot.
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
from bench import machine, report
from bench.batch import save_with_batch
from bench.engines import ENGINES, Feeds
from bench.worker import EngineError, Worker

DEFAULT_NETWORKS = ("lenet5", "resnet18", "resnet50", "mobilenet_v2", "vgg16")
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
    parser.add_argument("--batch", default="1", help="images in each run; 1,8,32 measures each network at each of them")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH",
                        help="the interpreter of an engine that lives in another virtual environment; may be repeated")
    parser.add_argument("--extent", type=int, default=224, help="what symbolic axes besides the first become")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measurement per engine and round")
    parser.add_argument("--warmup", type=float, default=0.3, help="seconds of runs before each that do not count")
    parser.add_argument("--again", type=int, default=3, help="how often a turn on a busy CPU is taken again at most (one thread)")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between engines, for threads to stop spinning")
    parser.add_argument("--json", type=Path, help="where results go; default: bench/results/<date>-models.json")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="a picture of the ratios (needs matplotlib)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    engines = ["fastcnn", *(name for name in args.against.split(",") if name and name != "fastcnn")]
    pythons = read_pythons(args.python)
    for name in [*engines, *pythons]:
        if name not in ENGINES:
            sys.exit(f"unknown engine {name!r}, only {', '.join(ENGINES)}")
    cpus = pick_cpus(args.cpus, args.threads)
    batches = [int(number) for number in args.batch.split(",")]
    workers = [Worker(name, args.threads, cpus, pythons.get(name, sys.executable)) for name in engines]
    results = []
    try:
        facts = machine.describe(engines, args.threads, cpus)
        facts["versions"].update({worker.engine: installed(worker) for worker in workers[1:]})
        with tempfile.TemporaryDirectory() as folder:
            runs = [(name, batch) for name in find_networks(args.networks) for batch in batches]
            with tqdm(total=len(runs) * args.rounds * len(workers), unit="run", leave=False) as progress:
                for name, batch in runs:
                    progress.set_description(f"{Path(name).stem} x{batch}")
                    results.append(bench_network(name, batch, workers, args, Path(folder), progress))
    finally:
        for worker in workers:
            worker.close()
    write_json(args.json, facts, results)
    if args.plot:
        from bench import plot
        plot.draw(facts, results, args.plot)
    print(report.table(facts, results))
    return 0


def read_pythons(options: Sequence[str]) -> dict[str, str]:
    """{engine: interpreter} of ENGINE=PATH options."""
    for option in options:
        if "=" not in option:
            sys.exit(f"--python {option}: not ENGINE=PATH")
    return dict(option.split("=", 1) for option in options)


def installed(worker: Worker) -> str:
    """Versions of the engine and its converter; exits where a package is missing."""
    versions = worker.versions()
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        sys.exit(f"{worker.engine} needs: pip install {' '.join(missing)}")
    first, *others = versions.items()
    return " ".join([str(first[1]), *(f"({name} {version})" for name, version in others)])


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


def bench_network(name: str, batch: int, workers: Sequence[Worker], args: argparse.Namespace, folder: Path,
                  progress: tqdm) -> dict[str, Any]:
    """Load everywhere, compare outputs, then the interleaved rounds."""
    if name in models.NETWORKS:
        path = folder / "network.onnx"
        onnx.save(models.build(name, batch=batch), str(path))
    else:
        path = save_with_batch(Path(name), batch, folder)
    feeds = random_feeds(path, batch, args.extent)
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
            times, share = undisturbed(worker, args)
            engines[worker.engine]["rounds"].append(times)
            engines[worker.engine]["cpu_share"].append(share)
            progress.update()
    report.summarise(engines, batch)
    return {"network": Path(name).stem, "batch": batch, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "inputs": {k: list(v.shape) for k, v in feeds.items()}, "engines": engines}


def undisturbed(worker: Worker, args: argparse.Namespace) -> tuple[list[float], float]:
    """Times of an engine's turn and the share of its CPUs that it had; with one thread a turn that others disturbed is taken again."""
    best: tuple[list[float], float] = [], -1.0
    for _ in range(1 + args.again):
        times, share = worker.time(args.seconds, args.warmup)
        best = max(best, (times, share / args.threads), key=lambda turn: turn[1])
        if args.threads > 1 or best[1] >= report.BUSY:
            break
    return best


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


def write_json(path: Path | None, facts: dict[str, Any], results: list[dict[str, Any]]) -> None:
    if path is None:
        path = RESULTS / f"{facts['date'].replace(':', '')[:15]}-models.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
    print(f"{path}\n", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
