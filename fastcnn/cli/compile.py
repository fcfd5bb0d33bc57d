"""fastcnn compile MODEL -o OUT.fcnn: Model.save()."""
from __future__ import annotations

import os
from collections.abc import Sequence

import click

from fastcnn.cli.options import MODEL, SHAPE, load, shapes_of

HELP = """Write MODEL as it runs on this CPU, graph and packed weights, to a file that fastcnn.load() maps in milliseconds; all processes
share one copy of it.

The weights are packed for the shapes given, and packed anew by whoever runs others that need it, or another CPU.
"""


@click.command("compile", help=HELP)
@MODEL
@SHAPE
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The compiled file, MODEL.fcnn say.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="As for fastcnn.load().")
@click.option("--accuracy", type=click.Choice(["fast", "strict"]), default="fast", show_default=True, help="As for fastcnn.load().")
@click.option("--weights", type=click.Choice(["fp32", "bf16", "int8"]), default="fp32", show_default=True, help="As for fastcnn.load().")
@click.option("--source/--no-source", default=None,
              help="Whether MODEL goes into the file too, for other versions of fastcnn. By default where it is one file.")
def command(path: str, shapes: Sequence[str], output: str, precision: str, accuracy: str, weights: str, source: bool | None) -> None:
    with load(path, accuracy=accuracy, precision=precision, weights=weights) as model:
        model.save(output, shapes=shapes_of(shapes, [info.name for info in model.get_inputs()]), source=source)
    click.echo(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB")
