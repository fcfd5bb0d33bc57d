"""Dense convolutions on row-major planes: vectors along output rows, all channels of a few rows in a band, no change of layout."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice, Rung, aligned, floats
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.convolve.tile import PANEL_SHARE_OF_L1
from fastcnn.ir.spec import F32, Spec
from fastcnn.machine.current import current
from fastcnn.machine.numbers import WIDE

ROWS = 8                     # output channels that lie together: FC_PLANES_ROWS
# Whether there are 32 registers -> channels and vectors of a tile (fastcnn_c/kernels/planes.inc).
WIDE_TILES = {True: (8, 2), False: (4, 3)}
WIDEST = 3                   # vectors of the last tile of a row at most: FC_PLANES_WIDEST
# Of the lanes of tiles that have to be outputs; where sums are short. Rows of 7/8 of the lanes take 1.1 times as long as pixels with a k of
# 147 and 288, 0.94 with 32 (EPYC Zen 4, one thread, 2026-11-30).
FULL, FULL_ENOUGH, SHORT_SUM = 0.9, 0.6, 32
BLOCK = 4                            # output rows of a band: 1 takes 1.06 times as long, 8 the same


class PlanesDense(Rung):
    """A tile of eight channels and two vectors of a row at a time, with 16 registers of four and three."""

    name, on_planes, weighed = "planes dense", True, True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        one_row = (shape.kh, shape.kw, shape.sh, shape.sw) == (1, 1, 1, 1)      # its band would be the whole image
        return problem.clamped and shape.groups == 1 and not one_row and shape.sw <= 2 and min(shape.pt, shape.pl) >= 0

    def pays(self, problem: Problem) -> bool:
        return _share_of_lanes(problem.shape) >= (FULL_ENOUGH if problem.shape.k <= SHORT_SUM else FULL)

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        fields = {"ic": shape.ic, "oc": shape.oc, "block": min(BLOCK, shape.oh)}
        return Choice(self.name, "conv_planes", shape, fields, ("eights",))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """[oc/8][ic][kh][kw][8], zeros for the channels that the last eight lack."""
        oc, *taps = w.shape
        whole = np.zeros((-(-oc // ROWS) * ROWS, math.prod(taps)), w.dtype)
        whole[:oc] = w.reshape(oc, -1)
        return aligned(whole.reshape(-1, ROWS, math.prod(taps)).transpose(0, 2, 1))

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        oc, *taps = w_shape
        return floats(-(-oc // ROWS) * ROWS * math.prod(taps))

    def cycles(self, choice: Choice, threads: int) -> float:
        return (product_cycles(choice.shape) + fill_cycles(choice.shape)) / threads


def product_cycles(shape: ConvShape) -> float:
    """Cycles of the sums. A row ends with a tile of at most WIDEST vectors."""
    vector = _native.vector_length()
    channels, wide = WIDE_TILES[vector >= WIDE]
    vectors = -(-shape.ow // vector)
    tiles = max(-(-(vectors - WIDEST) // wide), 0)
    left = vectors - tiles * wide
    row = tiles * _tile_cycles(shape, channels, wide) + _tile_cycles(shape, ROWS if left == 1 else channels, left)
    return shape.n * shape.oh * row


def _tile_cycles(shape: ConvShape, channels: int, vectors: int) -> float:
    """Cycles of the tiles of all channels for so many vectors of a row. A tap takes its multiply-adds, or its loads: a vector of x, a
    channel, where the tap lies; and more where the columns of all taps outgrow their share of L1."""
    machine, vector = current(), _native.vector_length()
    core, seen = machine.core(vector), F32.itemsize * shape.k * vectors * vector
    beyond = core.panel * vectors if seen > PANEL_SHARE_OF_L1 * machine.l1d_bytes else 0.0
    step = max(channels * vectors / core.fmas, core.load * (channels + vectors + 1), core.chains)
    return -(-shape.oc // channels) * shape.k * (step + beyond)


def fill_cycles(shape: ConvShape) -> float:
    """Cycles for copying the rows of x to the band."""
    vector = _native.vector_length()
    return shape.n * shape.oh * shape.ic * shape.groups * shape.sh * -(-shape.iw // vector) * current().core(vector).gather


def band_floats(shape: ConvShape) -> int:
    """Floats of a row of the band (planes_row_of in fastcnn_c/ops/convolution/planes_band.h), about."""
    return -(-(shape.iw + 2 * shape.pl + shape.dw * (shape.kw - 1)) // WIDE) * WIDE + WIDE * shape.sw


def _share_of_lanes(shape: ConvShape) -> float:
    """Outputs over the sums that whole vectors of whole tiles of channels make."""
    vector = _native.vector_length()
    channels = WIDE_TILES[vector >= WIDE][0]
    return shape.ow * shape.oc / (-(-shape.ow // vector) * vector * -(-shape.oc // channels) * channels)


PLANES_DENSE = PlanesDense()
