"""Narrow groups several at a time as one: weights on a block diagonal, zeros beside it."""
from __future__ import annotations

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.shape import ConvShape


def factors(shape: ConvShape) -> list[int]:
    """How many groups may be joined: so many that their outputs do not fill a vector with one less than twice as many."""
    return [k for k in range(2, shape.groups + 1) if shape.groups % k == 0 and (k // 2) * shape.oc < _native.vector_length()]


def block_diagonal(w: np.ndarray, oc: int, together: int) -> np.ndarray:
    """w (M, C/group, kh, kw), groups of oc filters, as (M, together * C/group, kh, kw): each group's filters see its own channels alone."""
    m, ic = w.shape[:2]
    wide = np.zeros((m // (oc * together), together, oc, together, ic, *w.shape[2:]), w.dtype)
    split = w.reshape(-1, together, oc, ic, *w.shape[2:])
    for k in range(together):
        wide[:, k, :, k] = split[:, k]
    return wide.reshape(m, together * ic, *w.shape[2:])
