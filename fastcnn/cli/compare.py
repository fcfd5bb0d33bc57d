"""fastcnn compare MODEL: fastcnn.compare() as a table; exit code 1 where they part."""
from __future__ import annotations

from collections.abc import Sequence

import click

from fastcnn.analysis.compare import COLUMNS, TOLERANCE
from fastcnn.cli import show
from fastcnn.cli.feeds import named_feeds, random_feeds, read_array
from fastcnn.cli.options import load, model_options, shapes_of
from fastcnn.comparison import ONNXRUNTIME, REFERENCE, compare
from fastcnn.ir.errors import InputError

HELP = """Runs MODEL and something else on the same inputs and compares the output of every layer, in order: the largest difference, that
over the largest value, units in the last place, cosine. Exits with 1 where one is beyond --tolerance.
"""


@click.command("compare", help=HELP)
@model_options
@click.option("--against", default=REFERENCE, show_default=True, metavar=f"{REFERENCE}|{ONNXRUNTIME}|strict|OTHER.onnx",
              help="numpy operator by operator, onnxruntime without optimisations, direct convolutions, or another file.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE", help="An input from .npy, .npz or .pb; random ones by default.")
@click.option("--tolerance", type=click.FloatRange(0), default=TOLERANCE, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All rows, not only those around the first beyond the tolerance and the outputs.")
@click.pass_context
def command(ctx: click.Context, path: str, shapes: Sequence[str], threads: int | None, tune: bool, as_json: bool, against: str,
            inputs: Sequence[str], tolerance: float, everything: bool) -> None:
    with load(path, threads, tune) as model:
        names = [info.name for info in model.get_inputs()]
        feeds = random_feeds(model, shapes_of(shapes, names))
        for name, file in named_feeds(inputs, names).items():
            found = read_array(file)
            if isinstance(found, dict) and name not in found:
                raise InputError(f"{str(file)!r} has {', '.join(found)}, none of them called {name!r}")
            feeds[name] = found[name] if isinstance(found, dict) else found
        if against in (REFERENCE, ONNXRUNTIME):
            comparison = compare(model, feeds, against, tolerance=tolerance)
        else:
            with load(path, threads, accuracy="strict") if against == "strict" else load(against, threads) as other:
                comparison = compare(model, feeds, other, tolerance=tolerance)
    if as_json:
        show.as_json(comparison.to_dict())
    else:
        rows = comparison.rows()
        if not everything:
            parts = next((k for k, value in enumerate(comparison.values) if value.beyond), len(rows))
            rows = [row for k, row in enumerate(rows) if abs(k - parts) <= 2 or row[0] in comparison.outputs]
        show.table(COLUMNS, rows)
        show.lines(comparison.lines())
    ctx.exit(0 if comparison.agrees else 1)
