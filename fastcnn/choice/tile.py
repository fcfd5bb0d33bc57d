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
TILE_OVERHEAD = 110
A_SLOTS = 0.25
B_SLOTS = 1.0
PANEL_SHARE_OF_L1 = 0.4
# Where the maps of a layer outgrow L2, besides: a line of the output (and of the residual), the more the narrower the strips in which the
# tiles touch the channels of a pixel. With A_SLOTS and TILE_OVERHEAD searched for the least time of 320 layers of 25 networks, weights from
# beyond L2, 36 widths and blocks each: at AVX-512 the pick takes 1.1 % more time than the best of them by weight, 2.8 before this term
# (112x112, 16 to 64 channels 244 -> 167 us; 56x56, 64 to 256 with residual 691 -> 590). 2026-11-21, the same machine.
LINE_SLOTS = 27
WIDE_STRIP = 256            # bytes


def best_nv(oc: int, ow: int, k: int, streamed: int = 0) -> int:
    """Tile width in vectors with the least modelled time; streamed: maps of the output's size that pass L2 by."""
    return _best_nv(oc, ow, k, streamed, _native.vector_length())


@lru_cache(maxsize=4096)
def _best_nv(oc: int, ow: int, k: int, streamed: int, vector: int) -> int:
    widths = [nv for nv in (2, 3, 4, 1) if nv <= max(-(-oc // vector), 1) and _native.gemm_max_mr(nv)]
    return min(widths, key=lambda nv: tile_slots(oc, ow, k, nv, streamed))


def tile_slots(oc: int, ow: int, k: int, nv: int, streamed: int = 0) -> float:
    """Issue slots of one row of ow pixels times oc columns: FMA slots, load slots, latency of few chains, call overhead, narrow strips."""
    tiles = -(-ow // _native.gemm_max_mr(nv))
    vectors = -(-oc // _native.vector_length())
    full, last = divmod(vectors, nv)
    slots = sum(count * _row_cost(ow, tiles, width, k) for count, width in ((full, nv), (1, last)) if count and width)
    strip = 4 * nv * _native.vector_length()
    lines = streamed * ow * oc / machine.CACHE_LINE_FLOATS if nv < vectors else 0
    return slots + lines * LINE_SLOTS * max(0.0, 1 - strip / WIDE_STRIP)


def _row_cost(ow: int, tiles: int, nv: int, k: int) -> float:
    """Issue slots for one row of ow pixels in `tiles` tiles nv vectors wide."""
    low, taller = divmod(ow, tiles)
    panel_bytes = 4 * k * nv * _native.vector_length()
    b_slots = B_SLOTS * nv if panel_bytes > PANEL_SHARE_OF_L1 * machine.l1d_bytes() else 0.0
    return sum(count * (k * (max(mr * nv, LOAD_SLOTS * (mr + nv), CHAIN_SLOTS) + A_SLOTS * mr + b_slots) + TILE_OVERHEAD)
               for count, mr in ((taller, low + 1), (tiles - taller, low)) if count)
