"""fastcnn run MODEL FILES: arrays and images in, classes, pictures, arrays or JSON out."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from fastcnn.analysis.answers import is_picture, is_scores, read_labels, statistics, top
from fastcnn.cli import show
from fastcnn.cli.feeds import ARRAYS, found_files, named_feeds, random_feeds, read_array
from fastcnn.cli.options import load, model_options, shapes_of
from fastcnn.ir.errors import ConfigurationError, InputError
from fastcnn.model import Model
from fastcnn.preprocess import Preprocess, image_input, opened

PROGRESS = 2                    # batches from which on there is a progress bar
HELP = """Runs MODEL on FILES: images, folders of images and globs, in batches, or an .npz of all inputs, or .npy or .pb for the only one.

How images become feeds is guessed from the model (fastcnn.Preprocess.guess) and shown; options say it better. Classifiers print the
likeliest classes, networks from images to images write pictures.
"""
STATISTICS = ("output", "type", "shape", "min", "max", "mean", "not finite")


@dataclass(frozen=True)
class Part:
    """One call of the model: where its feeds come from, and they."""

    sources: tuple[str, ...]
    feeds: Mapping[str, Any]


def _numbers(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"{text!r}: expected numbers with commas between") from None


def _size(text: str | None) -> tuple[int, int] | None:
    parts = [] if text is None else text.lower().split("x")
    if not all(part.isdigit() for part in parts) or len(parts) > 2:
        raise ConfigurationError(f"--size {text}: expected HEIGHTxWIDTH")
    return (int(parts[0]), int(parts[-1])) if parts else None


@click.command("run", help=HELP)
@model_options
@click.argument("files", nargs=-1)
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE", help="An input from .npy, .npz, .pb or an image; may be repeated.")
@click.option("--random", is_flag=True, help="Seeded random inputs.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images in a call.")
@click.option("--size", metavar="HxW", help="Images become so large.")
@click.option("--crop", type=click.FloatRange(0, 1, min_open=True), help="Share of the shorter side that a centre crop keeps.")
@click.option("--stretch", is_flag=True, help="No crop: images are stretched to the size.")
@click.option("--scale", type=float, help="Pixels 0 to 255 times this, before mean and std.")
@click.option("--mean", metavar="M[,M,M]", help="Subtracted, a number a channel.")
@click.option("--std", metavar="S[,S,S]", help="Divided by, a number a channel.")
@click.option("--layout", type=click.Choice(["NCHW", "NHWC"]))
@click.option("--colour", type=click.Choice(["RGB", "BGR", "L"]))
@click.option("--top", "count", type=click.IntRange(1), default=5, show_default=True, help="So many classes of a classifier.")
@click.option("--labels", type=click.Path(dir_okay=False), help="Names of the classes: a line each, or JSON.")
@click.option("--output", type=click.Path(), help=".npz: all outputs; .png: the picture; a folder: a picture an image.")
def command(path: str, shapes: Sequence[str], threads: int | None, tune: bool, as_json: bool, files: Sequence[str], inputs: Sequence[str],
            random: bool, batch: int, count: int, labels: str | None, output: str | None, **image: Any) -> None:
    names = read_labels(labels) if labels else None
    with load(path, threads, tune) as model:
        preprocess = _preprocess(model, image) if _has_images(files, inputs) else None
        parts = list(_parts(model, files, inputs, random, batch, shapes, preprocess))
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
        shown = ", ".join(f"{name}={value}" for name, value in preprocess.to_dict().items() if value is not None)
        show.lines([f"images: {shown}"])
    _show(results)


def _has_images(files: Sequence[str], inputs: Sequence[str]) -> bool:
    names = [str(file) for file in found_files(files)] if files else []
    return any(Path(name).suffix.lower() not in ARRAYS for name in [*names, *(option.partition("=")[2] for option in inputs)])


def _preprocess(model: Model, image: Mapping[str, Any]) -> Preprocess:
    known = {"size": _size(image["size"]), "crop": image["crop"], "scale": image["scale"], "mean": _numbers(image["mean"]),
             "std": _numbers(image["std"]), "layout": image["layout"], "colour": image["colour"]}
    guessed = Preprocess.guess(model, **known)
    return Preprocess(**{**guessed.to_dict(), "crop": None}) if image["stretch"] else guessed


def _parts(model: Model, files: Sequence[str], inputs: Sequence[str], random: bool, batch: int, shapes: Sequence[str],
           preprocess: Preprocess | None) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(sources, what makes the feeds) for each call. Raises InputError."""
    infos = model.get_inputs()
    names = [info.name for info in infos]
    if random:
        yield ("random",), lambda: random_feeds(model, shapes_of(shapes, names))
        return
    named = named_feeds(inputs, names)
    others = {name: _feed(file, name, preprocess) for name, file in named.items()}
    if not files:
        if not others:
            raise InputError("nothing to run on: give files, --input NAME=FILE or --random")
        yield tuple(map(str, named.values())), lambda: others
        return
    found = found_files(files)
    arrays = [file for file in found if file.suffix in ARRAYS]
    for file in arrays:
        yield (str(file),), lambda file=file: {**others, **_by_name(file, [name for name in names if name not in others])}
    images = [file for file in found if file.suffix not in ARRAYS]
    if images and preprocess is not None:
        name = image_input([info for info in infos if info.name not in others])[0].name
        for first in range(0, len(images), batch):
            some = images[first:first + batch]
            yield tuple(map(str, some)), lambda some=some: {**others, name: preprocess.batch(some)}


def _feed(file: Path, name: str, preprocess: Preprocess | None) -> Any:
    if file.suffix not in ARRAYS and preprocess is not None:
        return preprocess(file)
    found = read_array(file)
    if isinstance(found, dict):
        if name not in found and len(found) != 1:
            raise InputError(f"{str(file)!r} has {', '.join(found)}, none of them called {name!r}")
        return found.get(name, next(iter(found.values())))
    return found


def _by_name(file: Path, names: Sequence[str]) -> dict[str, Any]:
    found = read_array(file)
    if isinstance(found, dict) and set(found) >= set(names):
        return {name: found[name] for name in names}
    if len(names) != 1:
        raise InputError(f"{str(file)!r}: the model wants {', '.join(names)}; name them in an .npz, or say --input NAME=FILE")
    return {names[0]: _feed(file, names[0], None)}


def _answers(part: Part, outputs: Mapping[str, Any], count: int, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """An entry an image for a classifier, else one a call."""
    scores = [y for y in outputs.values() if isinstance(y, np.ndarray) and is_scores(y)]
    if len(scores) == 1 and len(outputs) == 1:
        best = top(scores[0], count, labels)
        sources = part.sources if len(part.sources) == len(best) else [f"{part.sources[0]}[{k}]" for k in range(len(best))]
        return [{"source": source, "top": classes} for source, classes in zip(sources, best)]
    return [{"source": ", ".join(part.sources), "outputs": [statistics(name, y) for name, y in outputs.items()]}]


def _kept(part: Part, outputs: Mapping[str, Any], output: str, preprocess: Preprocess | None, total: int) -> list[tuple[str, np.ndarray]]:
    """(name in the output, array) of what is to be written."""
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
