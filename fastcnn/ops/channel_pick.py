"""Channels in a fixed order, channels-last: a permutation of two vectors for each vector of the result."""
from __future__ import annotations

import numpy as np

from fastcnn import _native
from fastcnn.ops.base import Lowering
from fastcnn.tensor import Tensor, walk


def pick_table(indices: np.ndarray | None, channels: int) -> np.ndarray | None:
    """The table of the pick step, a row for each vector: lanes, then the two channels from which they count.

    None where a vector of the result takes from more than two runs as long as a vector, or where there are fewer channels than that.
    """
    width = _native.vector_length()
    if indices is None or indices.ndim != 1 or indices.size == 0 or channels < width:
        return None
    order, rows = indices.astype(np.int64) % channels, []
    for begin in range(0, order.size, width):
        part = order[begin:begin + width]
        first = min(int(part.min()), channels - width)
        rest = part[part >= first + width]
        second = min(int(rest.min()), channels - width) if rest.size else first
        if (rest >= second + width).any():
            return None
        lanes = np.where(part < first + width, part - first, part - second + width)
        rows.append([*lanes, *[0] * (width - part.size), first, second])
    return np.array(rows, np.int32)


def emit_pick(low: Lowering, y: Tensor, x: Tensor, table: np.ndarray) -> None:
    """The step that writes y, both channels-last."""
    axes = [0, *range(2, len(x.shape))]
    shape, (ys, xs) = walk(*(tuple(v[a] for a in axes) for v in (y.shape, y.strides, x.strides)))
    low.emit("pick", [y, x, low.constant(table)], y.size, ndim=len(shape), shape=shape, y_strides=ys, x_strides=xs, n=y.shape[1])
