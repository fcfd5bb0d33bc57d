"""Adds residuals in place: where a residual is not read later, the output takes over its place in the arena.

A map of the output's size is then read and written instead of one read, another fetched to be written over and stored.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastcnn.ir.tensor import Buffer, Tensor

# Step -> the operand that each thread reads just before it writes the same elements of the output.
RESIDUAL_OF: Mapping[str, int] = {"conv": 4, "conv_bf16": 4, "winograd": 4, "conv_depthwise": 8, "qconv": 5}

Step = tuple[str, Sequence["Tensor | None"], int, Mapping[str, Any]]


def add_in_place(steps: Sequence[Step]) -> None:
    """Sets .shared of the buffers of such outputs and extends the lifetimes of shared places. Requires .first and .last to be set."""
    for index, (kind, operands, _, _) in enumerate(steps):
        at = RESIDUAL_OF.get(kind)
        y, residual = operands[0], operands[at] if at is not None and at < len(operands) else None
        if y is None or residual is None or not _alike(y, residual):
            continue
        place = residual.buffer.place
        others = [t.buffer.place for k, t in enumerate(operands) if t is not None and k not in (0, at)]
        if residual.buffer.last == place.last == index == y.buffer.first and place not in others:
            y.buffer.shared = place
            place.last = y.buffer.last


def _alike(y: Tensor, residual: Tensor) -> bool:
    """Whole buffers of the arena, of one size, in the same order."""
    a, b = y.buffer, residual.buffer
    return (a is not b and _in_arena(a) and _in_arena(b) and (a.dtype, a.elements) == (b.dtype, b.elements)
            and (y.shape, y.strides, y.offset) == (residual.shape, residual.strides, residual.offset))


def _in_arena(buffer: Buffer) -> bool:
    return buffer.array is None and buffer.io is None
