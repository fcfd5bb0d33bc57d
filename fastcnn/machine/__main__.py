"""The numbers that plans are made with, and those of this machine:

    python -m fastcnn.machine               the processor's row and the numbers in use
    python -m fastcnn.machine --measure     measures (two seconds, one thread, a quiet machine) and keeps what came out
    python -m fastcnn.machine --check       measures and says how far the machine is from its row; exits with 1 beyond --within

What was measured is used where FASTCNN_MACHINE=measured says so.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import fastcnn._native as _native
from fastcnn.machine.current import current, measured_file
from fastcnn.machine.measure import measured
from fastcnn.machine.numbers import Machine
from fastcnn.machine.table import machine_of

WITHIN = 2.0                # times: what a row may be off before the planner's picks suffer


def numbers(machine: Machine) -> Iterator[tuple[str, float]]:
    """(name, value) of all numbers of a machine; those of a core are called core.name."""
    for name, value in asdict(machine).items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", number) for inner, number in value.items())
        elif not isinstance(value, str):
            yield name, value


def far(row: Machine, other: Machine, within: float) -> list[str]:
    """Names of the numbers that differ between two machines by more than a factor of `within`."""
    return [name for (name, a), (_, b) in zip(numbers(row), numbers(other)) if max(a / b, b / a) > within]


def table(columns: Sequence[Machine], marked: Sequence[str] = ()) -> str:
    """A text table with one line per number and one column per machine."""
    lines = [f"{'':18}" + "".join(f" {machine.name[:24]:>24}" for machine in columns)]
    for values in zip(*map(numbers, columns)):
        name = values[0][0]
        lines.append(f"{name:18}" + "".join(f" {value:24.6g}" for _, value in values) + ("  <--" if name in marked else ""))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastcnn.machine", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure and keep the numbers")
    parser.add_argument("--check", action="store_true", help="measure and compare with the row")
    parser.add_argument("--within", type=float, default=WITHIN, help="factor that --check allows, default %(default)s")
    args = parser.parse_args(arguments)
    cpu, row = _native.cpu(), machine_of(_native.cpu())
    print(f"{cpu['vendor']} {cpu['model']}, family {cpu['family']} model {cpu['model_number']}: row {row.name}, in use: {current().name}")
    if not args.measure and not args.check:
        print(table([row] if current() == row else [row, current()]))
        return 0
    found = measured(row)
    off = far(row, found, args.within)
    print(table([row, found], off))
    if args.measure:
        measured_file().parent.mkdir(parents=True, exist_ok=True)
        measured_file().write_text(found.to_json())
        print(f"kept in {measured_file()}; FASTCNN_MACHINE=measured plans with these numbers")
    if args.check:
        print(f"{len(off)} numbers differ from the row by more than a factor of {args.within:g}" + (f": {', '.join(off)}" if off else ""))
    return int(args.check and bool(off))


if __name__ == "__main__":
    sys.exit(main())
