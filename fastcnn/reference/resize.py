"""Resize of every opset and Upsample in numpy, axis by axis, by the tap tables of fastcnn.resample.

onnx.reference has no Resize-10 and no linear Upsample, lets coordinates before the first element wrap around, and lacks
tf_half_pixel_for_nn; its align_corners uses the unrounded output size.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.resample import Axis, is_old, outside, resized_axes, sampling, taps


def resize(node: Node, inputs: Sequence[Any]) -> list[np.ndarray]:
    """y = x sampled where coordinate_transformation_mode says."""
    x, how, axes = inputs[0], sampling(node), axes_of(node, inputs)
    if not all(axis.size and axis.out for axis in axes):
        return [np.empty([axis.out for axis in axes], x.dtype)]
    y = x
    for a, axis in enumerate(axes):
        if axis.idle:
            continue
        index, weights = taps(axis, how)
        y = np.take(y, index[:, 0], a) if how.mode == "nearest" else _weighted(y, a, axis, index, weights)
        if how.coordinates == "tf_crop_and_resize":
            y[(slice(None),) * a + (outside(axis, how),)] = how.extrapolation
    return [y.astype(x.dtype, copy=False)]


def axes_of(node: Node, inputs: Sequence[Any]) -> list[Axis]:
    """The axes of x with their sizes before and after. Raises ValueError."""
    x, *rest = inputs
    if node.op_type == "Upsample" and node.version < 9:
        return resized_axes(node, x.shape, None, node.attrs["scales"], None)
    roi, scales, sizes = (None, rest[0], None) if is_old(node) else (*rest, None, None, None)[:3]
    return resized_axes(node, x.shape, roi, scales, sizes)


def _weighted(x: np.ndarray, a: int, axis: Axis, index: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x times a matrix (out, size) along axis a."""
    matrix = np.zeros((axis.out, axis.size))
    np.add.at(matrix, (np.arange(axis.out)[:, None], index), weights)
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(x.astype(np.float64), a, -1) @ matrix.T, -1, a))
