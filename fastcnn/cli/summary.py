"""fastcnn summary MODEL: Model.summary() as a table."""
from __future__ import annotations

from collections.abc import Sequence

import click

from fastcnn.analysis.text import LAYER_COLUMNS
from fastcnn.cli import show
from fastcnn.cli.options import load, model_options, shapes_of

HELP = """A row for each layer of MODEL as it runs, totals, and warnings: border pixels that are dropped, channels that leave vector lanes
empty, outputs that see less than the object.

The column sees has size /stride offset of the receptive field: unit i depends on the pixels from offset + stride * i on.
"""


@click.command("summary", help=HELP)
@model_options
@click.option("--object", "object_size", type=click.IntRange(1), metavar="PIXELS", help="Size of what the outputs have to see.")
def command(path: str, shapes: Sequence[str], threads: int | None, tune: bool, as_json: bool, object_size: int | None) -> None:
    with load(path, threads, tune) as model:
        summary = model.summary(shapes_of(shapes, [info.name for info in model.get_inputs()]), object_size=object_size)
    if as_json:
        show.as_json(summary.to_dict())
        return
    show.table(LAYER_COLUMNS, summary.rows())
    show.lines(summary.lines())
