"""Values in memory of their own: what a run hands out belongs to the caller alone."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np


def copied(value: Any) -> Any:
    """An array, or a sequence of them, in memory of its own; anything else as it is."""
    if isinstance(value, list):
        return [copied(element) for element in value]
    return np.array(value) if isinstance(value, np.ndarray) else value


def apart(values: Sequence[Any], others: Iterable[Any]) -> list[Any]:
    """The values, copied where they share memory with `others` or with a value before."""
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
