"""`python -m models list`, `python -m models table` and `python -m models build NAME OUT.onnx`."""
from __future__ import annotations

import argparse

import onnx

from models import NETWORKS, build
from models.builder import Builder
from models.count import Count, count


def _published(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _counted(name: str, builder: Builder) -> tuple[str, Count]:
    """(input extents, what it counts), without drawing a weight."""
    return "x".join(str(d) for d in builder.input), count(build(name, weights=False), dynamic=builder.proposals)


def list_networks() -> None:
    """Prints parameters and MACs of every network, ours beside the published ones."""
    print(f"{'name':20} {'input':>12} {'parameters':>12} {'published':>12} {'MACs':>15} {'published':>15}  paper")
    for name, builder in NETWORKS.items():
        extents, ours = _counted(name, builder)
        print(f"{name:20} {extents:>12} {ours.params:12,} {_published(builder.params):>12} "
              f"{ours.macs:15,} {_published(builder.macs):>15}  {builder.paper}", flush=True)


def _rounded(value: int | None) -> str:
    """5.713 G, 4.2 M, and exact figures as they are."""
    if value is None:
        return ""
    if value % 100_000 or value < 1_000_000:
        return f"{value:,}"
    return f"{value / 1e9:g} G" if value >= 1_000_000_000 else f"{value / 1e6:g} M"


def table() -> list[str]:
    """The rows of the table in README.md."""
    rows = ["| name | input | parameters | published | MACs (batch 1) | published | paper |", "|---|---|---:|---:|---:|---:|---|"]
    for name, builder in NETWORKS.items():
        extents, ours = _counted(name, builder)
        rows.append(f"| {name} | {extents} | {ours.params:,} | {_rounded(builder.params)} | {ours.macs:,} | {_rounded(builder.macs)} "
                    f"| {builder.paper} |")
    return rows


def main() -> None:
    """Parses the command line and runs one command."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="parameters and MACs of every network beside the published ones")
    commands.add_parser("table", help="the same as the rows of README.md")
    writer = commands.add_parser("build", help="write one network as an ONNX file")
    writer.add_argument("name", choices=list(NETWORKS))
    writer.add_argument("path")
    writer.add_argument("--seed", type=int, default=0)
    writer.add_argument("--batch", help="a number, or a name for a symbolic batch axis (default N; 1 where single images are taken)")
    writer.add_argument("--opset", type=int, help="default 17, or the first that has the operators")
    args = parser.parse_args()
    if args.command == "list":
        list_networks()
        return
    if args.command == "table":
        print("\n".join(table()))
        return
    batch = args.batch or ("1" if NETWORKS[args.name].single else "N")
    onnx.save(build(args.name, seed=args.seed, batch=int(batch) if batch.isdigit() else batch, opset=args.opset), args.path)


if __name__ == "__main__":
    main()
