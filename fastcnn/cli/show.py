"""Prints results: tables, lines below them, JSON."""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fastcnn.analysis.text import RIGHT

PIPED_WIDTH = 400               # columns where nobody looks at a terminal
LONG_NAME = 48                  # characters of a name that are shown, both ends
NAMES = ("layer", "value", "operator")


def console() -> Console:
    """The console of standard output; where that is no terminal, lines are not wrapped."""
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=PIPED_WIDTH if wide else None, highlight=False, soft_wrap=wide)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Prints a table in its natural width."""
    shown = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1), pad_edge=False)
    for name in columns:
        shown.add_column(name, justify="right" if name in RIGHT else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(shortened(cell, name).replace("[", "\\[") for cell, name in zip(row, columns)))
    console().print(shown)


def shortened(cell: str, column: str) -> str:
    """A long name with its middle cut out (JSON has the whole name)."""
    if column not in NAMES or len(cell) <= LONG_NAME:
        return cell
    half = (LONG_NAME - 1) // 2
    return f"{cell[:half]}…{cell[-half:]}"


def lines(texts: Sequence[str]) -> None:
    """Prints lines; warnings are highlighted."""
    for text in texts:
        click.secho(text, fg="yellow" if text.startswith("warning") else None)


def as_json(value: Any) -> None:
    """Prints one JSON document."""
    click.echo(json.dumps(value, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    """Converts numpy's numbers and arrays to Python's, for JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


@contextmanager
def progress(total: int, least: int, quiet: bool) -> Iterator[Callable[..., None]]:
    """A function to call after each of `total` parts: a progress bar on standard error, on terminals and for at least `least` parts."""
    if quiet or total < least or not sys.stderr.isatty():
        yield lambda count=1: None
        return
    from rich.progress import Progress
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("running", total=total)
        yield lambda count=1: bar.advance(task, count)


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """A function to call with (stage, done, total): one progress bar per stage on standard error, on terminals."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.progress import Progress
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)
        yield advance
