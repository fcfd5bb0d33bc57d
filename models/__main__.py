"""`python -m models list` and `python -m models build NAME OUT.onnx`."""
from __future__ import annotations

import argparse

import onnx

from models import NETWORKS, build
from models.count import count


def _published(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def list_networks() -> None:
    """Prints parameters and MACs of every network, ours beside the published ones."""
    print(f"{'name':14} {'input':>12} {'parameters':>12} {'published':>12} {'MACs':>15} {'published':>15}  paper")
    for name, builder in NETWORKS.items():
        ours = count(build(name, weights=False), dynamic=builder.proposals)
        extents = "x".join(str(d) for d in builder.input)
        print(f"{name:14} {extents:>12} {ours.params:12,} {_published(builder.params):>12} "
              f"{ours.macs:15,} {_published(builder.macs):>15}  {builder.paper}", flush=True)


def main() -> None:
    """Parses the command line and runs one command."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="parameters and MACs of every network beside the published ones")
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
    batch = args.batch or ("1" if NETWORKS[args.name].single else "N")
    onnx.save(build(args.name, seed=args.seed, batch=int(batch) if batch.isdigit() else batch, opset=args.opset), args.path)


if __name__ == "__main__":
    main()
