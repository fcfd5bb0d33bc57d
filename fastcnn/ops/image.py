"""Views of tensors with any number of spatial axes as images (N, C, H, W), for steps over (n, h, w, c)."""
from __future__ import annotations

import math

from fastcnn.ir.spec import Spec
from fastcnn.ir.tensor import Tensor, channels_last_strides, dense_strides
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import place


def read_image(low: Lowering, i: int, flat: bool = False) -> Tensor:
    """Input i, channels last, as (N, C, H, W): one spatial axis gets a height of 1, three and more become one row.

    flat: so do two.
    """
    t = low.read(i, "channels_last")
    image = as_image(t, flat)
    if image is not None:
        return image
    dense = low.temp(t.shape, t.dtype, channels_last_strides(t.shape))   # gaps between its rows: only a copy is one run
    low.copy(dense, t)
    return _own_image(dense, flat)


def write_image(low: Lowering, flat: bool = False) -> Tensor:
    """Memory for output 0 as (N, C, H, W), like read_image."""
    return _own_image(low.write(0, "channels_last"), flat)


def as_image(t: Tensor, flat: bool) -> Tensor | None:
    """The view (N, C, H, W) of a channels-last tensor, None where strides cannot express it."""
    n, c, *spatial = t.shape
    if len(spatial) == 2 and not flat:
        return t
    return t.reshape((n, c, 1, math.prod(spatial)))


def _own_image(t: Tensor, flat: bool) -> Tensor:
    """as_image() of a tensor without gaps between rows, for which it cannot fail."""
    image = as_image(t, flat)
    assert image is not None
    return image


def image_fields(y: Tensor, x: Tensor) -> dict[str, int]:
    """The step fields n, c, h, w and the places of an operator that keeps its shape."""
    n, c, h, w = x.shape
    return {"n": n, "c": c, "h": h, "w": w, **place("x", x), **place("y", y)}


def is_image(spec: Spec, ranks: tuple[int, ...] = (3, 4)) -> bool:
    """Whether a tensor has channels and pixels, and at least one element."""
    return spec.rank in ranks and spec.size > 0


def volume(t: Tensor) -> Tensor:
    """(N, C, L) or (N, C, H, W) as (N, C, D, H, W): axes of extent one in front of the spatial ones."""
    lead = 5 - len(t.shape)
    return Tensor(t.buffer, (*t.shape[:2], *(1,) * lead, *t.shape[2:]), (*t.strides[:2], *(0,) * lead, *t.strides[2:]), t.offset)


def planes(t: Tensor) -> Tensor:
    """A dense (N, C, spatial...) as N*C images of one channel (N*C, 1, D, H, W)."""
    extents = (*(1,) * (5 - len(t.shape)), *t.shape[2:])
    shape = (t.shape[0] * t.shape[1], 1, *extents)
    return Tensor(t.buffer, shape, dense_strides(shape), t.offset)


def four_strides(t: Tensor) -> tuple[int, ...]:
    """Strides of a volume without its channels': n and the three spatial axes."""
    return (t.strides[0], *t.strides[2:])


def depth_images(low: Lowering, t: Tensor) -> Tensor:
    """(N, C, D, H, W), channels last, as N*D images; a copy where the depths of successive images do not step evenly."""
    n, c, d, h, w = t.shape
    view = t.transpose((0, 2, 1, 3, 4)).reshape((n * d, c, h, w))
    if view is not None:
        return Tensor(view.buffer, view.shape, (view.strides[0], 1, t.strides[3], t.strides[4]), view.offset)
    copy = low.temp(t.shape, layout="channels_last")
    low.copy(copy, t)
    return depth_images(low, copy)


def depth_rows(t: Tensor) -> Tensor:
    """(N, C, D, H*W): depth and pixel as the axes of an image. t was allocated by its operator: rows follow each other."""
    n, c, d, h, w = t.shape
    step = t.strides[4] if w > 1 else t.strides[3]
    return Tensor(t.buffer, (n, c, d, h * w), (t.strides[0], 1, t.strides[2], step), t.offset)
