"""Channels in a fixed order, channels-last: a permutation of two vectors for each vector of the result (fastcnn.convolve.lane_tables)."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.tensor import Tensor, walk
from fastcnn.ops.base import Lowering


def emit_pick(low: Lowering, y: Tensor, x: Tensor, table: np.ndarray) -> None:
    """The step that writes y, both channels-last."""
    axes = [0, *range(2, len(x.shape))]
    shape, (ys, xs) = walk(*(tuple(v[a] for a in axes) for v in (y.shape, y.strides, x.strides)))
    low.emit("pick", [y, x, low.constant(table)], y.size, ndim=len(shape), shape=shape, y_strides=ys, x_strides=xs,
             channels=x.shape[1], n=y.shape[1])
