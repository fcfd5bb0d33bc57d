"""Named layouts: strides for each, and tests whether a tensor has one.

"dense", "channels_last", "depth_inner"; where a value is only read, "rows" (the last axis without gaps) and "any" too.
"""
from __future__ import annotations

import numpy as np

from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import (
    Strides,
    Tensor,
    channels_last_strides,
    dense_strides,
    depth_inner_strides,
    is_channels_last,
    is_dense,
    is_depth_inner,
)


def is_placeable(shape: tuple[int, ...], layout: str | Strides, strides: Strides) -> bool:
    """Whether a slice of channels of a wider tensor will do: not where rows without gaps happen to be channels last as well."""
    return is_channels_last(shape, strides) and (layout == "channels_last" or not is_dense(shape, strides))


def lies(tensor: Tensor, layout: str) -> bool:
    if layout == "any":
        return True
    if layout == "dense":
        return is_dense(tensor.shape, tensor.strides)
    if layout == "rows":
        return not tensor.shape or tensor.shape[-1] == 1 or tensor.strides[-1] == 1
    if layout == "depth_inner":
        return is_depth_inner(tensor.shape, tensor.strides)
    return is_channels_last(tensor.shape, tensor.strides)


def strides_of(shape: tuple[int, ...], layout: str | Strides, dtype: np.dtype = F32) -> Strides:
    if not isinstance(layout, str):
        return layout
    if layout == "depth_inner":
        return depth_inner_strides(shape, dtype.itemsize)
    return channels_last_strides(shape, dtype.itemsize) if layout == "channels_last" and len(shape) >= 3 else dense_strides(shape)
