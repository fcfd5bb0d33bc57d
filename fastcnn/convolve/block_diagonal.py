"""Joins several narrow groups into one: their weights become the blocks of a block-diagonal matrix, with zeros elsewhere."""
from __future__ import annotations

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.shape import ConvShape


def factors(shape: ConvShape) -> list[int]:
    """Numbers of groups that are worth joining: divisors of the groups, up to the one that fills a vector with outputs."""
    return [k for k in range(2, shape.groups + 1) if shape.groups % k == 0 and (k // 2) * shape.oc < _native.vector_length()]


def block_diagonal(w: np.ndarray, oc: int, together: int) -> np.ndarray:
    """w (M, C/group, kh, kw), groups of oc filters, as (M, together * C/group, kh, kw): each group's filters see its own channels alone."""
    m, ic = w.shape[:2]
    wide = np.zeros((m // (oc * together), together, oc, together, ic, *w.shape[2:]), w.dtype)
    split = w.reshape(-1, together, oc, ic, *w.shape[2:])
    for k in range(together):
        wide[:, k, :, k] = split[:, k]
    return wide.reshape(m, together * ic, *w.shape[2:])
