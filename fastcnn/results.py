"""The results of run(): fresh arrays that share memory with nothing else, or the caller's arrays given as `out`."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.inference.sizes import symbol
from fastcnn.ir.errors import InputError
from fastcnn.ir.graph import Graph, Shape, ValueInfo
from fastcnn.plan.aliasing import copied

# Whether two strided arrays overlap can be hard to say: after this much work they count as overlapping.
OVERLAP_WORK = 10_000


def described_outputs(graph: Graph, shapes: Mapping[str, Shape]) -> list[ValueInfo]:
    """The graph's outputs, with inferred types and sizes where the file gives none.

    shapes  inferred shapes, with symbols as infer_types() names them; their numbers take precedence over the file's
    """
    types = graph.types
    symbols = {symbol(info.name, axis): size for info in graph.inputs for axis, size in enumerate(info.shape or ())}
    outputs = []
    for info in graph.outputs:
        found, said = shapes.get(info.name), info.shape
        if found is not None:
            own = said if said is not None and len(said) == len(found) else (None,) * len(found)
            said = tuple(d if isinstance(d, int) else s or symbols.get(d or "") for d, s in zip(found, own))
        outputs.append(ValueInfo(info.name, info.type or types.get(info.name, ""), said))
    return outputs


def targets_of(names: Sequence[str], out: Sequence[Any] | Mapping[str, Any]) -> list[np.ndarray | None]:
    """The arrays to write results to, in the order of names, from the caller's `out`. Raises InputError for one that cannot be written."""
    if isinstance(out, Mapping):
        unknown = [name for name in out if name not in names]
        if unknown:
            raise InputError(f"out: no result {unknown[0]!r}; the results are {', '.join(names)}")
        out = [out.get(name) for name in names]
    if len(out) != len(names):
        raise InputError(f"out: {len(out)} arrays for the {len(names)} results {', '.join(names)}")
    targets = [None if place is None else _writeable(name, place) for name, place in zip(names, out)]
    _check_apart(names, targets)
    return targets


def _check_apart(names: Sequence[str], targets: Sequence[np.ndarray | None]) -> None:
    """Raises InputError where two results would be written over each other."""
    given = [(name, target) for name, target in zip(names, targets) if target is not None]
    for k, (name, target) in enumerate(given):
        for other, before in given[:k]:
            if other != name and _overlap(target, before):
                raise InputError(f"out: the arrays of {other!r} and {name!r} overlap")


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        return np.shares_memory(a, b, max_work=OVERLAP_WORK)      # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


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
    """Copies results into their targets where they do not lie there already; returns the caller's own objects in place of these."""
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


def first_of(unique: Sequence[str], names: Sequence[str], targets: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """The first target of each name."""
    return [targets[list(names).index(name)] for name in unique]


def repeated(unique: Sequence[str], results: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """The results of `unique` in the order of `names`; a name that comes again gets a copy."""
    found, taken, placed = dict(zip(unique, results)), set(), []
    for name in names:
        placed.append(copied(found[name]) if name in taken else found[name])
        taken.add(name)
    return placed


def typed(results: Sequence[Any], names: Sequence[str], dtypes: Mapping[str, np.dtype]) -> list[Any]:
    """The results in the types given for their names, those without one as they are."""
    kinds = [dtypes.get(name) for name in names]
    return [result if kind is None or result is None else result.astype(kind) for kind, result in zip(kinds, results)]
