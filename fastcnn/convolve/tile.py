"""The width of the register tile of a matrix product, by a model of a core's issue slots."""
from __future__ import annotations

import fastcnn._native as _native
from fastcnn.convolve.arithmetic import WORD
from fastcnn.machine.current import cached, current
from fastcnn.machine.numbers import WIDE, Machine

# The share of L1 that a panel of b may take: a larger one comes from L2 at every step of k.
PANEL_SHARE_OF_L1 = 0.4
# Lines of an output (and of a residual) beyond L2 take the longer the narrower the strips in which the tiles touch the channels of a pixel.
# At this width, in bytes, nothing is lost.
WIDE_STRIP = 256
CACHE_LINE_FLOATS = 16
MAX_NV = _native.GEMM_MAX_NV          # widest register tile in vectors


def best_nv(oc: int, ow: int, k: int, streamed: int = 0) -> int:
    """The tile width, in vectors, with the least predicted time. streamed: number of output-sized tensors too large for L2."""
    return _best_nv(oc, ow, k, streamed)


@cached
def _best_nv(oc: int, ow: int, k: int, streamed: int) -> int:
    widths = [nv for nv in (2, 3, 4, 1) if nv <= max(-(-oc // _native.vector_length()), 1) and _native.gemm_max_mr(nv)]
    if len(widths) == 1:
        return widths[0]
    times = [tile_cycles(oc, ow, k, nv, streamed) for nv in widths]
    return widths[times.index(min(times))]


def half_tiles() -> bool:
    """Whether a last vector at most half full takes half the time of a whole one: where 512 bits are multiplied as twice 256."""
    machine = current()
    return _native.vector_length() >= WIDE and 2 * machine.wide.fmas <= machine.narrow.fmas


def tile_cycles(oc: int, ow: int, k: int, nv: int, streamed: int = 0) -> float:
    """Cycles of one row of ow pixels times oc columns, k words long: FMAs, loads, latency of few chains, calls, narrow strips."""
    machine, vector = current(), _native.vector_length()
    tiles, vectors = -(-ow // _native.gemm_max_mr(nv)), -(-oc // vector)
    spent = 0.0
    for count, width in _panels(oc, nv, vectors):
        if count:
            spent += count * _row_cycles(machine, vector, ow, tiles, width, k)
    if not streamed or nv >= vectors:
        return spent
    strip, lines = WORD * nv * vector, streamed * ow * oc / CACHE_LINE_FLOATS
    return spent + lines * machine.line * max(0.0, 1 - strip / WIDE_STRIP)


def _panels(oc: int, nv: int, vectors: int) -> list[tuple[int, float]]:
    """(number, width in vectors) of the panels of oc columns."""
    full, last = divmod(vectors, nv)
    if half_tiles() and 2 * (vectors * WIDE - oc) >= WIDE:
        full, last = (full, last) if last else (full - 1, nv)
        return [(full, nv), (1, last - 0.5)]
    return [(full, nv), (min(last, 1), last)]


def _row_cycles(machine: Machine, vector: int, ow: int, tiles: int, nv: float, k: int) -> float:
    """Cycles of one row of ow pixels in `tiles` tiles nv vectors wide."""
    core = machine.core(vector)
    low, taller = divmod(ow, tiles)
    a_row, b_panel = WORD / machine.l2_read, 0.0
    if WORD * k * nv * vector > PANEL_SHARE_OF_L1 * machine.l1d_bytes:
        b_panel = core.panel * nv
    spent = 0.0
    for count, mr in ((taller, low + 1), (tiles - taller, low)):
        if count:
            fmas, loads = mr * nv / core.fmas, core.load * (mr + nv)
            slowest = fmas if fmas > loads else loads
            spent += count * (k * ((slowest if slowest > core.chains else core.chains) + a_row * mr + b_panel) + machine.tile)
    return spent
