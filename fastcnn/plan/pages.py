"""Huge pages for packed weights: the processor looks up one address for 2 MB of them instead of one for each 4 KB."""
from __future__ import annotations

import mmap

import numpy as np

HUGE = 2 << 20
BLOCK = 16 * HUGE           # of addresses; memory is taken as it is written
# numpy asks for huge pages for its own arrays from here on.
NUMPY_ASKS = 4 << 20
# Packs that together are smaller stay where they are: a small model would hold a huge page for them.
LEAST_BYTES = 1 << 20
ALIGNMENT = 64              # of packs: a cache line, a vector
ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)       # Linux alone


class Pages:
    """Copies arrays one after the other into memory that is asked to be in huge pages. A block lives as long as one of its arrays."""

    def __init__(self) -> None:
        self.seen = 0
        self.rest = np.empty(0, np.uint8)       # of the last block

    def placed(self, array: np.ndarray) -> np.ndarray:
        """The array in huge pages: itself where the system has none, numpy has asked for them, or there is too little to be worth it."""
        self.seen += array.nbytes
        if ADVICE is None or self.seen < LEAST_BYTES or not 0 < array.nbytes < NUMPY_ASKS:
            return array
        if array.nbytes > self.rest.nbytes:
            try:
                self.rest = _block()
            except OSError:                     # no addresses left
                return array
        copy = self.rest[:array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        self.rest = self.rest[-(-array.nbytes // ALIGNMENT) * ALIGNMENT:]
        return copy


def _block() -> np.ndarray:
    """BLOCK bytes from the start of a huge page on; small ones where the system gives no other."""
    memory = mmap.mmap(-1, BLOCK + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block = np.frombuffer(memory, np.uint8)
    skip = -block.ctypes.data % HUGE
    memory.madvise(mmap.MADV_HUGEPAGE, skip, BLOCK)
    return block[skip:skip + BLOCK]
