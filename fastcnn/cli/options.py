"""Options that several subcommands share, and loading the model."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

import fastcnn.loading as loading
from fastcnn.ir.errors import ConfigurationError
from fastcnn.model import Model

Function = TypeVar("Function", bound=Callable[..., Any])

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
SHAPE = click.option("--shape", "shapes", multiple=True, metavar="[NAME=]1x3x224x224",
                     help="Shape of an input, where the file leaves it open; may be repeated.")
THREADS = click.option("--threads", type=click.IntRange(1), help="At most so many threads; as many as there are cores by default.")
TUNE = click.option("--tune", is_flag=True, help="Time the candidates for every layer first.")
MODEL = click.argument("path", metavar="MODEL", type=click.Path())


def model_options(function: Function) -> Function:
    """MODEL, --shape, --threads, --tune, --json."""
    for option in (AS_JSON, TUNE, THREADS, SHAPE, MODEL):
        function = option(function)
    return function


def load(path: str, threads: int | None = None, tune: bool = False, accuracy: str = "fast",
         precision: str = "fp32", weights: str = "fp32") -> Model:
    """Loads the model; warnings are printed as one line each."""
    warnings.showwarning = lambda message, *_, **__: click.echo(f"fastcnn: warning: {message}", err=True)
    return loading.load(path, threads=threads, tune=tune, accuracy=accuracy, precision=precision, weights=weights)


def shapes_of(options: Sequence[str], names: Sequence[str]) -> dict[str, list[int]] | None:
    """{input: shape} of --shape options. Raises ConfigurationError."""
    found = {}
    for text in options:
        name, _, sizes = text.removesuffix("]").replace("[", "=", text.endswith("]")).rpartition("=")
        if not name and len(names) != 1:
            raise ConfigurationError(f"--shape {text}: the model has {len(names)} inputs, say which: NAME={text} ({', '.join(names)})")
        parts = sizes.replace("x", ",").strip("[]() ").split(",")
        if not all(part.strip().isdigit() for part in parts):
            raise ConfigurationError(f"--shape {text}: expected numbers such as 1x3x224x224")
        found[name or names[0]] = [int(part) for part in parts]
    return found or None
