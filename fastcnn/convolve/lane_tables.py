"""Tables that pick each lane of a vector of channels from other vectors, for the pick step and for groups narrower than a vector."""
from __future__ import annotations

from functools import lru_cache

import numpy as np

import fastcnn._native as _native


def pick_table(indices: np.ndarray | None, channels: int) -> np.ndarray | None:
    """The table of the pick step, a row for each vector: lanes, then the two channels from which they count.

    None where a vector of the result takes from more than two runs as long as a vector.
    """
    width = _native.vector_length()
    if indices is None or indices.ndim != 1 or indices.size == 0 or channels < 1:
        return None
    order, rows, last = (indices.astype(np.int64) % channels).tolist(), [], max(channels - width, 0)
    for begin in range(0, len(order), width):               # of a few numbers each, for which an array takes five times as long
        part = order[begin:begin + width]
        first = min(min(part), last)
        rest = [k for k in part if k >= first + width]
        second = min(min(rest), last) if rest else first
        if rest and max(rest) >= second + width:
            return None
        lanes = [k - first if k < first + width else k - second + width for k in part]
        rows.append([*lanes, *[0] * (width - len(part)), first, second])
    return np.array(rows, np.int32)


def group_tables(groups: int, ic: int, oc: int) -> np.ndarray | None:
    """[ic] tables of a convolution in groups of ic channels to oc: the q-th of which input channel q of its group each output sees."""
    return _group_tables(groups, ic, oc, _native.vector_length())


@lru_cache(maxsize=256)
def _group_tables(groups: int, ic: int, oc: int, vector: int) -> np.ndarray | None:
    firsts = np.arange(groups * oc) // oc * ic
    tables = [pick_table(firsts + q, groups * ic) for q in range(ic)]
    return None if any(table is None for table in tables) else np.stack([table for table in tables if table is not None])
