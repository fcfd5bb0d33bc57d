"""Times the way to the first answer:  python -m bench.start MODEL.onnx ... [--threads 1]

Import of what loads models, load, first and second run, and the peak of memory after a third, each in a fresh process that has imported
nothing else; engines take turns, medians of --rounds processes. The files lie in the page cache and modules are compiled, as in an
installed package: the first turn of each engine is not counted. A folder stands for all .onnx files in it.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean, median
from tempfile import TemporaryDirectory

TOP = Path(__file__).parent.parent
PHASES = ("import", "load", "first run", "second run")
CPU = " cpu"                                 # what a phase has behind its name where it is CPU time
ENGINES = ("fastcnn", "onnxruntime")        # both answer to InferenceSession


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".onnx files, folders with such")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", help="comma-separated CPUs; default: the first THREADS allowed ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--brief", action="store_true", help="one line a network")
    parser.add_argument("--cpu", action="store_true", help="CPU time of the process instead of time on the wall, in --brief and for --bar")
    parser.add_argument("--bar", type=float, metavar="X",
                        help="exit with 1 when loading the networks takes more than X times as long as in onnxruntime, summed")
    parser.add_argument("--json", type=Path, help="every single figure")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    cpus = [int(cpu) for cpu in args.cpus.split(",")] if args.cpus else sorted(os.sched_getaffinity(0))[:args.threads]
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with TemporaryDirectory() as bytecode:
        for model in files_of(args.models):
            found[model] = {engine: [] for engine in ENGINES}
            for turn in range(args.rounds + 1):
                for engine in ENGINES:
                    figures = measure(engine, model, args.threads, cpus, bytecode)
                    if turn:
                        found[model][engine].append(figures)
    if args.json:
        args.json.write_text(json.dumps({"python": platform.python_version(), "threads": args.threads, "cpus": cpus, "results": found},
                                        indent=1) + "\n")
    clock = CPU if args.cpu else ""
    print(brief_table(found, clock) if args.brief else table(found))
    ours, theirs = (sum(summarise(engines[engine])["load" + clock] for engines in found.values()) for engine in ENGINES)
    return 1 if args.bar and ours > args.bar * theirs else 0


def files_of(names: Sequence[str]) -> list[str]:
    """The names, and in the place of a folder the .onnx files in it, at any depth."""
    return [str(file) for name in names for file in (sorted(Path(name).rglob("*.onnx")) if Path(name).is_dir() else [name])]


def measure(engine: str, model: str, threads: int, cpus: Sequence[int], bytecode: str = "") -> dict[str, float]:
    """Seconds of each phase and bytes of peak memory, from one process. Raises RuntimeError with its last line when it fails.

    bytecode  folder for compiled modules; "": as this process has it
    """
    paths = [str(TOP), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ORT_DISABLE_TELEMETRY": "1"}
    if bytecode:
        environment.update(PYTHONPYCACHEPREFIX=bytecode, PYTHONDONTWRITEBYTECODE="")
    command = [sys.executable, str(Path(__file__).with_name("start_process.py")), engine, model, str(threads), ",".join(map(str, cpus))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{engine} {model}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Markdown: ms of each phase and of those up to the first answer, MB; the last line of a model has the peer's over ours."""
    head = ["network", "engine", *(f"{phase} ms" for phase in PHASES), "load + first run ms", "import + load + first run ms", "peak MB"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for model, engines in found.items():
        ours, theirs = (summarise(engines[engine]) for engine in ENGINES)
        for engine, summary in zip(ENGINES, (ours, theirs), strict=True):
            cells = [f"{1e3 * summary[name]:.3g}" for name in (*PHASES, "loaded", "answer")]
            lines.append("| " + " | ".join([Path(model).stem, engine, *cells, f"{summary['peak'] / 1e6:.0f}"]) + " |")
        ratios = [f"{theirs[name] / max(ours[name], 1e-9):.2f}" for name in (*PHASES, "loaded", "answer", "peak")]
        lines.append("| " + " | ".join(["", "ratio", *ratios]) + " |")
    return "\n".join(lines)


def brief_table(found: dict[str, dict[str, list[dict[str, float]]]], clock: str = "") -> str:
    """Markdown: a line a network, ours / the peer's and in brackets the peer's over ours (of memory: ours over the peer's).

    The last lines have the means of the quotients, and the sums of the times.
    """
    columns = (("load", "load ms"), ("loaded", "load + first run ms"), ("answer", "import + load + first run ms"), ("peak", "peak MB"))
    head = ["network", *(title + (clock if name != "peak" else "") for name, title in columns)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in columns}
    for model, engines in found.items():
        ours, theirs = (summarise(engines[engine]) for engine in ENGINES)
        for name in pairs:
            key, scale = (name, 1e-6) if name == "peak" else (name + clock, 1e3)
            pairs[name].append((scale * ours[key], scale * theirs[key]))
        path = Path(model)
        cells = [_beside(name, *values[-1]) for name, values in pairs.items()]
        lines.append("| " + " | ".join([path.parent.name if path.stem == "model" else path.stem, *cells]) + " |")
    means = [f"{geometric_mean(_quotient(name, *pair) for pair in values):.2f}" for name, values in pairs.items()]
    sums = [_beside(name, *map(sum, zip(*values))) for name, values in pairs.items()]
    return "\n".join([*lines, "| " + " | ".join(["geometric mean", *means]) + " |", "| " + " | ".join(["sum", *sums]) + " |"])


def _beside(name: str, ours: float, theirs: float) -> str:
    return f"{ours:.0f} / {theirs:.0f} ({_quotient(name, ours, theirs):.2f})"


def _quotient(name: str, ours: float, theirs: float) -> float:
    return ours / theirs if name == "peak" else theirs / ours


def summarise(processes: Sequence[dict[str, float]]) -> dict[str, float]:
    """Medians, also of the sums up to the first answer, with and without the import."""
    sums = [{**p, **{"loaded" + clock: p["load" + clock] + p["first run" + clock],
                     "answer" + clock: p["import" + clock] + p["load" + clock] + p["first run" + clock]}}
            for p in processes for clock in ("", CPU)]
    return {name: median(p[name] for p in sums if name in p) for name in sums[0] | sums[-1]}


if __name__ == "__main__":
    sys.exit(main())
