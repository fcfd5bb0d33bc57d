"""Places buffers in the arena by their lifetimes: largest first, each at the lowest offset that is free during its lifetime.

Greedy by size after Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.
"""
from __future__ import annotations

from collections.abc import Iterable

import fastcnn._native as _native
from fastcnn.ir.tensor import Buffer

ALIGN = _native.ALIGN
# Pairs of buffers compared, about 1 s: the rest is laid out without looking for room between others.
MOST_COMPARED = 1_000_000_000


def place(buffers: Iterable[Buffer], gap: int = 0) -> int:
    """Sets .offset of every buffer that some step touches; returns the arena's size in bytes. gap: unused bytes after each buffer."""
    used = sorted([b for b in buffers if b.first is not None], key=_size, reverse=True)
    sizes = [-(-b.nbytes // ALIGN) * ALIGN + gap for b in used]
    offsets, total = _native.place_buffers(sizes, [b.first for b in used], [b.last for b in used], MOST_COMPARED)
    for buffer, offset in zip(used, offsets):
        buffer.offset = offset
    return total


def _size(buffer: Buffer) -> int:
    return buffer.nbytes
