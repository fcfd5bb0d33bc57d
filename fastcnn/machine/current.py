"""The machine that plans are made for: the processor's row, what FASTCNN_MACHINE names instead, or what a caller sets."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import fastcnn._native as _native
from fastcnn.ir.errors import ConfigurationError
from fastcnn.machine.numbers import Machine, from_json
from fastcnn.machine.table import ROWS, machine_of

if TYPE_CHECKING:
    from pathlib import Path

MEASURED = "measured"
Choice = TypeVar("Choice", bound=Callable[..., Any])
_current = machine_of(_native.cpu())


def current() -> Machine:
    """The machine that plans made from now on are for."""
    return _current


def select_machine() -> None:
    """Plan for what FASTCNN_MACHINE names, else for this processor's row. Raises ConfigurationError."""
    name = os.environ.get("FASTCNN_MACHINE")
    set_current(named(name) if name else machine_of(_native.cpu()))


def set_current(machine: Machine) -> None:
    """Plan for this machine from now on. Plans that were made before stay as they are."""
    global _current
    _current = machine


@contextmanager
def using(machine: Machine) -> Iterator[Machine]:
    """Plan for this machine inside the block: how tests set the machine they speak of."""
    before = current()
    set_current(machine)
    try:
        yield machine
    finally:
        set_current(before)


def cached(choice: Choice) -> Choice:
    """Keeps the results of a choice; those for another machine or another instruction set are others."""
    @lru_cache(maxsize=512)
    def kept(machine: Machine, isa: str, *args: Any) -> Any:
        return choice(*args)

    @wraps(choice)
    def call(*args: Any) -> Any:
        return kept(current(), _native.current_isa(), *args)

    return cast(Choice, call)


def named(name: str) -> Machine:
    """A row by its name, a file of numbers, or "measured": the file that `python -m fastcnn.machine --measure` writes.

    Raises ConfigurationError.
    """
    if name in ROWS:
        return ROWS[name]
    from pathlib import Path
    file = measured_file() if name == MEASURED else Path(name)
    try:
        return from_json(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"FASTCNN_MACHINE={name!r}: neither {MEASURED!r}, a file of numbers nor one of {', '.join(ROWS)}: "
                                 f"{error}") from None


def measured_file() -> Path:
    """Where the numbers measured on this processor are kept, beside the answers of tuning; other processors may share the folder."""
    cpu = _native.cpu()
    return cache_folder() / f"machine-{cpu['vendor']}-{cpu['family']}-{cpu['model_number']}-{cpu['l2_bytes'] >> 10}.json"


def measured_before() -> Machine | None:
    """What `python -m fastcnn.machine --measure` has found on this processor; None where there is nothing, or nothing of sense."""
    try:
        return from_json(measured_file().read_text(), str(measured_file()))
    except (OSError, ValueError):
        return None


def cache_folder() -> Path:
    """FASTCNN_CACHE, else fastcnn under XDG_CACHE_HOME, else under ~/.cache."""
    from pathlib import Path
    folder = os.environ.get("FASTCNN_CACHE")
    return Path(folder) if folder else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastcnn"
