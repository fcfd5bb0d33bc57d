"""How soon the first answer is there:  python -m bench.start MODEL.onnx ... [--threads 1]

Import, load, first and second run, and the peak of memory after a third, each in a fresh process that has imported nothing else;
engines take turns, medians of --rounds processes. The files lie in the page cache and modules are compiled, as in an installed package:
the first turn of each engine is not counted.
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
ENGINES = ("fastcnn", "onnxruntime")        # both answer to InferenceSession


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".onnx files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", help="comma-separated CPUs; default: the first THREADS allowed ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--brief", action="store_true", help="one line a network")
    parser.add_argument("--json", type=Path, help="every single figure")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    cpus = [int(cpu) for cpu in args.cpus.split(",")] if args.cpus else sorted(os.sched_getaffinity(0))[:args.threads]
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with TemporaryDirectory() as bytecode:
        for model in args.models:
            found[model] = {engine: [] for engine in ENGINES}
            for turn in range(args.rounds + 1):
                for engine in ENGINES:
                    figures = measure(engine, model, args.threads, cpus, bytecode)
                    if turn:
                        found[model][engine].append(figures)
    if args.json:
        args.json.write_text(json.dumps({"python": platform.python_version(), "threads": args.threads, "cpus": cpus, "results": found},
                                        indent=1) + "\n")
    print(brief_table(found) if args.brief else table(found))
    return 0


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


def brief_table(found: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Markdown: a line a network, ours / the peer's and in brackets the peer's over ours (of memory: ours over the peer's)."""
    columns = (("load", "load ms"), ("loaded", "load + first run ms"), ("answer", "import + load + first run ms"), ("peak", "peak MB"))
    head = ["network", *(title for _, title in columns)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    quotients: dict[str, list[float]] = {name: [] for name, _ in columns}
    for model, engines in found.items():
        ours, theirs = (summarise(engines[engine]) for engine in ENGINES)
        cells = []
        for name, _ in columns:
            a, b = (summary[name] / 1e6 if name == "peak" else 1e3 * summary[name] for summary in (ours, theirs))
            quotients[name].append(a / b if name == "peak" else b / a)
            cells.append(f"{a:.0f} / {b:.0f} ({quotients[name][-1]:.2f})")
        lines.append("| " + " | ".join([Path(model).stem, *cells]) + " |")
    means = [f"{geometric_mean(values):.2f}" for values in quotients.values()]
    return "\n".join([*lines, "| " + " | ".join(["geometric mean", *means]) + " |"])


def summarise(processes: Sequence[dict[str, float]]) -> dict[str, float]:
    """Medians, also of the sums up to the first answer, with and without the import."""
    sums = [{**p, "loaded": p["load"] + p["first run"], "answer": p["import"] + p["load"] + p["first run"]} for p in processes]
    return {name: median(p[name] for p in sums) for name in sums[0]}


if __name__ == "__main__":
    sys.exit(main())
