"""fastcnn kernels [SHAPE]: every candidate at a shape, timed; without a shape the kernels there are."""
from __future__ import annotations

from dataclasses import asdict

import click

from fastcnn.analysis.kernels import COLUMNS, kernels, parsed, registered
from fastcnn.cli import show
from fastcnn.cli.options import AS_JSON

HELP = """Times everything that can compute SHAPE and marks the planner's pick. SHAPE is M,N,K for a matrix product (3136,64,256), or
HxWxC-M,KHxKW with s2 (strides), p1 (padding), d2 (dilation), g32 (groups) behind commas for a convolution (56x56x64-128,3x3,s2,p1).

GFLOP/s are those of the direct computation, so Winograd's algorithm can exceed the peak. Without SHAPE: the kernels there are.
"""


@click.command("kernels", help=HELP)
@click.argument("shape", required=False)
@AS_JSON
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=12, show_default=True, help="Runs of each, in turn; the lower quartile counts.")
@click.option("--cold", is_flag=True, help="Empty L2 before each round: weights come from beyond it, as in a network.")
def command(shape: str | None, as_json: bool, threads: int, rounds: int, cold: bool) -> None:
    if shape is None:
        found = registered()
        if as_json:
            show.as_json(found)
        else:
            show.table(("instruction set", "kernel"), [[isa, name] for isa, names in found.items() for name in names])
        return
    asked = parsed(shape)
    timed = kernels(asked, threads, rounds, cold)
    if as_json:
        show.as_json({"shape": str(asked), "threads": threads, "kernels": [asdict(kernel) for kernel in timed]})
        return
    show.table(COLUMNS, [[k.name, f"{k.ms:.4f}", f"{k.gflops:.1f}", f"{100 * k.of_peak:.0f} %", "<--" if k.picked else ""] for k in timed],
               title=str(asked))
