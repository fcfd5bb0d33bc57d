"""Compares the planner's picks for 8-bit layers with the fastest candidates:  python -m bench.layers.byte_picks [NETWORK | FILE] ...

Dense layers of the networks in this folder, as layers of bytes, operands in the caches, without a residual. All candidates of a layer
run in turn and the least time counts; then the pick and the fastest of the others alone, which gives the regret: the pick's time over the
other's, less 1. Lines: regret, layer, the pick, the fastest. Then the mean, and the share of layers within a tenth.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from bench.layers import pinned, read_layers
from bench.layers.bytes import least, qconv
from bench.layers.picks import GOOD, networks
from fastcnn import _native
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.ladder import candidates, choose, name_of
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.machine.current import current


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.layers.byte_picks", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"default: {', '.join(networks())}")
    parser.add_argument("--only", default="", help="layers whose description contains this, as 1x1")
    parser.add_argument("--isa", choices=_native.levels(), help="instruction set, default the best")
    parser.add_argument("--rounds", type=int, default=10, help="times that each candidate of a layer is run, at least")
    parser.add_argument("--seconds", type=float, default=0.01, help="and as long as this for each")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    with pinned(args.isa, None, 1):
        print(f"{_native.current_isa()}, planned for {current().name}, one thread")
        regrets = [regret_of(shape, args) for shape in tqdm(shapes(args), unit="layer", leave=False)]
    good = sum(regret <= GOOD for regret in regrets) / max(len(regrets), 1)
    print(f"{len(regrets)} layers, mean regret {sum(regrets) / max(len(regrets), 1):.1%}, {good:.0%} within {GOOD:.0%}")
    return 0


def shapes(args: argparse.Namespace) -> list[ConvShape]:
    """Different dense layers of the files, as layers of bytes."""
    layers = [layer for file in args.files or networks() for layer in read_layers(file)]
    found = [replace(layer.shape(), arithmetic=U8S8) for layer in layers if layer.groups == 1 and args.only in str(layer)]
    return list(dict.fromkeys(found))


def regret_of(shape: ConvShape, args: argparse.Namespace) -> float:
    """Of the pick for a layer, printed."""
    problem = Problem(shape, own_places(shape), 1)
    listed = candidates(problem)
    pick = name_of(choose(problem), listed)
    times = dict(zip(listed, timed(shape, list(listed.values()), args)))
    best = min(times, key=lambda name: times[name])
    regret = 0.0
    if best != pick:
        took = timed(shape, [listed[pick], listed[best]], args, 4)
        regret = took[0] / took[1] - 1
    tqdm.write(f"{regret:+6.1%} {str(shape).partition(', u')[0]}: {pick}; {best}")
    return regret


def timed(shape: ConvShape, picked: Sequence[Choice], args: argparse.Namespace, longer: int = 1) -> list[float]:
    """The least seconds of each choice, in turn."""
    own = argparse.Namespace(rounds=args.rounds * longer, seconds=args.seconds * longer)
    return least([qconv(shape, False, False, picked=each) for each in picked], own)


if __name__ == "__main__":
    sys.exit(main())
