"""fastcnn quantize MODEL: fastcnn.quantize() with images or arrays as calibration data; a row a layer."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import click
import numpy as np

from fastcnn.cli import show
from fastcnn.cli.calls import calls, described, has_images, image_options, preprocess_of
from fastcnn.cli.options import AS_JSON, MODEL, THREADS, load
from fastcnn.ir.errors import ConfigurationError
from fastcnn.post_training import quantize
from fastcnn.precision.ranges import METHODS
from fastcnn.precision.report import COLUMNS
from fastcnn.precision.scales import TYPES

HELP = """Writes MODEL, a network of floats, as one of 8 bits for any engine: ONNX with QuantizeLinear and DequantizeLinear.

--data is what its inputs look like, a few hundred of them: images, folders, globs, .npy or .npz. A row for each layer says what it
computes in, its error on bytes by itself, what it is predicted to take on this machine, and why it is as it is.
"""


@click.command("quantize", help=HELP)
@MODEL
@click.argument("more", nargs=-1, metavar="")       # a shell's --data photos/*.png
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The file to write.")
@click.option("--data", "files", multiple=True, required=True, metavar="FILES", help="Images, folders, globs or arrays; may be repeated.")
@click.option("--samples", type=click.IntRange(1), help="No more than so many of them.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images in a call.")
@click.option("--method", type=click.Choice(list(METHODS)), default="mse", show_default=True, help="Which range of values 8 bits cover.")
@click.option("--activations", type=click.Choice(list(TYPES)), default="uint8", show_default=True, help="Type of values between layers.")
@click.option("--per-tensor", is_flag=True, help="One scale for all weights of a layer, not one for each output channel.")
@click.option("--no-equalization", is_flag=True, help="Do not scale the channels of neighbouring convolutions to be alike first.")
@click.option("--no-bias-correction", is_flag=True, help="Leave biases as they are.")
@click.option("--keep", multiple=True, metavar="NODE", help="A node that stays in floats; may be repeated.")
@click.option("--max-error", type=click.FloatRange(0, min_open=True), help="Most that outputs may differ by, as a share of the largest.")
@click.option("--all-layers", is_flag=True, help="Layers too that this machine would not run faster on bytes: for a file that others run.")
@image_options
@THREADS
@AS_JSON
def command(path: str, more: Sequence[str], output: str, files: Sequence[str], samples: int | None, batch: int, method: str,
            activations: str, per_tensor: bool, no_equalization: bool, no_bias_correction: bool, keep: Sequence[str],
            max_error: float | None, all_layers: bool, threads: int | None, as_json: bool, **image: Any) -> None:
    files = [*files, *more]
    with load(path, threads) as model:
        preprocess = preprocess_of(model, image) if has_images(files) else None
        parts = list(calls(model, files, (), False, batch, (), preprocess))
    if not parts:
        raise ConfigurationError("--data: no files to calibrate with")
    pieces = islice((piece for _, make in parts for piece in _pieces(make(), batch)), samples)
    with show.stages(as_json) as progress:
        made = quantize(path, pieces, output, method=method, activations=activations, per_channel=not per_tensor,
                        equalize=not no_equalization, correct_bias=not no_bias_correction, keep=keep, max_error=max_error,
                        faster_only=not all_layers, threads=threads, progress=progress)
    if as_json:
        show.as_json({"preprocess": preprocess.to_dict() if preprocess else None, "output": output, **made.report.to_dict()})
        return
    if preprocess is not None:
        show.lines([described(preprocess)])
    show.table(COLUMNS, made.report.rows())
    show.lines([*made.report.lines(), f"{output}: written"])


def _pieces(feeds: Mapping[str, Any], batch: int) -> Iterator[dict[str, Any]]:
    """Cuts an array of many images into feeds of one batch each."""
    counts = {np.shape(value)[:1] for value in feeds.values()}
    count = next(iter(counts))[0] if len(counts) == 1 and counts != {()} else 1
    for first in range(0, count, batch):
        yield {name: value[first:first + batch] for name, value in feeds.items()} if count > batch else dict(feeds)
