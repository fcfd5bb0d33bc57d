"""Implicit GEMM: a matrix product whose left matrix, the windows, is never stored: tiles read x in place, or from a band of rows."""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import blocking
from fastcnn.convolve.arithmetic import FLOAT32, WORD, Arithmetic
from fastcnn.convolve.choice import Choice, Rung, floats, whole_vectors
from fastcnn.convolve.shape import ConvShape, Places, Problem, flatten
from fastcnn.convolve.tile import CACHE_LINE_FLOATS, MAX_NV, best_nv, half_tiles, tile_cycles
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import cached, current, weights_rate

PAGE = 4096                         # bytes that one way of L1 holds
BLOCK_FACTORS = (0.5, 1, 2)         # of what the caches suggest: what tuning tries


class Gemm(Rung):
    """Base of the two rungs below: the conv step, its panels of weights, its time. band: whether x is read through a band."""

    computed_weights = True
    band = False

    def choose(self, problem: Problem) -> Choice:
        shape = flatten(problem.shape, problem.places)
        return self.at_width(shape, problem.places, problem.threads, self.width(shape, problem.places, problem.threads))

    def width(self, shape: ConvShape, places: Places, threads: int) -> int:
        """Width of the register tile in vectors."""
        best = best_nv(shape.oc, shape.ow, shape.k, blocking.streamed(shape, places, threads))
        return (self.band and _pair_nv(shape)) or best

    def at_width(self, shape: ConvShape, places: Places, threads: int, nv: int) -> Choice:
        """The choice with tiles nv vectors wide, blocked for the caches."""
        block = self.block(shape, places, threads, nv)
        return gemm_choice(self.name, shape, nv, self.band, block, blocking.splits_columns(shape, nv, self.band, threads))

    def block(self, shape: ConvShape, places: Places, threads: int, nv: int) -> int:
        """Tiles of x (in place) or output rows (band) that a panel of w is multiplied with before the next one."""
        return blocking.block_rows(shape, threads) if self.band else blocking.block_tiles(shape, nv, places, threads)

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        shape, threads = flatten(problem.shape, problem.places), problem.threads
        for nv in tile_widths(shape.oc):
            whole = shape.oh if self.band else shape.oh * -(-shape.ow // _native.gemm_max_mr(nv))
            usual = self.block(shape, problem.places, threads, nv)
            for block in sorted({max(1, min(int(usual * factor), whole)) for factor in BLOCK_FACTORS}):
                for split in (False, True)[:1 if threads == 1 else 2]:
                    name = f"{self.name} nv{nv} b{block}{' split' if split else ''}"
                    yield name, gemm_choice(self.name, shape, nv, self.band, block, split)

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        groups, nv = choice.packing[:2]
        columns = w[:, :, 0, 0].T
        if groups == 1 and w.shape[2:] == (1, 1) and columns.flags.c_contiguous and w.dtype == np.float32:
            return _native.pack_gemm_b(columns, True, nv, out)       # MatMul's weights as they lie
        return _native.pack_conv(np.ascontiguousarray(w, np.float32), groups, nv, out)

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        groups = choice.packing[0]
        return floats(groups * whole_vectors(w_shape[0] // groups) * math.prod(w_shape[1:]))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector = choice.shape, _native.vector_length()
        work = shape.groups * shape.n * shape.oh * tile_cycles(shape.oc, shape.ow, shape.k, choice.fields["nv"])
        work += self.copy_cycles(shape)
        return work / threads + weight_bytes(shape, vector) / weights_rate()

    def copy_cycles(self, shape: ConvShape) -> float:
        """Cycles for copying x to where tiles read it."""
        if not self.band:
            return 0.0
        vector = _native.vector_length()
        return taps_of_all(shape) * shape.groups * -(-shape.ic // vector) * current().core(vector).band


class GemmInPlace(Gemm):
    """Tiles read x in place; no kernel column may meet padding in some of the outputs.

    Short runs of k too: 28x28, one channel to 32, 3x3 takes 3.7 us in place and 21.6 by im2col, which is faster nowhere (Xeon).
    """

    name = "GEMM in place"

    def covers(self, problem: Problem) -> bool:
        return not problem.shape.splits_taps and not lies_in_planes(problem.shape, problem.places)

    def pays(self, problem: Problem) -> bool:
        return not _needs_band(problem.shape, problem.places)


class GemmThroughBand(Gemm):
    """The rows of x that a block of output rows needs are first copied to a band with zeros around them, so that no tile meets a border."""

    name, band = "GEMM through a band", True

    def covers(self, problem: Problem) -> bool:
        return problem.shape.kernel != (1, 1) or problem.shape.touches_padding


IN_PLACE, THROUGH_BAND = GemmInPlace(), GemmThroughBand()


@cached
def implicit_gemm(shape: ConvShape, places: Places, threads: int) -> Choice:
    """The choice of the rung that applies, for steps that fuse a convolution with its neighbours and run it inside."""
    rung = THROUGH_BAND if _needs_band(shape, places) else IN_PLACE
    return rung.at_width(shape, places, threads, rung.width(shape, places, threads))


def banded(shape: ConvShape, threads: int, nv: int = 0, factor: float = 1) -> Choice:
    """The choice through a band for any window, for steps that change x on the way into the band.

    nv, factor  for tuning: another tile width, more or fewer rows at a time than the caches suggest
    """
    nv = nv or best_nv(shape.oc, shape.ow, shape.k)
    block = max(1, min(shape.oh, int(factor * blocking.block_rows(shape, threads))))
    return gemm_choice(THROUGH_BAND.name, shape, nv, True, block, blocking.splits_columns(shape, nv, True, threads))


def gemm_choice(name: str, shape: ConvShape, nv: int, band: bool, block: int, split: bool) -> Choice:
    """Tiles nv vectors wide, `block` rows (band) or tiles of x at a time; split: threads share output channels."""
    fields = {"groups": shape.groups, "ic": shape.ic, "oc": shape.oc, "nv": nv, "band": int(band), "block": block,
              "split_columns": int(split), "y_gap": 0, "interleaved": 0, "pair": int(pairs_rows(shape, band)),
              "halves": int(half_tiles())}
    return Choice(name, "conv", shape, fields, (shape.groups, nv))


def panels(nv: int, groups: int = 1, arithmetic: Arithmetic = FLOAT32) -> tuple[object, ...]:
    """The Choice.layout of weights packed in panels nv vectors wide."""
    return "conv", arithmetic, (groups, nv)


def at_width(choice: Choice, nv: int, places: Places, threads: int) -> Choice:
    """The choice with another tile width, and blocks that fit it."""
    return (THROUGH_BAND if choice.fields["band"] else IN_PLACE).at_width(choice.shape, places, threads, nv)


def tile_widths(oc: int) -> list[int]:
    """Widths, in vectors, of the register tiles for this number of output channels."""
    return [nv for nv in range(1, MAX_NV + 1) if _native.gemm_max_mr(nv) and nv <= -(-oc // _native.vector_length())]


def pairs_rows(shape: ConvShape, band: bool) -> bool:
    """Whether a tile takes two output rows at once: rows so narrow that weights would be read too often, both with the same runs of k.

    In a band, its zeros count as input; in place, no row of the window may lie in padding.
    """
    if not _native.gemm_pair(shape.ow) or (band and _shares_sets(shape)):
        return False
    inside = shape.kernel == (1, 1) and shape.pt <= 0 and (shape.oh - 1) * shape.sh - shape.pt < shape.ih
    return inside or (band and (shape.dw == 1 or shape.kw == 1))


def weight_bytes(shape: ConvShape, vector: int) -> int:
    """Bytes of the packed weights, rounded up to whole vectors of channels."""
    return shape.arithmetic.w.itemsize * shape.groups * shape.k * -(-shape.oc // vector) * vector


def taps_of_all(shape: ConvShape) -> int:
    """Number of window elements (taps) of all outputs, not counting channels."""
    return shape.n * shape.oh * shape.ow * shape.kh * shape.kw


def _needs_band(shape: ConvShape, places: Places) -> bool:
    """Whether a band is needed: windows reach into padding, x lies in planes, or pixels use only a small part of each cache line."""
    dense = places[0][3] == shape.ic and shape.groups == 1
    return shape.splits_taps or lies_in_planes(shape, places) or (shape.kw > 1 and not dense and shape.ic < CACHE_LINE_FLOATS)


def lies_in_planes(shape: ConvShape, places: Places) -> bool:
    """Whether x has several channels and is row-major, so that only a band can be made from it."""
    return shape.ic > 1 and places[0][1] > 1


def _pair_nv(shape: ConvShape) -> int:
    """The width of the tile that takes two output rows at once, where rows are narrow enough; else 0.

    b is then read half as often: 512 to 512 channels, 3x3 on 7x7 1.26 -> 1.11 ms with weights in L2 (2026-11-21, Xeon, AVX-512).
    """
    nv = _native.gemm_pair(shape.ow) if shape.dw == 1 and shape.oh > 1 and not _shares_sets(shape) else 0
    return nv if shape.oc > (nv - 1) * _native.vector_length() else 0


def _shares_sets(shape: ConvShape) -> bool:
    """Whether the pixels of two rows of a band fall into so few sets of L1 that they push each other out: strides of whole pages, mostly.

    14x14, 512 to 512 channels, 3x3 stride 2 (4 KB from pixel to pixel) 2.89 -> 2.11 ms by tiles of one row; resnet50 1.010 times as fast
    (2026-11-30, EPYC Zen 4, one thread).
    """
    step = WORD * shape.sw * shape.ic
    distinct = PAGE // math.gcd(step, PAGE)
    return 2 * shape.ow > distinct * (current().l1d_bytes // PAGE)
