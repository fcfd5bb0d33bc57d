"""The Machine that the planner computes with: the processor's row of the table, FASTCNN_MACHINE, or one set by the caller."""
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
    """The Machine in use."""
    return _current


def select_machine() -> None:
    """Uses the machine that FASTCNN_MACHINE names, else this processor's row. Raises ConfigurationError."""
    name = os.environ.get("FASTCNN_MACHINE")
    set_current(named(name) if name else machine_of(_native.cpu()))


def set_current(machine: Machine) -> None:
    """Uses this machine for all later plans; existing plans stay."""
    global _current
    _current = machine


@contextmanager
def using(machine: Machine) -> Iterator[Machine]:
    """Context manager: uses this machine inside the block. Tests set the machine they make claims about."""
    before = current()
    set_current(machine)
    try:
        yield machine
    finally:
        set_current(before)


def cached(choice: Choice) -> Choice:
    """Decorator: caches results by arguments, machine and instruction set."""
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
    """The Machine that `python -m fastcnn.machine --measure` has saved for this processor; None without a valid file."""
    try:
        return from_json(measured_file().read_text(), str(measured_file()))
    except (OSError, ValueError):
        return None


def cache_folder() -> Path:
    """FASTCNN_CACHE, else fastcnn under XDG_CACHE_HOME, else under ~/.cache."""
    from pathlib import Path
    folder = os.environ.get("FASTCNN_CACHE")
    return Path(folder) if folder else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastcnn"
