"""Whole networks of the laboratory against other engines:  python -m bench.models [NAMES or .onnx files or folders] --against onnxruntime

`fastcnn bench` for networks that models/ builds by name: the same measurement, a table with a line a network for RESULTS.md.
Everything goes into a JSON file, --plot draws it.
"""
from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from rich.console import Console
from rich.progress import Progress

import models
from bench import report
from fastcnn.benchmark.session import bench, found_models
from fastcnn.benchmark.settings import Settings, contenders
from fastcnn.benchmark.worker.engines import ENGINES

DEFAULT_NETWORKS = ("lenet5", "resnet18", "resnet50", "mobilenet_v2", "vgg16")
RESULTS = Path(__file__).parent / "results"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(DEFAULT_NETWORKS), metavar="NETWORK",
                        help=f"names ({', '.join(models.NETWORKS)}), .onnx files, folders of them")
    parser.add_argument("--against", default=report.REFERENCE,
                        help=f"comma-separated peers ({', '.join(list(ENGINES)[1:])}), default %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", help="comma-separated CPUs for every engine; default: the first THREADS allowed ones")
    parser.add_argument("--batch", default="1", help="images in each run; 1,8,32 measures each network at each of them")
    parser.add_argument("--precision", default="float32",
                        help="as of fastcnn bench: float32, bf16, int8 (what fastcnn.quantize makes of the network,\n"
                        "in all engines), strict, weights-int8; several with commas, default %(default)s")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH",
                        help="the interpreter of an engine that lives in another virtual environment; may be repeated")
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
    engines, batches, precisions = args.against.split(","), [int(number) for number in args.batch.split(",")], args.precision.split(",")
    how = Settings(rounds=args.rounds, seconds=args.seconds, warmup=args.warmup, pause=args.pause, again=args.again,
                   cpus=[int(cpu) for cpu in args.cpus.split(",")] if args.cpus else None, pythons=read_pythons(args.python))
    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as bar:
        files = found_networks(args.networks, Path(folder))
        task = bar.add_task("networks", total=len(files) * len(batches) * len(contenders(engines, precisions)) * how.turns())
        found = bench(files, engines, threads=[args.threads], batch=batches, precision=precisions, settings=how,
                      advance=lambda: bar.advance(task))
    facts, results = found["machine"], found["results"]
    path = args.json or RESULTS / f"{facts['date'].replace(':', '')[:15]}-models.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{path}\n", file=sys.stderr)
    if args.plot:
        from fastcnn.benchmark.plot import draw
        draw(facts, results, args.plot)
    print(report.table(facts, results))
    return 0


def read_pythons(options: Sequence[str]) -> dict[str, str]:
    """{engine: interpreter} of ENGINE=PATH options."""
    for option in options:
        if "=" not in option:
            sys.exit(f"--python {option}: not ENGINE=PATH")
    return dict(option.split("=", 1) for option in options)


def found_networks(names: Sequence[str], folder: Path) -> list[Path]:
    """Files: those named, those in folders named, and networks of the models package, built into `folder` with a batch of 1."""
    found: list[Path] = []
    for name in names:
        if name in models.NETWORKS:
            found.append(folder / f"{name}.onnx")
            onnx.save(models.build(name, batch=1), str(found[-1]))
        elif Path(name).exists():
            found += found_models([name])
        else:
            sys.exit(f"{name!r} is neither a network ({', '.join(models.NETWORKS)}) nor a file")
    return found


if __name__ == "__main__":
    sys.exit(main())
