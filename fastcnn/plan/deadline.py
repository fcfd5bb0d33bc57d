"""Deadline: when a run has to end, in seconds or by cancel() from another thread."""
from __future__ import annotations

from fastcnn._native import Deadline
from fastcnn.ir.errors import InputError

__all__ = ["Deadline", "deadline_of"]


def deadline_of(timeout: float | Deadline | None) -> Deadline | None:
    """A Deadline so many seconds from now; one that is given as it is. Raises InputError."""
    if timeout is None or isinstance(timeout, Deadline):
        return timeout
    try:
        return Deadline(timeout)
    except ValueError:
        raise InputError(f"timeout={timeout!r}: expected a number of seconds or a fastcnn.Deadline") from None
