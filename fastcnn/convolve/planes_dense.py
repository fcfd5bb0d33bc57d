"""Dense convolutions on row-major planes: vectors along output rows, all channels of a few rows in a band, no change of layout."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice, Rung, aligned, floats
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current

ROWS = 8                     # output channels of a tile: FC_PLANES_ROWS
# us on pixels, with two changes of layout, over us here: 1.5 for 3 to 16 channels at 640x640 and 1.6 for 2x2, 8 to 16 (both stride 2), 1.27
# for 3 to 64 at 224x224, 2.1 for 1x1 stride 2, 64 to 32; 1.07 for 7x7 and 11x11 of 3 channels (k 147, 363). Rows of 28 and 56, 7/8 of the
# lanes: 0.91 with a k of 147 and 288, 1.06 with 32; 20 of 32 lanes and a k of 27 1.02. Winograd is 1.5 to 2.5 times as fast from 16
# channels on, 0.7 with 12 (EPYC Zen 4, one thread, 2026-11-30).
FULL, FULL_ENOUGH = 0.9, 0.6         # of the lanes of a tile that have to be outputs; where sums are short
LONGEST_SUM, SHORT_SUM = 400, 32     # of k
LEAST_PIXELS = 2048                  # of the output
WINOGRAD_CHANNELS = 16
BLOCK = 4                            # output rows of a band: 1 takes 1.06 times as long, 8 the same


class PlanesDense(Rung):
    """A tile of eight channels and two vectors of a row at a time, with 16 registers of four and three."""

    name, on_planes = "planes dense", True

    def covers(self, problem: Problem) -> bool:
        shape = problem.shape
        one_row = (shape.kh, shape.kw, shape.sh, shape.sw) == (1, 1, 1, 1)      # its band would be the whole image
        return problem.clamped and shape.groups == 1 and not one_row and shape.sw <= 2 and min(shape.pt, shape.pl) >= 0

    def pays(self, problem: Problem) -> bool:
        shape = problem.shape
        lanes = FULL_ENOUGH if shape.k <= SHORT_SUM else FULL
        large, deep = shape.oh * shape.ow >= LEAST_PIXELS, shape.ic >= WINOGRAD_CHANNELS
        winograd = deep and (shape.sh, shape.sw) == (1, 1) and min(shape.kernel) >= 3
        return large and _share_of_lanes(shape) >= lanes and shape.k <= LONGEST_SUM and not winograd

    def choose(self, problem: Problem) -> Choice:
        shape = problem.shape
        fields = {"ic": shape.ic, "oc": shape.oc, "block": min(BLOCK, shape.oh)}
        return Choice(self.name, "conv_planes", shape, fields, ("eights",))

    def pack(self, choice: Choice, w: np.ndarray) -> np.ndarray:
        """[oc/8][ic][kh][kw][8], zeros for the channels that the last eight lack."""
        oc, *taps = w.shape
        whole = np.zeros((-(-oc // ROWS) * ROWS, math.prod(taps)), w.dtype)
        whole[:oc] = w.reshape(oc, -1)
        return aligned(whole.reshape(-1, ROWS, math.prod(taps)).transpose(0, 2, 1))

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        oc, *taps = w_shape
        return floats(-(-oc // ROWS) * ROWS * math.prod(taps))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector = choice.shape, _native.vector_length()
        core = current().core(vector)
        products = -(-shape.ow // vector) * -(-shape.oc // ROWS) * ROWS * shape.k / core.fmas
        copies = shape.ic * shape.sh * -(-shape.iw // vector) * core.gather
        return shape.n * shape.oh * (products + copies) / threads


def _share_of_lanes(shape: ConvShape) -> float:
    """Outputs over the sums that whole vectors of whole eights of channels make."""
    vector = _native.vector_length()
    return shape.ow * shape.oc / (-(-shape.ow // vector) * vector * -(-shape.oc // ROWS) * ROWS)


PLANES_DENSE = PlanesDense()
