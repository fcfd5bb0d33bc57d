"""The keys of packed weights as plain data (tuples of names, numbers and arithmetics), and the build that packs were made for."""
from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import fastcnn._native as _native
from fastcnn.convolve.arithmetic import ARITHMETICS, Arithmetic

MOST_DEPTH = 16


def made_for() -> dict[str, str]:
    """What packs depend on beside weights and keys: the vector length, and the sources of this build."""
    return {"instruction_set": _native.current_isa(), "build": _native.BUILD}


def plain(key: Hashable) -> Any:
    """For JSON."""
    if isinstance(key, tuple):
        return [plain(part) for part in key]
    return {"arithmetic": str(key)} if isinstance(key, Arithmetic) else key


def key_of(data: Any, depth: int = 0) -> Hashable:
    """The inverse of plain(). Raises ValueError, TypeError or KeyError for data that is no key."""
    if isinstance(data, list) and depth < MOST_DEPTH:
        return tuple([key_of(part, depth + 1) for part in data])
    if isinstance(data, dict):
        return ARITHMETICS[data["arithmetic"]]
    if not isinstance(data, (str, int, float)):
        raise ValueError(f"a key with {data!r}")
    return data
