"""Predicted time of a choice in cycles of one core: what the planner's rules in conv.py and winograd.py compare, as one number.

Good for choosing which candidates are worth timing and for telling a user what to expect: half of the layers of bench/layers within a
fifth of what was measured.
"""
from __future__ import annotations

from fastcnn import _native
from fastcnn.choice import machine
from fastcnn.choice.conv import ConvChoice
from fastcnn.choice.tile import tile_slots
from fastcnn.choice.winograd import BAND_CYCLES, WEIGHT_BYTES, tile_count, winograd_cycles

DEPTHWISE_CYCLES = 1.5      # per tap, channel of a group and vector of the output, border rows and stores included
GATHER_CYCLES = 2.0         # im2col: per vector copied into the matrix of windows


def cycles(picked: ConvChoice, threads: int) -> float:
    """The time of a step on `threads` threads, weights from beyond L2."""
    shape, vector = picked.shape, _native.vector_length()
    pixels, columns = shape.n * shape.oh * shape.ow, -(-shape.oc // vector)
    if picked.algorithm in ("depthwise", "grouped"):
        return pixels * -(-shape.groups * shape.ic // vector) * shape.k * DEPTHWISE_CYCLES / threads
    if picked.algorithm == "winograd":
        kernel, m = (shape.kh, shape.kw), picked.fields["m"]
        total = tile_count(kernel, m, shape.n, shape.oh, shape.ow)
        return winograd_cycles(kernel, m, shape.ic, shape.oc, total, picked.fields["tiles"], machine.l2_bytes(), threads, vector)
    work = shape.groups * shape.n * shape.oh * tile_slots(shape.oc, shape.ow, shape.k, picked.fields["nv"]) / machine.FMAS_PER_CYCLE
    inputs = shape.groups * -(-shape.ic // vector)
    if picked.algorithm == "im2col":
        work += pixels * shape.kh * shape.kw * inputs * GATHER_CYCLES
    elif picked.fields["band"]:
        work += pixels * shape.kh * shape.kw * inputs * BAND_CYCLES
    return work / threads + 4 * shape.groups * shape.k * columns * vector / WEIGHT_BYTES
