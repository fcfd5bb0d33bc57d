"""fastcnn profile MODEL: Model.profile() as a table, a trace, a picture or a page."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from fastcnn.analysis.profile import COLUMNS
from fastcnn.cli import show
from fastcnn.cli.feeds import random_feeds
from fastcnn.cli.options import load, model_options, shapes_of

HELP = """Times MODEL step by step on random inputs, beside what this machine was measured to do at best.

GFLOP/s count the direct computation, so Winograd's algorithm can exceed the peak. Traffic is what a step has to read and write: maps
that fit stay in L2, weights come from memory unless all fit in L2 too. perfect ms is the longer of both at full rate. why: times by the
cost model, or measured with --tune.
"""


@click.command("profile", help=HELP)
@model_options
@click.option("--runs", type=click.IntRange(3), default=50, show_default=True, help="Profiled runs at most.")
@click.option("--seconds", type=click.FloatRange(0.0), default=2.0, show_default=True, help="No more runs after so long.")
@click.option("--sort", is_flag=True, help="The longest first.")
@click.option("--trace", type=click.Path(dir_okay=False), help="Write the quickest run as a trace for Perfetto and chrome://tracing.")
@click.option("--roofline", type=click.Path(dir_okay=False), metavar="OUT.svg", help="Draw operations a byte against GFLOP/s.")
@click.option("--html", type=click.Path(dir_okay=False), help="Write a page with all of it.")
def command(path: str, shapes: Sequence[str], threads: int | None, tune: bool, as_json: bool, runs: int, seconds: float, sort: bool,
            trace: str | None, roofline: str | None, html: str | None) -> None:
    with load(path, threads, tune) as model:
        feeds = random_feeds(model, shapes_of(shapes, [info.name for info in model.get_inputs()]))
        profile = model.profile(feeds, runs=runs, seconds=seconds)
    if trace:
        Path(trace).write_text(json.dumps(profile.trace()))
    if html or roofline:
        from fastcnn.analysis.page import page, roofline_svg
        for file, draw in ((html, page), (roofline, roofline_svg)):
            if file:
                Path(file).write_text(draw(profile))
    if as_json:
        show.as_json(profile.to_dict())
        return
    rows = profile.rows()
    if sort:
        rows = [row for _, row in sorted(zip(profile.timings, rows), key=lambda pair: -pair[0].ms)]
    show.table(COLUMNS, rows)
    show.lines(profile.lines())
