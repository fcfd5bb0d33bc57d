"""Times every algorithm on the layers of a network:  python -m bench.layers [resnet50 | mobilenet_v2 | vgg16 | FILE] ...

For each layer the candidates from fastest to slowest, GFLOP/s of the direct convolution's operations (so Winograd can exceed the
peak) and their share of the measured peak; <-- marks the planner's pick. The last lines weigh layers by how often they occur.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from bench.layers import FOLDER, Layer, pinned, read_layers
from fastcnn import _native
from fastcnn.benchmark import machine
from fastcnn.convolve.ladder import candidates, choose, name_of
from fastcnn.convolve.shape import Problem, own_places
from fastcnn.machine.clock import peak_gflops
from fastcnn.tune.trial import Eviction, Trials


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", default=["resnet50"], metavar="FILE",
                        help=f"text files, or {', '.join(sorted(f.stem for f in FOLDER.glob('*.txt')))}; default: %(default)s")
    parser.add_argument("--only", default="", help="layers whose description contains this")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", help="comma-separated; default: the first THREADS allowed ones")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--isa", choices=_native.isas(), help="instruction set, default the best")
    parser.add_argument("--rounds", type=int, default=12, help="runs of each candidate of a layer, in turn; their lower quartile counts")
    parser.add_argument("--cold", action="store_true", help="empty L2 before each round: weights come from beyond it, as in a network")
    parser.add_argument("--top", type=int, default=6, help="candidates shown besides the pick")
    parser.add_argument("--json", type=Path, help="write all times there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    with pinned(args.isa, [int(c) for c in args.cpus.split(",")] if args.cpus else None, args.threads):
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Time, print and write."""
    layers = [(Path(file).stem, layer) for file in args.files for layer in read_layers(file) if args.only in str(layer)]
    peak = peak_gflops() * args.threads
    print(f"{machine.cpu_model()}, {_native.current_isa()}, {args.threads} thread(s), measured peak {peak:.0f} GFLOP/s")
    eviction = Eviction(args.threads) if args.cold else None
    rows = []
    for network, layer in tqdm(layers, unit="layer", leave=False):
        rows.append({"network": network, "layer": str(layer), "count": layer.count, **time_layer(layer, args, eviction)})
        tqdm.write(describe(layer, rows[-1], args, peak))
    summarise(rows)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        facts = machine.describe(threads=args.threads, cpus=sorted(os.sched_getaffinity(0)))
        args.json.write_text(json.dumps({"machine": facts, "isa": _native.current_isa(), "peak_gflops": peak, "cold": args.cold,
                                         "results": rows}, indent=1) + "\n")
    return 0


def time_layer(layer: Layer, args: argparse.Namespace, eviction: Eviction | None) -> dict[str, object]:
    """Ms of every candidate, rounds interleaved; which one is the pick."""
    shape = layer.shape(args.batch)
    places = own_places(shape)
    listed = candidates(Problem(shape, places, args.threads))
    pick = name_of(choose(Problem(shape, places, args.threads)), listed)
    times = Trials(Problem(shape, places, args.threads), listed, eviction).times(args.rounds)
    return {"pick": pick, "pick_ms": 1e3 * times[pick], "best_ms": 1e3 * min(times.values()),
            "ms": {name: 1e3 * seconds for name, seconds in times.items()}}


def describe(layer: Layer, row: dict, args: argparse.Namespace, peak: float) -> str:
    """The layer's table."""
    gflop = 2e-9 * layer.shape(args.batch).macs
    lines = [f"\n{layer}"]
    ordered = sorted(row["ms"], key=row["ms"].get)
    for rank, name in enumerate(ordered):
        if rank < args.top or name == row["pick"]:
            rate = gflop / row["ms"][name] * 1e3
            mark = "  <--" if name == row["pick"] else ""
            lines.append(f"  {name:28} {row['ms'][name]:9.4f} ms {rate:7.0f} GFLOP/s {rate / peak:6.0%}{mark}")
    return "\n".join(lines)


def summarise(rows: Sequence[dict]) -> None:
    """Per network: time of all its layers as picked, with the best candidates, and without Winograd."""
    print()
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network]
        picked, best = (sum(row["count"] * row[key] for row in mine) for key in ("pick_ms", "best_ms"))
        plain = sum(row["count"] * min(ms for name, ms in row["ms"].items() if "Winograd" not in name) for row in mine)
        print(f"{network}: {picked:.3f} ms as picked, {best:.3f} ms with the best of each ({picked / best - 1:+.1%}), "
              f"{plain:.3f} ms without Winograd")


if __name__ == "__main__":
    sys.exit(main())
