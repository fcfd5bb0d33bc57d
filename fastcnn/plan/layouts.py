"""Named layouts: strides for each, and tests whether a tensor has one.

"dense", "channels_last", "depth_inner"; where a value is only read, "rows" (the last axis without gaps) and "any" too.
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np

from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import (
    REMEMBERED,
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


def settled(tensor: Tensor, layout: str | Strides) -> Tensor:
    """The tensor with the strides of its layout along axes of one element too, for which any stride would do.

    Steps tell layouts apart by strides: pixels one element apart lie in planes, and a plane is so many rows. "any" and "rows" are settled
    where the tensor is dense or channels-last; strides that an operator asked for stay.
    """
    shape, strides = tensor.shape, tensor.strides
    if not isinstance(layout, str) or 1 not in shape or 0 in shape:
        return tensor
    wanted = _settled(shape, strides, layout)
    return Tensor(tensor.buffer, shape, wanted, tensor.offset) if wanted != strides else tensor


@lru_cache(maxsize=4 * REMEMBERED)
def _settled(shape: tuple[int, ...], strides: Strides, layout: str) -> Strides:
    if layout in ("any", "rows"):
        layout = "dense" if is_dense(shape, strides) else "channels_last" if is_channels_last(shape, strides) else "any"
    if layout == "dense" or (layout == "channels_last" and len(shape) < 3):
        return dense_strides(shape)
    if layout == "channels_last":
        return _nested(shape, strides, (1, *reversed(range(2, len(shape))), 0))
    if layout == "depth_inner":
        return _nested(shape, strides, (1, 2, 4, 3, 0))
    return strides


def _nested(shape: tuple[int, ...], strides: Strides, order: tuple[int, ...]) -> Strides:
    """Strides of axes that are nested in this order, innermost first.

    A single element steps over all inside of it; single pixels step as the first axis outside that has several, over its gaps.
    """
    out, step, inside = list(strides), 1, True
    for k, axis in enumerate(order):
        if shape[axis] == 1:
            outer = [strides[d] for d in order[k:] if shape[d] != 1] if k and inside else []
            out[axis] = outer[0] if outer else step
        elif k:
            inside = False
        step = out[axis] * shape[axis]
    return tuple(out)
