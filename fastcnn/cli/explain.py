"""fastcnn explain MODEL IMAGES: fastcnn.explain() as pictures and a page."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from fastcnn.analysis.answers import read_labels
from fastcnn.analysis.text import seen
from fastcnn.cli import show
from fastcnn.cli.calls import image_options, preprocess_of
from fastcnn.cli.feeds import found_files
from fastcnn.cli.options import AS_JSON, MODEL, THREADS, load
from fastcnn.explanation.explain import BATCH, CHANNELS, LAYERS, SHOWN, explain
from fastcnn.explanation.patches import PATCHES
from fastcnn.ir.errors import ConfigurationError

COLUMNS = ("layer", "sees", "channel", "from", "to", "strongest in")
HELP = """Shows what the layers of MODEL detect on IMAGES: files, folders and globs, any number of them.

Writes a folder with index.html and PNG files: for each channel the patches that activate it most, cut at the exact receptive field; the
filters that read the image; feature maps of the first image; for classifiers what speaks for a class, by occlusion, and by class activation
maps where the network ends in global average pooling and a linear layer.
"""


@click.command("explain", help=HELP)
@MODEL
@click.argument("files", nargs=-1, required=True, metavar="IMAGES...")
@click.option("--layer", "layers", multiple=True, metavar="NAME", help=f"Name of a layer or node; {LAYERS} convolutions by default.")
@click.option("--channels", metavar="0-15,40", help=f"Of each layer; the first {CHANNELS} by default.")
@click.option("--class", "classes", multiple=True, type=click.IntRange(0), help="Whose evidence is shown; the likeliest by default.")
@click.option("--patches", type=click.IntRange(1), default=PATCHES, show_default=True, help="Of a channel.")
@click.option("--shown", type=click.IntRange(0), default=SHOWN, show_default=True, help="Images whose evidence is looked at.")
@click.option("--batch", type=click.IntRange(1), default=BATCH, show_default=True, help="Images in a call.")
@image_options
@click.option("--labels", type=click.Path(dir_okay=False), help="Names of the classes: a line each, or JSON.")
@click.option("--output", type=click.Path(file_okay=False), default="explained", show_default=True, help="The folder.")
@THREADS
@AS_JSON
def command(path: str, files: Sequence[str], layers: Sequence[str], channels: str | None, classes: Sequence[int], patches: int, shown: int,
            batch: int, labels: str | None, output: str, threads: int | None, as_json: bool, **image: Any) -> None:
    names, images = read_labels(labels) if labels else None, found_files(files)
    with load(path, threads) as model:
        preprocess = preprocess_of(model, image)
        with show.progress(len(images) + min(shown, len(images)), 2, as_json) as advance:
            found = explain(model, images, layers=layers or None, channels=_channels(channels), classes=classes or None, patches=patches,
                            shown=shown, preprocess=preprocess, batch=batch, advance=advance)
    written = found.save(output, names)
    if as_json:
        show.as_json({**found.to_dict(), "files": [str(file) for file in written]})
        return
    rows = []
    for layer in found.layers:
        for k, channel in enumerate(layer.channels):
            ends = [f"{patch.value:.4g}" for patch in (channel.patches[:1] + channel.patches[-1:])] or ["", ""]
            rows.append(["" if k else layer.layer, "" if k else seen(layer.fields) or "all", str(channel.channel), *ends[::-1],
                         channel.patches[0].source if channel.patches else "nothing activated it"])
    show.table(COLUMNS, rows)
    show.lines([f"{written[-1]}: {len(found.layers)} layers on {found.images} images, and {len(written) - 1} PNG files beside it"])


def _channels(text: str | None) -> list[int] | None:
    if text is None:
        return None
    found = list[int]()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
            raise ConfigurationError(f"--channels {text}: expected numbers and ranges such as 0-15,40")
        found += range(int(first), int(last or first) + 1)
    return found
