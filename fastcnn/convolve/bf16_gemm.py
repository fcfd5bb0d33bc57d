"""Convolution in bfloat16, on request (precision="bf16"): x and w are rounded to 8 bits of mantissa, products and sums are float32."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import blocking
from fastcnn.convolve.block_diagonal import block_diagonal, factors
from fastcnn.convolve.choice import Choice, Rung, whole_vectors
from fastcnn.convolve.implicit_gemm import lies_in_planes
from fastcnn.convolve.shape import ConvShape, Problem, flatten
from fastcnn.convolve.tile import MAX_NV, WIDE_STRIP
from fastcnn.ir.record import replace
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current, weights_rate

ITEM = 2                    # bytes of a value
PAIR = 2                    # values of k that a lane multiplies at a time
SCALE, AFFINE = 1, 2        # what happens to x before it is rounded (field `scaled`)
CACHE_LINE, STREAMED_OF_L2 = 64, 0.75
TILE_WORDS = 16             # pairs that a tile register has of a pixel
# Cycles, of a Xeon with AMX (2026-11-29): a tile register multiplied, and loaded; a vector of results; a tile begun; a vector rounded.
MULTIPLY, LOAD, RESULT, TILE, NARROW = 16.0, 8.0, 3.5, 40.0, 2.0


class Bf16Gemm(Rung):
    """Implicit GEMM through a band of rounded rows, by AMX or by dot products of pairs; the scalar kernel is the readable definition.

    The only rung whose results differ by more than the rounding of sums. ladder.choose compares it with the pick among the others.
    """

    name, of_halves = "GEMM in bfloat16", True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        if not problem.rounds or shape.strict or shape.is_depthwise:
            return False
        pairs = bool(widths(shape.oc)) and (_run(shape)[1] % PAIR == 0 or _native.pgemm_odd_runs())
        lies = not lies_in_planes(shape, problem.places) or (shape.groups == 1 and shape.kernel != (1, 1) and problem.places[0][3] == 1)
        written = shape.oc == 1 or len(problem.places) == 1 or problem.places[1][3] != 1         # pixel by pixel, not in planes
        return pairs and lies and written

    def choose(self, problem: Problem) -> Choice:
        return min((choice for _, choice in self.candidates(problem)), key=lambda choice: self.cycles(choice, 1) + _strip_cycles(choice))

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        shape = flatten(problem.shape, problem.places)
        for together in (1, *factors(shape)):
            for nv in widths(shape.oc * together):
                joined = f", {together} groups together" if together > 1 else ""
                yield f"{self.name} nv{nv}{joined}", self.at_width(shape, nv, problem.threads, together)

    def at_width(self, shape: ConvShape, nv: int, threads: int, together: int = 1) -> Choice:
        """The choice with tiles nv vectors wide; together: number of groups joined into one."""
        if together > 1:
            shape = replace(shape, groups=shape.groups // together, ic=shape.ic * together, oc=shape.oc * together)
        fields = {"groups": shape.groups, "ic": shape.ic, "oc": shape.oc, "nv": nv, "block": _block(shape, threads),
                  "split_columns": int(blocking.splits_columns(shape, nv, not _is_flat(shape), threads)),
                  "x_half": 0, "y_half": 0, "r_half": 0, "y_gap": 0, "scaled": 0}
        return Choice(self.name, "conv_bf16", shape, fields, (shape.groups, nv, shape.dw == 1, together))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        groups, nv, whole_rows, together = choice.packing
        return pack_pairs(block_diagonal(w, choice.shape.oc // together, together) if together > 1 else w, groups, nv, whole_rows)

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        groups, runs, values = choice.packing[0], *_run(choice.shape)
        return Spec(np.dtype(np.uint16), (groups * whole_vectors(w_shape[0] // groups) * runs * whole_pairs(values) * PAIR,))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, nv, vector = choice.shape, choice.fields["nv"], _native.vector_length()
        runs, values = _run(shape)
        words = runs * whole_pairs(values)
        work = sum(count * _row_cycles(shape.ow, width, half, runs, words) for count, width, half in _panels(shape.oc, nv))
        work *= shape.groups * shape.n * shape.oh
        band = shape.n * shape.groups * shape.oh * min(shape.sh, shape.kh) * shape.columns_seen * shape.ic
        weights = ITEM * shape.groups * shape.oc * shape.k
        return (work + NARROW * band / vector) / threads + weights / weights_rate()


BF16_GEMM = Bf16Gemm()


def widths(oc: int) -> list[int]:
    """Widths, in vectors, of the register tiles that this instruction set has for this number of output channels."""
    return [nv for nv in range(1, MAX_NV + 1) if _native.pgemm_max_mr(nv) and nv <= -(-oc // _native.vector_length())]


def has_widths_of_floats() -> bool:
    """Whether there is a tile of bfloat16 for every width that tiles of floats have."""
    return all(_native.pgemm_max_mr(nv) for nv in range(1, MAX_NV + 1) if _native.gemm_max_mr(nv))


def whole_pairs(values: int) -> int:
    """Pairs that hold so many values."""
    return -(-values // PAIR)


def pack_pairs(w: np.ndarray, groups: int, nv: int, whole_rows: bool) -> np.ndarray:
    """w (M, C/group, kh, kw) in bfloat16 as [group][panel][run of k][pair][channel][2], flat.

    whole_rows: a run is a kernel row, else a tap; a zero makes the last pair of an odd one whole
    """
    m, ic, kh, kw = w.shape
    vector, oc = _native.vector_length(), m // groups
    channels = -(-oc // vector) * vector
    runs, values = (kh, kw * ic) if whole_rows else (kh * kw, ic)
    whole = np.zeros((groups, oc, runs, PAIR * whole_pairs(values)), np.uint16)
    whole[..., :values] = rounded(np.ascontiguousarray(w.transpose(0, 2, 3, 1), np.float32)).reshape(groups, oc, runs, values)
    pairs = whole.view(np.uint32)
    padded = np.zeros((groups, channels, *pairs.shape[2:]), np.uint32)
    padded[:, :oc] = pairs
    out = _native.aligned_empty(PAIR * padded.size, np.uint16)
    flat, at = out.view(np.uint32).reshape(groups, -1), 0
    for first in range(0, channels, nv * vector):
        panel = padded[:, first:first + nv * vector].transpose(0, 2, 3, 1)
        flat[:, at:at + panel[0].size] = panel.reshape(groups, -1)
        at += panel[0].size
    return out


def rounded(x: np.ndarray) -> np.ndarray:
    """float32 as the upper 16 bits of bfloat16, to nearest even; NaN stays NaN."""
    bits = x.view(np.uint32)
    upper = ((bits + (0x7fff + (bits >> 16 & 1))) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), (bits >> 16 | 0x40).astype(np.uint16), upper)


def _run(shape: ConvShape) -> tuple[int, int]:
    """(number of runs of k, values of each): kernel rows, or taps."""
    return (shape.kh, shape.kw * shape.ic) if shape.dw == 1 else (shape.kh * shape.kw, shape.ic)


def _is_flat(shape: ConvShape) -> bool:
    """Whether the convolution is one long row of pixels, which conv_bf16.c computes in blocks of pixels."""
    return (shape.oh, shape.kh, shape.kw, shape.sw, shape.pt, shape.pl) == (1, 1, 1, 1, 0, 0)


def _block(shape: ConvShape, threads: int) -> int:
    """Pixels or output rows whose rounded input fills a quarter of L2."""
    if not _is_flat(shape):
        row = ITEM * shape.columns_seen * shape.ic * shape.groups
        rows = (current().l2_bytes // 4 // max(row, 1) - (shape.kh - 1) * shape.dh - 1) // shape.sh + 1
        return max(1, min(rows, shape.oh, -(-shape.oh * shape.n // threads)))
    pixels = current().l2_bytes // 4 // (ITEM * shape.ic * shape.groups)
    return max(1, min(max(pixels, _native.pgemm_max_mr(1)), shape.ow))


def _strip_cycles(choice: Choice) -> float:
    """What narrow strips of results cost, as tile.tile_cycles has it, where maps outgrow a share of L2. With AMX it was not measured.

    Zen 4, one thread, 2026-11-30, tiles of two and four vectors: 56x56, 64 to 256 channels with residual 0.73 and 0.63 ms, 256 to 256
    2.37 and 2.23; 28x28, 128 to 512 0.55 and 0.51; 14x14 the same.
    """
    shape, nv, vector = choice.shape, choice.fields["nv"], _native.vector_length()
    maps = ITEM * shape.n * shape.groups * (shape.x_pixels * shape.ic + shape.oh * shape.ow * shape.oc)
    if _native.current_isa() == "avx512_amx" or nv >= -(-shape.oc // vector) or maps < STREAMED_OF_L2 * current().l2_bytes:
        return 0.0
    lines = ITEM * shape.n * shape.groups * shape.oh * shape.ow * shape.oc / CACHE_LINE
    return lines * current().line * max(0.0, 1 - ITEM * nv * vector / WIDE_STRIP)


def _panels(oc: int, nv: int) -> list[tuple[int, int, bool]]:
    """(number of panels, width in vectors, whether only half of the last vector is multiplied): those of nv vectors, the last one."""
    vector = _native.vector_length()
    full, last = divmod(-(-oc // vector) - 1, nv)
    half = _native.pgemm_halves() and 0 < oc % vector <= vector // 2
    return [panel for panel in ((full, nv, False), (1, last + 1, half)) if panel[0]]


def _row_cycles(ow: int, nv: int, half: bool, runs: int, words: int) -> float:
    """Cycles of one row of ow pixels times a panel of nv vectors; runs of k, `words` pairs altogether."""
    tall = _native.pgemm_max_mr(nv)
    tiles = -(-ow // tall)
    if _native.current_isa() == "avx512_amx":
        chunks = runs * -(-words // runs // TILE_WORDS)
        multiplied = tiles * chunks * max(MULTIPLY * nv, LOAD * (nv + 1))
    else:
        core = current().core(_native.vector_length())
        saved = 1 - core.fmas / current().narrow.fmas if half else 0.0  # nothing where a core has as many units for whole vectors
        multiplied = (2 * ow * (nv - saved) * core.dots + tiles) * words / core.fmas / 2
    return multiplied + ow * nv * RESULT + TILE * tiles
