"""Arena offsets from lifetimes: largest buffer first, each at the lowest offset free for as long as it lives.

Greedy by size after Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.
"""
from __future__ import annotations

from collections.abc import Iterable

from fastcnn.tensor import Buffer

ALIGN = 64


def place(buffers: Iterable[Buffer]) -> int:
    """Set .offset of every buffer that some step touches; returns the arena's size in bytes."""
    placed: list[Buffer] = []
    total = 0
    for buffer in sorted((b for b in buffers if b.first is not None), key=lambda b: -b.nbytes):
        size = _round(buffer.nbytes)
        offset = 0
        alive = [b for b in placed if _first(b) <= buffer.last and _first(buffer) <= b.last]
        for other in sorted(alive, key=lambda b: b.offset):
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + _round(other.nbytes))
        buffer.offset = offset
        placed.append(buffer)
        total = max(total, offset + size)
    return total


def _first(buffer: Buffer) -> int:
    assert buffer.first is not None
    return buffer.first


def _round(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
