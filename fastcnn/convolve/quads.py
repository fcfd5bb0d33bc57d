"""Weights of 8 bits packed for the qconv step: words of four values of k for each output channel, in panels of whole vectors."""
from __future__ import annotations

import numpy as np

from fastcnn import _native
from fastcnn.convolve.arithmetic import WORD


def pack_quads(w: np.ndarray, groups: int, nv: int, whole_rows: bool) -> np.ndarray:
    """w (M, C/group, kh, kw) int8 as [group][panel][run of k][word][channel][4], flat; whole_rows: a run is a kernel row, else a tap."""
    m, ic, kh, kw = w.shape
    vector, oc = _native.vector_length(), m // groups
    runs = w.transpose(0, 2, 3, 1).reshape((m, kh, kw * ic) if whole_rows else (m, kh * kw, ic))
    words = -(-runs.shape[2] // WORD)
    channels = -(-oc // vector) * vector
    quads = np.zeros((groups, channels, runs.shape[1], words * WORD), np.int8)
    quads[:, :oc, :, :runs.shape[2]] = runs.reshape(groups, oc, *runs.shape[1:])
    quads = quads.reshape(groups, channels, -1, WORD)
    panels = [quads[:, first:first + nv * vector].transpose(0, 2, 1, 3).reshape(groups, -1) for first in range(0, channels, nv * vector)]
    out = _native.aligned_empty(quads.size, np.int8)
    out[:] = np.concatenate(panels, axis=1).ravel()
    return out
