"""Turns the command line's files into calls of a model: images in batches, arrays, or random numbers."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fastcnn.cli.feeds import ARRAYS, found_files, named_feeds, random_feeds, read_array
from fastcnn.cli.options import shapes_of
from fastcnn.ir.errors import ConfigurationError, InputError
from fastcnn.model import Model
from fastcnn.preprocess import Preprocess, image_input

Function = TypeVar("Function", bound=Callable[..., Any])

IMAGE_OPTIONS = (
    click.option("--size", metavar="HxW", help="Images become so large."),
    click.option("--crop", type=click.FloatRange(0, 1, min_open=True), help="Share of the shorter side that a centre crop keeps."),
    click.option("--stretch", is_flag=True, help="No crop: images are stretched to the size."),
    click.option("--scale", type=float, help="Pixels 0 to 255 times this, before mean and std."),
    click.option("--mean", metavar="M[,M,M]", help="Subtracted, a number a channel."),
    click.option("--std", metavar="S[,S,S]", help="Divided by, a number a channel."),
    click.option("--layout", type=click.Choice(["NCHW", "NHWC"])),
    click.option("--colour", type=click.Choice(["RGB", "BGR", "L"])),
)


def image_options(function: Function) -> Function:
    """Options that override the guessed preprocessing: --size, --crop, --stretch, --scale, --mean, --std, --layout, --colour."""
    for option in reversed(IMAGE_OPTIONS):
        function = option(function)
    return function


def has_images(files: Sequence[str], inputs: Sequence[str] = ()) -> bool:
    """Whether any file, those of --input NAME=FILE included, is an image rather than an array."""
    names = [str(file) for file in found_files(files)] if files else []
    return any(Path(name).suffix.lower() not in ARRAYS for name in [*names, *(option.partition("=")[2] for option in inputs)])


def preprocess_of(model: Model, image: Mapping[str, Any]) -> Preprocess:
    """The Preprocess by the image options; the rest is guessed from the model."""
    known = {"size": _size(image["size"]), "crop": image["crop"], "scale": image["scale"], "mean": _numbers(image["mean"]),
             "std": _numbers(image["std"]), "layout": image["layout"], "colour": image["colour"]}
    guessed = Preprocess.guess(model, **known)
    return Preprocess(**{**guessed.to_dict(), "crop": None}) if image["stretch"] else guessed


def described(preprocess: Preprocess) -> str:
    """The preprocessing in a line of text."""
    return "images: " + ", ".join(f"{name}={value}" for name, value in preprocess.to_dict().items() if value is not None)


def calls(model: Model, files: Sequence[str], inputs: Sequence[str], random: bool, batch: int, shapes: Sequence[str],
           preprocess: Preprocess | None) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(sources, function that makes the feeds) for each call. Raises InputError."""
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
