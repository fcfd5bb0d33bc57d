"""Keeps a layer's tile width when a further input shape would prefer another, since each width needs a packed copy of the weights."""
from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from fastcnn.convolve.blocking import streamed, streams_weights
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.implicit_gemm import at_width, panels
from fastcnn.convolve.shape import Places
from fastcnn.convolve.tile import MAX_NV, tile_cycles

# A layer keeps the width that its weights are packed for where the model of tile.py says that this takes at most so much more time.
KEEP_WIDTH = 1.15


def keep_width(picked: Choice, places: Places, widths: Sequence[int], threads: int) -> Choice:
    """The choice at one of these tile widths, for which its weights are packed already, unless that is much slower.

    A layer that only streams weights from memory keeps any width: narrow panels gain less than a second copy of the weights costs.
    """
    if picked.kind != "conv" or picked.fields["interleaved"]:
        return picked
    shape = picked.shape
    limit = float("inf") if streams_weights(shape) else KEEP_WIDTH
    nv = kept_nv(shape.oc, shape.ow, shape.k, picked.fields["nv"], widths, limit, streamed(shape, places, threads))
    return picked if nv == picked.fields["nv"] else at_width(picked, nv, places, threads)


@cache
def layouts(groups: int) -> list[tuple[int, tuple[object, ...]]]:
    """Every tile width with the layout of weights packed for it."""
    return [(nv, panels(nv, groups)) for nv in range(1, MAX_NV + 1)]


def kept_nv(oc: int, ow: int, k: int, best: int, widths: Sequence[int], limit: float = KEEP_WIDTH, streamed: int = 0) -> int:
    """The cheapest of the widths that weights are packed for; `best` where none costs at most `limit` times as much as that."""
    if not widths or best in widths:
        return best
    cost = {nv: tile_cycles(oc, ow, k, nv, streamed) for nv in (*widths, best)}
    nv = min(widths, key=cost.__getitem__)
    return nv if cost[nv] <= limit * cost[best] else best
