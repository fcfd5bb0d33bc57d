"""fastcnn graph MODEL OUT: the network as it is in the file and as it runs."""
from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import click

from fastcnn.analysis.diagram import Diagram, boxes_svg
from fastcnn.cli import show
from fastcnn.cli.feeds import random_feeds
from fastcnn.cli.options import load, model_options, shapes_of
from fastcnn.ir.errors import ConfigurationError

KINDS = (".svg", ".html", ".json", ".onnx")
HELP = """Writes MODEL as it runs: .svg and .html draw it (boxes of one colour run as one step), .json is for Model Explorer, .onnx is the
file with notes at its nodes for Netron: the step and the algorithm. --profile adds times.
"""


@click.command("graph", help=HELP)
@model_options
@click.argument("out", type=click.Path(dir_okay=False))
@click.option("--profile", "timed", is_flag=True, help="Time the steps on random inputs.")
def command(path: str, shapes: Sequence[str], threads: int | None, tune: bool, as_json: bool, out: str, timed: bool) -> None:
    if not out.endswith(KINDS):
        raise ConfigurationError(f"{out!r}: expected a name that ends in {', '.join(KINDS)}")
    with load(path, threads, tune) as model:
        asked = shapes_of(shapes, [info.name for info in model.get_inputs()])
        feeds = random_feeds(model, asked) if timed else None
        drawn = model.diagram(asked, feeds)
    if out.endswith(".onnx"):
        _annotate(path, drawn, out)
    else:
        text = drawn.svg() if out.endswith(".svg") else page(drawn) if out.endswith(".html") else json.dumps(drawn.explorer())
        Path(out).write_text(text)
    if as_json:
        show.as_json(drawn.to_dict())
    else:
        show.lines([f"{out}: {len(drawn.before)} nodes of the file, {len(drawn.after)} as it runs"])


def page(drawn: Diagram) -> str:
    """An HTML page with both graphs."""
    title = escape(drawn.model or "model")
    return (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title></head><body style='font:14px system-ui'>"
            f"<h1>{title}</h1><h2>As it runs</h2>{drawn.svg()}<details><summary>As in the file</summary>{boxes_svg(drawn.before)}</details>"
            f"</body></html>")


def _annotate(path: str, drawn: Diagram, out: str) -> None:
    """A copy of the model whose nodes have notes: the step in which they run, its algorithm and its time."""
    import onnx
    proto = onnx.load(path)
    notes = {name: box for box in drawn.after for name in box.nodes}
    for node in proto.graph.node:
        box = notes.get(node.name)
        if box is not None:
            took = f", {box.ms:.4f} ms" if box.ms is not None else ""
            node.doc_string = f"fastcnn: step {box.step}, {box.label}: {box.algorithm or 'nothing to do'}{took}"
    onnx.save(proto, out)
