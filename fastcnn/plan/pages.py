"""Huge pages for packed weights: the processor looks up one address for 2 MB of them instead of one for each 4 KB."""
from __future__ import annotations

import mmap

import numpy as np

from fastcnn.ir.spec import Spec

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

    def room(self, spec: Spec) -> np.ndarray | None:
        """Memory where placed() would copy an array of this Spec to: it may be made there instead. None where it would stay where it is."""
        nbytes = spec.nbytes
        if ADVICE is None or self.seen + nbytes < LEAST_BYTES or not 0 < nbytes < NUMPY_ASKS:
            return None
        if nbytes > self.rest.nbytes:
            try:
                self.rest = _block()
            except OSError:                     # no addresses left
                return None
        return np.ndarray(spec.shape, spec.dtype, self.rest)

    def placed(self, array: np.ndarray, room: np.ndarray | None = None) -> np.ndarray:
        """The array in huge pages: itself where the system has none, numpy has asked for them, or there is too little to be worth it.

        room  what room() has just given; the array itself, where it was made there
        """
        if array is not room:
            room = self.room(Spec(array.dtype, array.shape))
            if room is not None:
                room[...] = array
        self.seen += array.nbytes
        if room is None:
            return array
        self.rest = self.rest[-(-array.nbytes // ALIGNMENT) * ALIGNMENT:]
        return room


def _block() -> np.ndarray:
    """BLOCK bytes from the start of a huge page on; small ones where the system gives no other."""
    memory = mmap.mmap(-1, BLOCK + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block = np.frombuffer(memory, np.uint8)
    skip = -block.ctypes.data % HUGE
    memory.madvise(mmap.MADV_HUGEPAGE, skip, BLOCK)
    return block[skip:skip + BLOCK]
