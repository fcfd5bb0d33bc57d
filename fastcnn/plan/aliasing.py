"""Copies outputs that share memory with other values, since outputs of a run belong to the caller."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np


def copied(value: Any) -> Any:
    """A copy of an array or of a sequence of arrays; other values unchanged."""
    if isinstance(value, list):
        return [copied(element) for element in value]
    return np.array(value) if isinstance(value, np.ndarray) else value


def apart(values: Sequence[Any], others: Iterable[Any]) -> list[Any]:
    """The values; those that share memory with `others` or with an earlier value are copied."""
    taken, kept = list(_arrays(others)), []
    for value in values:
        shared = any(array is other or np.may_share_memory(array, other) for array in _arrays([value]) for other in taken)
        kept.append(copied(value) if shared else value)
        taken += _arrays([kept[-1]])
    return kept


def _arrays(values: Iterable[Any]) -> Iterator[np.ndarray]:
    """The arrays among values and in the sequences among them."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _arrays(value)
