"""Grouped convolution with several groups in a vector (fastcnn_c/kernels/grouped.inc) or two laced: when, and its weights packed."""
from __future__ import annotations

import numpy as np

WIDTHS = (2, 4, 8)          # channels of a group, a power of two below the vector length
TOGETHER = 64               # channels of a band
LACED_NV = 3                # vectors of two groups of one and a half


def covers(groups: int, ic: int, oc: int, vector: int) -> bool:
    """Whether groups fill vectors whole."""
    return ic == oc and ic in WIDTHS and ic < vector and groups * ic % vector == 0


def packed(w: np.ndarray, vector: int) -> np.ndarray:
    """w (M, width, kh, kw) as [vector][rotation q][kh][kw][lane]: what the input at a lane adds to the output q lanes before it."""
    m, width, kh, kw = w.shape
    out = np.empty((m // vector, width, kh, kw, vector), np.float32)
    lanes = np.arange(m)
    group, place = lanes // width, lanes % width
    for q in range(width):
        taps = w[group * width + (place - q) % width, place]
        out[:, q] = taps.reshape(m // vector, vector, kh, kw).transpose(0, 2, 3, 1)
    return out


def laces(groups: int, ic: int, oc: int, vector: int) -> bool:
    """Whether two groups at a time leave no lane empty where one leaves half a vector: oc is one and a half, RegNetY's 24 at AVX-512."""
    return groups > 0 and groups % 2 == 0 and 2 * oc == LACED_NV * vector and 2 * ic % vector == 0


def laced(w: np.ndarray, oc: int) -> np.ndarray:
    """w (M, C/group, kh, kw) with the filters of two groups, oc of them, in turn."""
    return np.ascontiguousarray(w.reshape(-1, 2, oc // 2, *w.shape[1:]).swapaxes(1, 2)).reshape(w.shape)
