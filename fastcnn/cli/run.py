"""fastcnn run MODEL FILES: arrays and images in, classes, pictures, arrays or JSON out."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from fastcnn.analysis.answers import is_picture, is_scores, read_labels, statistics, top
from fastcnn.cli import show
from fastcnn.cli.calls import calls, described, has_images, image_options, preprocess_of
from fastcnn.cli.options import load, model_options
from fastcnn.ir.errors import InputError
from fastcnn.preprocess import Preprocess, opened

PROGRESS = 2                    # batches from which on there is a progress bar
HELP = """Runs MODEL on FILES: images, folders of images and globs, in batches, or an .npz of all inputs, or .npy or .pb for the only one.

How images become feeds is guessed from the model (fastcnn.Preprocess.guess) and shown; options say it better. Classifiers print the
likeliest classes, networks from images to images write pictures.
"""
STATISTICS = ("output", "type", "shape", "min", "max", "mean", "not finite")


@dataclass(frozen=True)
class Part:
    """One call of the model: the sources of its feeds, and the feeds."""

    sources: tuple[str, ...]
    feeds: Mapping[str, Any]


@click.command("run", help=HELP)
@model_options
@click.argument("files", nargs=-1)
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE", help="An input from .npy, .npz, .pb or an image; may be repeated.")
@click.option("--random", is_flag=True, help="Seeded random inputs.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images in a call.")
@image_options
@click.option("--top", "count", type=click.IntRange(1), default=5, show_default=True, help="So many classes of a classifier.")
@click.option("--labels", type=click.Path(dir_okay=False), help="Names of the classes: a line each, or JSON.")
@click.option("--output", type=click.Path(), help=".npz: all outputs; .png: the picture; a folder: a picture an image.")
def command(path: str, shapes: Sequence[str], threads: int | None, tune: bool, as_json: bool, files: Sequence[str], inputs: Sequence[str],
            random: bool, batch: int, count: int, labels: str | None, output: str | None, **image: Any) -> None:
    names = read_labels(labels) if labels else None
    with load(path, threads, tune) as model:
        preprocess = preprocess_of(model, image) if has_images(files, inputs) else None
        parts = list(calls(model, files, inputs, random, batch, shapes, preprocess))
        total = sum(len(sources) for sources, _ in parts)
        results, kept = [], []
        with show.progress(len(parts), PROGRESS, as_json) as advance:
            for sources, make in parts:
                part = Part(sources, make())
                outputs = dict(zip([info.name for info in model.get_outputs()], model.run(None, part.feeds)))
                results += _answers(part, outputs, count, names)
                if output:
                    kept.append(_kept(part, outputs, output, preprocess, total))
                advance()
    if output:
        _write(kept, output)
    if as_json:
        show.as_json({"preprocess": preprocess.to_dict() if preprocess else None, "results": results})
        return
    if preprocess is not None:
        show.lines([described(preprocess)])
    _show(results)


def _answers(part: Part, outputs: Mapping[str, Any], count: int, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """Answers: one for each image of a classifier, else one for each call."""
    scores = [y for y in outputs.values() if isinstance(y, np.ndarray) and is_scores(y)]
    if len(scores) == 1 and len(outputs) == 1:
        best = top(scores[0], count, labels)
        sources = part.sources if len(part.sources) == len(best) else [f"{part.sources[0]}[{k}]" for k in range(len(best))]
        return [{"source": source, "top": classes} for source, classes in zip(sources, best)]
    return [{"source": ", ".join(part.sources), "outputs": [statistics(name, y) for name, y in outputs.items()]}]


def _kept(part: Part, outputs: Mapping[str, Any], output: str, preprocess: Preprocess | None, total: int) -> list[tuple[str, np.ndarray]]:
    """(name in the output file, array) for everything that is to be written."""
    if output.endswith(".npz"):
        return [(name, np.asarray(y)) for name, y in outputs.items()]
    layout, undo = (preprocess.layout, preprocess) if preprocess is not None else ("NCHW", Preprocess())
    pictures = [y for y in outputs.values() if isinstance(y, np.ndarray) and is_picture(y, layout)]
    if not pictures:
        raise InputError(f"--output {output}: no output of the model is a picture; .npz takes any")
    if output.endswith(".png") and total != 1:
        raise InputError(f"--output {output}: {total} images; name a folder")
    return [(f"{Path(source).stem}.png", undo.picture(y)) for source, y in zip(part.sources, pictures[0])]


def _write(kept: Sequence[Sequence[tuple[str, np.ndarray]]], output: str) -> None:
    if output.endswith(".npz"):
        together: dict[str, list[np.ndarray]] = {}
        for part in kept:
            for name, y in part:
                together.setdefault(name, []).append(y)
        np.savez(output, **{name: np.concatenate(ys) if ys[0].ndim else np.stack(ys) for name, ys in together.items()})    # type: ignore[arg-type]
        return
    if not output.endswith(".png"):
        Path(output).mkdir(parents=True, exist_ok=True)
    for part in kept:
        for name, pixels in part:
            opened(pixels).save(output if output.endswith(".png") else Path(output) / name)


def _show(results: Sequence[Mapping[str, Any]]) -> None:
    classes = [[result["source"] if k == 0 else "", str(k + 1), str(c["label"] or c["class"]), f"{100 * c['probability']:.2f} %",
                f"{c['score']:.4g}"] for result in results if "top" in result for k, c in enumerate(result["top"])]
    if classes:
        show.table(("image", "rank", "class", "probability", "score"), classes)
    for result in results:
        if "outputs" in result:
            numbers = [[f"{y[key]:.5g}" if key in y else "" for key in ("min", "max", "mean")] for y in result["outputs"]]
            rows = [[y["name"], y["type"], "x".join(map(str, y["shape"])), *some, str(y.get("not_finite", ""))]
                    for y, some in zip(result["outputs"], numbers)]
            show.table(STATISTICS, rows, title=result["source"])
