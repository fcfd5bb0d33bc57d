"""How wide the register tile of a matrix product is: a model of the slots in which a core issues its arithmetic."""
from __future__ import annotations

from functools import lru_cache

from fastcnn import _native
from fastcnn.choice import machine

# In FMA issue slots: a load of the tile (one a row of a and one a vector of b); independent sums without which slots stay empty; a call
# of a tile (arguments, epilogue); a row of a, read from L2 again by every panel; a vector of b, which comes from L2 when the panel
# outgrows its share of L1. Fitted to 608 layers of thirteen networks at AVX-512 and AVX2 with cold weights, on which the pick then takes
# 0.5 % more time than the best width on average (AVX2 4.6 % before). 2026-11-21, Xeon (AVX-512, 48 KB L1, 2 MB L2), gcc 12.2, one thread;
# reproduce with python -m bench.layers --cold.
LOAD_SLOTS = 1.2
CHAIN_SLOTS = 11            # two ports times four cycles of latency, and what it takes to keep both filled
TILE_OVERHEAD = 130
A_SLOTS = 0.15
B_SLOTS = 1.0
PANEL_SHARE_OF_L1 = 0.4


def best_nv(oc: int, ow: int, k: int) -> int:
    """Tile width in vectors with the least modelled time."""
    return _best_nv(oc, ow, k, _native.vector_length())


@lru_cache(maxsize=4096)
def _best_nv(oc: int, ow: int, k: int, vector: int) -> int:
    widths = [nv for nv in (2, 3, 4, 1) if nv <= max(-(-oc // vector), 1) and _native.gemm_max_mr(nv)]
    return min(widths, key=lambda nv: tile_slots(oc, ow, k, nv))


def tile_slots(oc: int, ow: int, k: int, nv: int) -> float:
    """Issue slots of one row of ow pixels times oc columns: FMA slots, load slots, latency of few chains, and call overhead."""
    tiles = -(-ow // _native.gemm_max_mr(nv))
    full, last = divmod(-(-oc // _native.vector_length()), nv)
    return sum(count * _row_cost(ow, tiles, width, k) for count, width in ((full, nv), (1, last)) if count and width)


def _row_cost(ow: int, tiles: int, nv: int, k: int) -> float:
    """Issue slots for one row of ow pixels in `tiles` tiles nv vectors wide."""
    low, taller = divmod(ow, tiles)
    panel_bytes = 4 * k * nv * _native.vector_length()
    b_slots = B_SLOTS * nv if panel_bytes > PANEL_SHARE_OF_L1 * machine.l1d_bytes() else 0.0
    return sum(count * (k * (max(mr * nv, LOAD_SLOTS * (mr + nv), CHAIN_SLOTS) + A_SLOTS * mr + b_slots) + TILE_OVERHEAD)
               for count, mr in ((taller, low + 1), (tiles - taller, low)) if count)
