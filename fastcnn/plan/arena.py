"""Places buffers in the arena by their lifetimes: largest first, each at the lowest offset that is free during its lifetime.

Greedy by size after Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.
"""
from __future__ import annotations

from collections.abc import Iterable

import fastcnn._native as _native
from fastcnn.ir.tensor import Buffer

ALIGN = _native.ALIGN
# Buffers that live for more steps are looked through one by one, others only at the steps where they live.
LONG_LIFE = 64
# Pairs of buffers compared: beyond that, 1 s, the rest is laid out without looking for room between others.
MOST_COMPARED = 10_000_000


def place(buffers: Iterable[Buffer], gap: int = 0) -> int:
    """Sets .offset of every buffer that some step touches; returns the arena's size in bytes. gap: unused bytes after each buffer."""
    placed: list[Buffer] = []
    long: list[Buffer] = []                      # of these
    at: dict[int, list[Buffer]] = {}             # step -> the others of these that live then
    total = compared = 0
    for buffer in sorted((b for b in buffers if b.first is not None), key=lambda b: -b.nbytes):
        size = _round(buffer.nbytes) + gap
        offset = 0
        steps = range(_first(buffer), buffer.last + 1)
        if compared > MOST_COMPARED:
            buffer.offset, total = total, total + size
            continue
        if len(steps) > LONG_LIFE:
            alive = [b for b in placed if _first(b) <= buffer.last and _first(buffer) <= b.last]
            compared += len(placed)
        else:
            near = {id(b): b for step in steps for b in at.get(step, ())}
            alive = [*near.values(), *(b for b in long if _first(b) <= buffer.last and _first(buffer) <= b.last)]
            compared += len(near) + len(long) + len(alive)
        for other in sorted(alive, key=lambda b: b.offset):
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + _round(other.nbytes) + gap)
        buffer.offset = offset
        placed.append(buffer)
        if len(steps) > LONG_LIFE:
            long.append(buffer)
        else:
            for step in steps:
                at.setdefault(step, []).append(buffer)
        total = max(total, offset + size)
    return total


def _first(buffer: Buffer) -> int:
    assert buffer.first is not None
    return buffer.first


def _round(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
