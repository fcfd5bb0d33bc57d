"""Results in arrays of the caller's: what run(out=) does."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.errors import InputError


def targets_of(names: Sequence[str], out: Sequence[Any] | Mapping[str, Any]) -> list[np.ndarray | None]:
    """The array over each of the caller's places, in the order of names. Raises InputError for what cannot be written."""
    if isinstance(out, Mapping):
        unknown = [name for name in out if name not in names]
        if unknown:
            raise InputError(f"out: no result {unknown[0]!r}; the results are {', '.join(names)}")
        out = [out.get(name) for name in names]
    if len(out) != len(names):
        raise InputError(f"out: {len(out)} arrays for the {len(names)} results {', '.join(names)}")
    return [None if place is None else _writeable(name, place) for name, place in zip(names, out)]


def _writeable(name: str, place: Any) -> np.ndarray:
    try:
        array = place if isinstance(place, np.ndarray) else np.asarray(place)
    except Exception as error:
        raise InputError(f"out {name!r}: {type(place).__name__} is no array: {error}") from error
    if not array.flags.writeable or isinstance(place, (list, tuple, int, float)):
        raise InputError(f"out {name!r}: {type(place).__name__} cannot be written")
    return array


def place(names: Sequence[str], results: Sequence[Any], targets: Sequence[np.ndarray | None],
          out: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    """The results, copied into the targets they do not lie in yet; the caller's own objects in their place."""
    placed = []
    for k, (name, result, target) in enumerate(zip(names, results, targets)):
        if target is None:
            placed.append(result)
            continue
        if result is not target:
            if not isinstance(result, np.ndarray) or result.shape != target.shape or result.dtype != target.dtype:
                made = f"{result.dtype}{list(result.shape)}" if isinstance(result, np.ndarray) else type(result).__name__
                raise InputError(f"out {name!r}: the result is {made}, the array {target.dtype}{list(target.shape)}")
            np.copyto(target, result)
        placed.append(out[name] if isinstance(out, Mapping) else out[k])
    return placed
