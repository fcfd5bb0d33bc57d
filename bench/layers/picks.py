"""Compares the planner's picks with the best candidates:  python -m bench.layers.picks [NETWORK | FILE] ...   (make picks)

The layers of the networks in this folder, weights cold. The best of many noisy times is too low, so the pick is not held against it:
every candidate is timed in a few rounds, the fastest and the pick in more, and at last the pick beside the winner alone, with their weights
elsewhere. Only these last times count: regret is the pick's over the winner's, less 1 (below 0 where the winner had luck before).
Layers of less than a microsecond or two, which the call outweighs, do not count. Exits with 1 when too few picks are good.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.layers import FOLDER, Layer, pinned, read_layers
from fastcnn import _native
from fastcnn.benchmark import machine
from fastcnn.convolve.ladder import candidates, choose, name_of
from fastcnn.convolve.shape import Problem, own_places
from fastcnn.machine.current import current
from fastcnn.tune.trial import Eviction, Trials
from fastcnn.tune.tuner import SMALLEST

GOOD = 0.10                 # regret of a good pick
LEAST_GOOD = 0.95           # of the layers
MEAN_REGRET = 0.02
FASTEST = 4                 # candidates that get more rounds


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.layers.picks", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"default: {', '.join(networks())}")
    parser.add_argument("--only", default="", help="layers whose description contains this")
    parser.add_argument("--cpu", type=int, help="default: the first allowed one")
    parser.add_argument("--isa", choices=_native.isas(), help="instruction set, default the best")
    parser.add_argument("--rounds", type=int, nargs=3, default=[6, 12, 16], metavar=("ALL", "FASTEST", "LAST"),
                        help="of all candidates, of the fastest, of the pick and the winner; default: %(default)s")
    parser.add_argument("--json", type=Path, help="write all times there, for bench.layers.fit")
    return parser.parse_args(arguments)


def networks() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.txt"))


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    with pinned(args.isa, None if args.cpu is None else [args.cpu]):
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Time, print and write; 1 where too few picks are good."""
    layers = [(Path(file).stem, layer) for file in args.files or networks() for layer in read_layers(file) if args.only in str(layer)]
    counted = [(network, layer) for network, layer in layers if layer.shape().macs >= SMALLEST]
    print(f"{machine.cpu_model()}, {_native.current_isa()}, planned for {current().name}, one thread, cold weights")
    eviction = Eviction(1)
    rows = []
    for network, layer in tqdm(counted, unit="layer", leave=False):
        rows.append({"network": network, "layer": str(layer), "line": layer.line(), "count": layer.count,
                     **time_layer(layer, args.rounds, eviction)})
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"machine": machine.describe(threads=1, cpus=sorted(os.sched_getaffinity(0))),
                                         "isa": _native.current_isa(), "results": rows}, indent=1) + "\n")
    return report(rows, len(layers) - len(counted))


def time_layer(layer: Layer, rounds: Sequence[int], eviction: Eviction) -> dict[str, Any]:
    """Ms of every candidate, the more of them the faster it is; regret of the pick."""
    shape = layer.shape()
    places = own_places(shape)
    listed = candidates(Problem(shape, places, 1))
    pick = name_of(choose(Problem(shape, places, 1)), listed)
    trials = Trials(Problem(shape, places, 1), listed, eviction)
    times = trials.times(rounds[0])
    fastest = {pick, *sorted(times, key=lambda name: times[name])[:FASTEST]}
    times |= trials.times(rounds[1], fastest)
    winner, regret = min(fastest, key=lambda name: times[name]), 0.0
    if winner != pick:
        last = Trials(Problem(shape, places, 1), {name: listed[name] for name in (pick, winner)}, eviction, shift=1).times(rounds[2])
        regret = last[pick] / last[winner] - 1
    return {"pick": pick, "winner": winner, "regret": regret, "ms": {name: 1e3 * seconds for name, seconds in times.items()}}


def report(rows: Sequence[Mapping[str, Any]], left_out: int) -> int:
    """Prints the picks that are not good, time lost by network, and how many are good; 1 where that is not enough."""
    for row in sorted(rows, key=lambda row: -row["regret"]):
        if row["regret"] > GOOD:
            print(f"{row['regret']:+7.1%} {row['network']} {row['layer']}: {row['pick']} instead of {row['winner']}")
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [(row["count"] * row["ms"][row["winner"]], row["regret"]) for row in rows if row["network"] == network]
        print(f"{network}: {sum(ms * regret for ms, regret in mine) / sum(ms for ms, _ in mine):+.1%} of the time of its layers")
    count = max(len(rows), 1)
    good, mean = 1 - sum(row["regret"] > GOOD for row in rows) / count, sum(row["regret"] for row in rows) / count
    print(f"{len(rows)} layers ({left_out} too small to count): {good:.1%} of the picks within {GOOD:.0%} of the best "
          f"(bar {LEAST_GOOD:.0%}), mean regret {mean:.2%} (bar {MEAN_REGRET:.0%})")
    return int(good < LEAST_GOOD or mean > MEAN_REGRET)


if __name__ == "__main__":
    sys.exit(main())
