"""The Machine that the planner computes with: the processor's row of the table, FASTCNN_MACHINE, or one set by the caller."""
from __future__ import annotations

import os
import threading
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


class Planned(threading.local):
    """What a thread plans for, inside planning_weights: whether a core's caches keep the network's weights from one run to the next."""

    keeps = False


Choice = TypeVar("Choice", bound=Callable[..., Any])
_current = machine_of(_native.cpu())
_planned = Planned()


def current() -> Machine:
    """The Machine in use."""
    return _current


@contextmanager
def planning_weights(nbytes: int) -> Iterator[None]:
    """Context manager: inside the block this thread plans for a network with so many bytes of weights."""
    before = _planned.keeps
    _planned.keeps = nbytes <= current().kept_bytes
    try:
        yield
    finally:
        _planned.keeps = before


def weights_rate() -> float:
    """Bytes a cycle at which a layer reads its weights: from memory, or from L3 at the slowest where the caches keep all of them."""
    return max(_current.memory, _current.l3_weights) if _planned.keeps else _current.memory


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
    """Decorator: caches results by arguments, machine, instruction set and where weights come from."""
    @lru_cache(maxsize=512)
    def kept(machine: Machine, isa: str, keeps: bool, *args: Any) -> Any:
        return choice(*args)

    @wraps(choice)
    def call(*args: Any) -> Any:
        return kept(current(), _native.current_isa(), _planned.keeps, *args)

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
