"""Convolution of bytes as a matrix product: unsigned activations, signed weights, four values of k a lane (the qconv step)."""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import blocking
from fastcnn.convolve.arithmetic import U8S8, WORD
from fastcnn.convolve.choice import Choice, Rung, whole_vectors
from fastcnn.convolve.implicit_gemm import taps_of_all, weight_bytes
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.convolve.tile import MAX_NV
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current, weights_rate

# FMAs of a whole vector in whose time all lanes multiply their four values and add them: one instruction where there are dot products of
# bytes; else they are widened, in registers (Core.widened) or beforehand (Core.pairs). Products of whole tiles take as long as they have
# rows. With one lane, tiles of four columns have vectors after all (simd/fours_scalar.h; EPYC Zen 5).
DOT = {"avx512_amx": 0.25, "avx512_vnni": 1.0, "avx2_vnni": 1.0, "scalar": 9.0}
DOT_OF_FOURS = 1.5
WORTH_IT = 0.99           # of the predicted time through a band, for reading x in place
LINE, L1_WAY = 64, 4096   # bytes of a line of L1, and of one line of each of its sets
LEAST_INSIDE = 4          # output columns beside each other that see no padding, for which reading x in place is considered
WITHOUT_DOTS = ("scalar", "avx2", "avx512")
EPILOGUE = 2.5            # cycles a vector of sums: scaled, rounded, packed
COPIED, PANEL = 2.0, 4.5  # of widened operands, cycles a vector of lanes: four values of x copied as 16 bits each; four of w (EPYC Zen 3)
PACKED = (0, 1, 2, 4, 4)  # vectors that the epilogue packs for a row of so many: four at a time, of several rows where they divide four
HALVES = 2                # vectors of a row whose bytes are stored as half a vector
# Cycles of an element without vectors: it becomes a byte; a byte becomes it (EPYC Zen 3). The second is 0.3 in L1, of which the compiler
# makes vectors, but 1.5 made the better picks of 0.3, 1.5 and 3.
SCALAR_QUANTISE, SCALAR_DEQUANTISE = 7.0, 1.5


def quantise_cycles() -> float:
    """Cycles in which a vector of floats becomes bytes."""
    vector = _native.vector_length()
    return current().core(vector).quantise if vector > 1 else SCALAR_QUANTISE


def dequantise_cycles() -> float:
    """Cycles in which bytes become a vector of floats."""
    vector = _native.vector_length()
    return current().core(vector).dequantise if vector > 1 else SCALAR_DEQUANTISE


def has_dots() -> bool:
    """Whether dot products of bytes are one instruction here: then no product of floats is faster."""
    return _native.current_isa() not in WITHOUT_DOTS


NO_BAND, BAND, BAND_OF_EDGES = range(3)     # fields of the qconv step


class QuantizedGemm(Rung):
    """Base of the rungs below: the qconv step, its weights, its time. band: what is copied of x."""

    arithmetic = U8S8
    band = NO_BAND

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        how = min(tiles(shape.oc), key=lambda tile: self.work(shape, tile))
        return self.with_tiles(shape, how, problem.threads)

    def with_tiles(self, shape: ConvShape, how: Tiles, threads: int, factor: float = 1) -> Choice:
        """The choice with such tiles, blocked for the caches."""
        rows = blocking.block_rows(shape, threads) if self.band == BAND else self.rows_in_place(shape)
        block = max(1, min(shape.oh, int(factor * rows / (2 if how.wide else 1))))
        units = shape.n * shape.oh * (1 if self.band else shape.ow // how.tallest)
        split = threads > 1 and units < 4 * threads and -(-shape.oc // (how.nv * _native.vector_length())) >= threads
        fields = {"groups": shape.groups, "ic": shape.ic, "oc": shape.oc, "nv": how.nv, "turns": how.turns, "wide": how.wide,
                  "band": self.band, "block": block, "split_columns": int(split)}
        return Choice(self.name, "qconv", shape, fields, (shape.groups, how.nv, shape.dw == 1))

    def rows_in_place(self, shape: ConvShape) -> int:
        """Rows of x that fill a quarter of L2 while the panels of w pass over them."""
        return max(1, current().l2_bytes // 4 // max(shape.iw * shape.ic * shape.groups * shape.sh, 1))

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        shape = problem.shape
        for how in tiles(shape.oc):
            for factor in (0.5, 1, 2):
                choice = self.with_tiles(shape, how, problem.threads, factor)
                yield f"{self.name} {how} b{choice.fields['block']}", choice

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        groups, nv, whole_rows = choice.packing
        return _native.pack_qconv(np.ascontiguousarray(w), groups, nv, whole_rows)

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        (groups, _, whole_rows), (m, ic, kh, kw) = choice.packing, w_shape
        runs, run = (kh, kw * ic) if whole_rows else (kh * kw, ic)
        return Spec(self.arithmetic.w, (groups * whole_vectors(m // groups) * runs * -(-run // WORD) * WORD,))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, fields = choice.shape, choice.fields
        work = self.work(shape, Tiles(fields["nv"], fields["turns"], fields["wide"]))
        return work / threads + weight_bytes(shape, _native.vector_length()) / weights_rate()

    def work(self, shape: ConvShape, how: Tiles) -> float:
        """Cycles of tiles and of the band."""
        vector = _native.vector_length()
        seen = self.copied_pixels(shape) if self.band else shape.n * shape.ih * shape.iw
        copied = seen * shape.groups * -(-shape.ic // (WORD * vector))
        each = COPIED if how.wide else current().core(vector).band if self.band else 0.0
        panels = self.blocks(shape) * shape.groups * -(-shape.oc // vector) * words(shape) * PANEL if how.wide else 0.0
        return self.tile_cycles(shape, how) + copied * each + panels

    def tile_cycles(self, shape: ConvShape, how: Tiles) -> float:
        """Cycles of all tiles."""
        return work_cycles(shape, how)

    def copied_pixels(self, shape: ConvShape) -> float:
        """Pixels copied to the band."""
        return taps_of_all(shape) / shape.kw

    def blocks(self, shape: ConvShape) -> int:
        """Blocks of rows, about, with operands of 16 bits."""
        rows = blocking.block_rows(shape, 1) if self.band == BAND else self.rows_in_place(shape)
        return shape.n * -(-shape.oh // max(1, rows // 2))


class QuantizedInPlace(QuantizedGemm):
    """Tiles read x in place: windows of one pixel, all of them inside x."""

    name = "8-bit GEMM in place"

    def covers(self, problem: Problem) -> bool:
        return problem.shape.kernel == (1, 1) and not problem.shape.touches_padding


class QuantizedThroughBand(QuantizedGemm):
    """The rows of x that a block of output rows needs are first copied to a band, with zero points around them."""

    name, band = "8-bit GEMM through a band", BAND

    def covers(self, problem: Problem) -> bool:
        return problem.shape.kernel != (1, 1) or problem.shape.touches_padding


class QuantizedInside(QuantizedGemm):
    """Output columns that see no padding read x in place, what the others see is copied to a band. Kernel rows in padding are left out."""

    name, band = "8-bit GEMM in place, edges through a band", BAND_OF_EDGES

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        bottom = shape.ih + shape.pt - (shape.oh - 1) * shape.sh
        rows_see_x = shape.pt <= (shape.kh - 1) * shape.dh and bottom > 0
        windows = shape.kernel != (1, 1) and shape.groups == 1 and shape.ic % WORD == 0
        return windows and rows_see_x and has_dots() and inside(shape) >= LEAST_INSIDE

    def choose(self, problem: Problem) -> Choice:
        """As of all of them, but tiles whose part of x takes more than half of the L1 ways of a set come last."""
        shape, ways = problem.shape, current().l1d_bytes // L1_WAY
        how = min(tiles(shape.oc), key=lambda tile: (lines_in_a_set(problem, tile.tallest) > ways / 2, self.work(shape, tile)))
        return self.with_tiles(shape, how, problem.threads)

    def pays(self, problem: Problem) -> bool:
        """Where it is predicted to be faster than through a band, without a thought of sets."""
        return self.cycles(super().choose(problem), 1) < WORTH_IT * QUANTIZED_THROUGH_BAND.cycles(QUANTIZED_THROUGH_BAND.choose(problem), 1)

    def copied_pixels(self, shape: ConvShape) -> float:
        return taps_of_all(shape) / shape.ow * (shape.ow - inside(shape))

    def tile_cycles(self, shape: ConvShape, how: Tiles) -> float:
        between = inside(shape)
        along, down = replace(shape, ow=between), replace(shape, ow=min(shape.oh, self.rows_in_place(shape)))
        return shape.n * shape.oh * (row_cycles(along, how) + (shape.ow - between) * row_cycles(down, how) / down.ow)


def lines_in_a_set(problem: Problem, rows: int) -> float:
    """Cache lines of x that a tile of so many pixels reads, for each set of L1 that they lie in: pixels far apart share few sets."""
    shape, (_, _, row, pixel) = problem.shape, problem.places[0]
    pixels = (rows - 1) * shape.sw + (shape.kw - 1) * shape.dw + 1
    image_rows = shape.kh if row % L1_WAY == 0 else 1
    return pixels * image_rows * max(math.gcd(pixel, L1_WAY) // LINE, 1) * LINE / L1_WAY


def inside(shape: ConvShape) -> int:
    """Output columns that see no padding."""
    ranges = [shape.valid_columns(s) for s in range(shape.kw)]
    return max(0, min(end for _, end in ranges) - max(begin for begin, _ in ranges))


@dataclass(frozen=True)
class Tiles:
    """Register tiles nv vectors wide. turns: two of them take turns; wide: operands are widened to 16 bits beforehand."""

    nv: int
    turns: int = 0
    wide: int = 0

    @property
    def tallest(self) -> int:
        return _native.qwide_max_mr(self.nv) if self.wide else _native.qgemm_max_mr(self.nv)

    def __str__(self) -> str:
        return f"nv{self.nv}{' in turns' * self.turns}{' wide' * self.wide}"


def tile_widths(oc: int) -> list[int]:
    """Widths, in vectors, of the tiles over bytes for this number of output channels."""
    return [nv for nv in range(1, min(MAX_NV, -(-oc // _native.vector_length())) + 1) if _native.qgemm_max_mr(nv)]


def tiles(oc: int) -> list[Tiles]:
    """All tiles for this number of output channels."""
    widths = tile_widths(oc)
    wide = [nv for nv in range(1, min(MAX_NV, -(-oc // _native.vector_length())) + 1) if _native.qwide_max_mr(nv)]
    return [*map(Tiles, widths), *(Tiles(nv, turns=1) for nv in widths if _native.qgemm_turns(nv)), *(Tiles(nv, wide=1) for nv in wide)]


def words(shape: ConvShape) -> int:
    """Words (of four values) of k that an output takes; each run is rounded up to whole words."""
    return shape.kh * -(-shape.kw * shape.ic // WORD) if shape.dw == 1 else shape.kh * shape.kw * -(-shape.ic // WORD)


def work_cycles(shape: ConvShape, how: Tiles) -> float:
    """Cycles of all tiles of a convolution. With a 1x1 window, tiles run over pixels regardless of rows."""
    if shape.kernel == (1, 1) and (shape.sh, shape.sw) == (1, 1) and not shape.touches_padding:
        return shape.groups * shape.n * row_cycles(replace(shape, ow=shape.oh * shape.ow), how)
    return shape.groups * shape.n * shape.oh * row_cycles(shape, how)


def row_cycles(shape: ConvShape, how: Tiles) -> float:
    """Cycles of a row of outputs of one group: dot products, loads, latency of few sums, epilogue, calls."""
    vector, machine = _native.vector_length(), current()
    core, k = machine.core(vector), words(shape)
    full, last = divmod(-(-shape.oc // vector), how.nv)
    spent = 0.0
    for count, width in ((full, how.nv), (1, last)):
        if not count or not width:
            continue
        alone, dot = shape.ow, _dot(how, width)
        if how.turns and width == how.nv:
            alone = shape.ow % (2 * _native.qgemm_turns(width))
            spent += count * (shape.ow - alone) * width * (k * dot / core.fmas + machine.turns)
        if not alone:
            continue
        tall = -(-alone // replace(how, nv=width).tallest)
        low, taller = divmod(alone, tall)
        b_panel = core.panel * width if not how.wide and WORD * k * width * vector > machine.l1d_bytes * 2 // 5 else 0.0
        epilogue = EPILOGUE * PACKED[width] + (core.halves if width == HALVES else 0.0)
        loads = 2 if how.wide else 1
        for many, mr in ((taller, low + 1), (tall - taller, low)):
            step = max(dot * mr * width / core.fmas, loads * core.load * (mr + width), core.chains) + WORD / machine.l2_read * mr + b_panel
            spent += count * many * (k * step + epilogue * mr + machine.tile)
    return spent


def _dot(how: Tiles, width: int) -> float:
    """FMAs of a vector in whose time a vector of sums takes a word of k, in tiles so many vectors wide."""
    if how.wide:
        return current().core(_native.vector_length()).pairs
    if _native.vector_length() == 1 and width == MAX_NV:
        return DOT_OF_FOURS
    return DOT.get(_native.current_isa(), current().core(_native.vector_length()).widened)


QUANTIZED_IN_PLACE, QUANTIZED_THROUGH_BAND, QUANTIZED_INSIDE = QuantizedInPlace(), QuantizedThroughBand(), QuantizedInside()

