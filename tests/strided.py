"""Strided views for kernel tests: a numpy view of a guarded buffer and the walk fields that describe it."""
from __future__ import annotations

import numpy as np
from step_helper import Guarded


class View:
    """An array in a guarded buffer, laid out as `order` of its axes (outermost first) with `pitch` elements between rows of the
    innermost axis but one, or repeated along the axes in `broadcast`."""

    def __init__(self, array: np.ndarray, order: tuple[int, ...] | None = None, pitch: int = 0, step: int = 1, output: bool = False):
        array = np.asarray(array)
        order = tuple(range(array.ndim)) if order is None else order
        strides, size = [0] * array.ndim, step
        for k, axis in enumerate(reversed(order)):
            strides[axis] = size
            size *= array.shape[axis]
            if k == 0 and pitch:
                size = pitch
        self.strides = tuple(strides)
        self.buffer = Guarded(np.full(max(size, 1), -77 if array.dtype.kind == "f" else 7).astype(array.dtype), output)
        self.array = np.lib.stride_tricks.as_strided(self.buffer.data, array.shape, [s * array.itemsize for s in strides])
        self.untouched = self.buffer.data.copy()
        if not output:
            self.array[...] = array

    def check_gaps(self) -> None:
        """The elements between rows are as they were."""
        mask = np.ones(self.buffer.data.size, bool)
        offsets = sum((np.arange(n).reshape([-1 if k == d else 1 for k in range(self.array.ndim)]) * s
                       for d, (n, s) in enumerate(zip(self.array.shape, self.strides))), np.zeros(self.array.shape, int))
        mask[np.ravel(offsets)] = False
        np.testing.assert_array_equal(self.buffer.data[mask], self.untouched[mask])


def broadcast_strides(shape: tuple[int, ...], array: np.ndarray) -> tuple[int, ...]:
    """Element strides of a C-contiguous array broadcast to shape."""
    if not shape:
        return ()
    view = np.broadcast_to(array, shape)
    return tuple(s // array.itemsize for s in view.strides)
