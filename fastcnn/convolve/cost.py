"""Predicted time of a choice in cycles of one core: what the planner's rules in conv.py and winograd.py compare, as one number.

Good for choosing which candidates are worth timing and for telling a user what to expect: half of the layers of bench/layers within a
fifth of what was measured.
"""
from __future__ import annotations

from fastcnn import _native
from fastcnn.convolve.conv import ConvChoice
from fastcnn.convolve.tile import tile_cycles
from fastcnn.convolve.winograd import tile_count, winograd_cycles
from fastcnn.machine.current import current


def cycles(picked: ConvChoice, threads: int) -> float:
    """The time of a step on `threads` threads, weights from beyond L2."""
    shape, vector, machine = picked.shape, _native.vector_length(), current()
    core = machine.core(vector)
    pixels, columns = shape.n * shape.oh * shape.ow, -(-shape.oc // vector)
    if picked.algorithm in ("depthwise", "grouped"):
        picks = shape.ic * core.gather if picked.fields.get("x_c") else 0
        return pixels * -(-shape.groups * shape.oc // vector) * (shape.k * core.depthwise + picks) / threads
    if picked.algorithm == "winograd":
        kernel, m = (shape.kh, shape.kw), picked.fields["m"]
        total = tile_count(kernel, m, shape.n, shape.oh, shape.ow)
        return winograd_cycles(kernel, m, shape.ic, shape.oc, total, picked.fields["tiles"], threads)
    work = shape.groups * shape.n * shape.oh * tile_cycles(shape.oc, shape.ow, shape.k, picked.fields["nv"])
    inputs = shape.groups * -(-shape.ic // vector)
    if picked.algorithm == "im2col":
        work += pixels * shape.kh * shape.kw * inputs * core.gather
    elif picked.fields["band"]:
        work += pixels * shape.kh * shape.kw * inputs * core.band
    return work / threads + 4 * shape.groups * shape.k * columns * vector / machine.memory
