"""Numbers of a machine that fit timed layers:  python -m bench.layers.fit PICKS.json ... [--machine zen5] [--numbers memory,wide.both_in]

PICKS.json: what `python -m bench.layers.picks --json` has written. Says how much time the picks of a row lose on them, and with --numbers
searches, one number after the other, for values with which they lose less. Nothing is timed. What was timed in few rounds is noisy, so a
fit to single layers is a proposal: `make picks` and whole networks decide.
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.layers import parse_line
from bench.layers.picks import GOOD
from fastcnn import _native
from fastcnn.convolve.ladder import candidates, choose, name_of
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.machine.current import current, named, using
from fastcnn.machine.numbers import Machine

STEPS = (0.4, 0.6, 0.75, 0.87, 0.95, 1.05, 1.15, 1.33, 1.7, 2.5)
MOST = 0.5                  # regret that counts: one layer should not outweigh thirty
WEIGHT_OF_GOOD = 0.1        # of the share of good picks, against the mean regret


class Timed:
    """Layers with the ms of their candidates."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]):
        self.rows = [(row, parse_line(row["line"]).shape(), {}) for row in rows]      # type: ignore[var-annotated]

    def regrets(self, machine: Machine) -> list[tuple[float, str, Mapping[str, Any]]]:
        """(regret, pick, layer) of every layer whose pick was timed."""
        found = []
        with using(machine):
            for row, shape, names in self.rows:
                pick = self._name(shape, names)
                if pick in row["ms"]:
                    found.append((row["ms"][pick] / min(row["ms"].values()) - 1, pick, row))
        return found

    @staticmethod
    def _name(shape: ConvShape, names: dict[str, str]) -> str:
        places = own_places(shape)
        picked = choose(Problem(shape, places, 1))
        key = repr(picked)
        if key not in names:
            names[key] = name_of(picked, candidates(Problem(shape, places, 1)))
        return names[key]


def score(regrets: Sequence[tuple[float, str, Mapping[str, Any]]]) -> float:
    """What the search makes small: mean regret, and the share of picks that are not good."""
    return sum(min(regret, MOST) + WEIGHT_OF_GOOD * (regret > GOOD) for regret, _, _ in regrets) / max(len(regrets), 1)


def search(timed: Timed, machine: Machine, names: Sequence[str], passes: int) -> Machine:
    """The numbers of these names by coordinate descent."""
    covered = len(timed.regrets(machine))
    best = score(timed.regrets(machine))
    for _ in range(passes):
        for name in names:
            for step in STEPS:
                other = changed(machine, name, step)
                regrets = timed.regrets(other)
                if len(regrets) >= covered and score(regrets) < best - 1e-6:
                    best, machine = score(regrets), other
                    print(f"{name} {value(machine, name):.4g}: {summary(regrets)}", flush=True)
    return machine


def value(machine: Any, name: str) -> float:
    for part in name.split("."):
        machine = getattr(machine, part)
    return machine


def changed(machine: Any, name: str, factor: float) -> Any:
    """The machine with a number, core.number or number, times a factor."""
    first, _, rest = name.partition(".")
    old = getattr(machine, first)
    return replace(machine, **{first: changed(old, rest, factor) if rest else type(old)(old * factor)})


def summary(regrets: Sequence[tuple[float, str, Mapping[str, Any]]]) -> str:
    count = max(len(regrets), 1)
    return (f"{len(regrets)} layers, {1 - sum(regret > GOOD for regret, _, _ in regrets) / count:.1%} within {GOOD:.0%}, "
            f"mean regret {sum(regret for regret, _, _ in regrets) / count:.2%}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.layers.fit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="PICKS.json")
    parser.add_argument("--machine", help="a row's name or a file of numbers; default: this machine")
    parser.add_argument("--numbers", default="", help="comma-separated, as wide.both_in or memory: what to search")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--worst", type=int, default=20, help="picks to list")
    args = parser.parse_args(arguments)
    found = [json.loads(file.read_text()) for file in args.files]
    _native.set_isa(found[0]["isa"])
    timed, machine = Timed([row for one in found for row in one["results"]]), named(args.machine) if args.machine else current()
    print(f"{machine.name}: {summary(timed.regrets(machine))}")
    if args.numbers:
        machine = search(timed, machine, args.numbers.split(","), args.passes)
        print(machine.to_json())
    for regret, pick, row in sorted(timed.regrets(machine), key=lambda one: -one[0])[:args.worst]:
        best = min(row["ms"], key=row["ms"].get)
        print(f"{regret:6.1%} {row['network']} {row['layer']}: {pick} {row['ms'][pick]:.4f} ms, {best} {row['ms'][best]:.4f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
