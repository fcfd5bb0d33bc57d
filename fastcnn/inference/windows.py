"""Shape rules of convolutions and pooling. k: window extents; windows: how many fit along each axis."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastcnn.inference.site import MAX_ELEMENTS, Mismatch, Outputs, Site, differ
from fastcnn.inference.sizes import LARGEST, divided, function, minus, numbers, plus, product, times
from fastcnn.ir.graph import Dim, Shape

SAME = ("SAME_UPPER", "SAME_LOWER")


def per_axis(name: str, values: Sequence[int], rank: int, least: int = 1) -> tuple[int, ...]:
    """An attribute with one number for each spatial axis; `least` is its default and its minimum. Raises Mismatch."""
    values = tuple(values) or (least,) * rank
    if len(values) != rank or min(values, default=least) < least:
        raise Mismatch(f"{name}={list(values)} for {rank} spatial axes")
    return values


def window_extents(attrs: Mapping[str, Any], spatial: Sequence[Dim], kernel: Sequence[Dim]) -> Shape:
    """Outputs per axis: (in + pads - dilation * (kernel - 1) - 1) / stride + 1, rounded down, or up with ceil_mode. Raises Mismatch."""
    axes = [tuple(attrs.get(name) or ()) for name in ("strides", "dilations", "pads")]
    return _window_extents(tuple(spatial), tuple(kernel), *axes, attrs.get("auto_pad") or "NOTSET", bool(attrs.get("ceil_mode", 0)))


@lru_cache(maxsize=512)
def _window_extents(spatial: Shape, kernel: Shape, strides: tuple[int, ...], dilations: tuple[int, ...], pads: tuple[int, ...], auto: str,
                    up: bool) -> tuple[Dim, ...]:
    """window_extents() with a cache, as the same windows are asked for several times; () stands for the default of an attribute."""
    rank = len(spatial)
    if len(kernel) != rank:
        raise Mismatch(f"kernel_shape={list(kernel)} for {rank} spatial axes")
    strides, dilations = per_axis("strides", strides, rank), per_axis("dilations", dilations, rank)
    if auto in SAME:
        return tuple([_up(size, stride) for size, stride in zip(spatial, strides)])
    if auto not in ("NOTSET", "VALID"):
        raise Mismatch(f"auto_pad={auto!r}")
    pads = pads if pads and auto == "NOTSET" else (0,) * 2 * rank
    if len(pads) != 2 * rank:
        raise Mismatch(f"pads={list(pads)} for {rank} spatial axes")
    out: list[Dim] = []
    up = up and auto == "NOTSET"
    for k, size in enumerate(spatial):
        width = kernel[k]
        span = (width - 1) * dilations[k] + 1 if isinstance(width, int) else plus(times(minus(width, 1), dilations[k]), 1)
        out.append(_count(size, span, strides[k], pads[k], pads[k + rank], up))
    known = numbers(out)
    if min(known, default=1) < 0 or (0 in known and 0 not in spatial):
        raise Mismatch(f"the window (kernel {list(kernel)}, dilations {list(dilations)}, pads {list(pads)}) does not fit")
    return tuple(out)


def _up(size: Dim, by: int) -> Dim:
    """size / by rounded up."""
    return size if by == 1 or size is None else -(-size // by) if isinstance(size, int) else function("up", size, by)


def _count(size: Dim, span: Dim, stride: int, before: int, after: int, up: bool) -> Dim:
    """The number of windows; with ceil_mode, a window that would start in the padding behind the last element does not count."""
    if not isinstance(size, int) or not isinstance(span, int):
        room = minus(plus(size, before + after), span)
        return function("windows", room, stride, after) if up and stride > 1 else plus(divided(room, stride), 1)
    room = size + before + after - span
    if abs(room) > LARGEST:
        return None
    if not up:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if room >= 0 and (count - 1) * stride >= size + before else count


def _image(x: Shape | None, rank: int | None = None) -> bool:
    """Whether the rank of x is known. Raises Mismatch where x has no spatial axes, or not the number of axes that the window has."""
    if x is None:
        return False
    if rank is not None and len(x) != rank:
        raise Mismatch("x and w must have the same rank, at least 3")
    return True


def _multiple(a: Dim, b: int) -> bool:
    return not isinstance(a, int) or a % b == 0


def convolution(site: Site, w_input: int = 1, bias: int = 2) -> Outputs:
    """(N, M, windows) for x (N, C, ...) and w (M, C / group, k...). Raises Mismatch where channels do not fit."""
    x, w, group = site.shape(0), site.shape(w_input), site.attrs.get("group", 1)
    if w is None:
        return [None if x is None else [x[0], *[None] * (len(x) - 1)]]
    if len(w) < 3 or group < 1:
        raise Mismatch("x and w must have the same rank, at least 3" if group > 0 else f"group={group}")
    if not _image(x, len(w)) or x is None:
        return [[None, w[0], *[None] * (len(w) - 2)]]
    wanted = times(w[1], group)
    if differ(x[1], wanted) or not _multiple(w[0], group):
        raise Mismatch(f"x has {x[1]} channels, w {list(w)} wants {wanted} with group={group}")
    site.expect(bias, [w[0]])
    return [[x[0], w[0], *window_extents(site.attrs, x[2:], w[2:])]]


def fused_convolution(site: Site) -> Outputs:
    """Conv: as convolution(); the residual that passes add has the shape of the output."""
    y, = convolution(site)
    return _with_residual(site, y)


def _with_residual(site: Site, y: Sequence[Dim] | None, residual: int = 3) -> Outputs:
    if y is not None and len(site.node.inputs) > residual:
        site.expect(residual, y)
    return [y]


def quantized_convolution(site: Site) -> Outputs:
    """QLinearConv: as convolution(), x and w are inputs 0 and 3."""
    return convolution(site, 3, 8)


def integer_convolution(site: Site) -> Outputs:
    """ConvInteger: as convolution(), without a bias."""
    return convolution(site, 1, len(site.node.inputs))


def transposed(site: Site, bias: int = 2, residual: int = 3) -> Outputs:
    """ConvTranspose: (N, M, extents) for w (C, M / group, k...). Raises Mismatch where channels do not fit."""
    x, w, group = site.shape(0), site.shape(1), site.attrs.get("group", 1)
    if w is None:
        return [None if x is None else [x[0], *[None] * (len(x) - 1)]]
    if len(w) < 3 or group < 1:
        raise Mismatch("x and w must have the same rank, at least 3" if group > 0 else f"group={group}")
    channels = times(w[1], group)
    if not _image(x, len(w)) or x is None:
        return [[None, channels, *[None] * (len(w) - 2)]]
    if differ(x[1], w[0]) or not _multiple(w[0], group):
        raise Mismatch(f"x has {x[1]} channels, w {list(w)} wants {w[0]} with group={group}")
    site.expect(bias, [channels])
    return _with_residual(site, [x[0], channels, *transposed_extents(site.attrs, x[2:], w[2:])], residual)


def transposed_extents(attrs: Mapping[str, Any], spatial: Sequence[Dim], kernel: Sequence[Dim]) -> list[Dim]:
    """Outputs along each axis: stride * (in - 1) + output_padding + dilation * (kernel - 1) + 1 - pads, or output_shape. Raises Mismatch.

    With auto_pad=SAME_* the output has stride * in elements, or the full extent where that is less, as in onnxruntime.
    """
    rank, auto = len(spatial), attrs.get("auto_pad") or "NOTSET"
    strides, dilations = (per_axis(name, attrs.get(name) or (), rank) for name in ("strides", "dilations"))
    extra = per_axis("output_padding", attrs.get("output_padding") or (), rank, 0)
    pads = list(attrs.get("pads") or [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    if len(pads) != 2 * rank:
        raise Mismatch(f"pads={pads} for {rank} spatial axes")
    given = attrs.get("output_shape") or []
    if len(given) not in (0, rank, rank + 2):
        raise Mismatch(f"output_shape={given} for {rank} spatial axes")
    out: list[Dim] = list(given)[-rank:]
    for k, n in enumerate(() if out else spatial):
        span = plus(times(minus(kernel[k], 1), dilations[k]), 1 + extra[k])
        if auto in SAME and isinstance(span, int) and span >= strides[k]:
            out.append(times(n, strides[k]))
        else:
            out.append(minus(plus(times(minus(n, 1), strides[k]), span), pads[k] + pads[k + rank]))
    if len(out) != rank or (min(numbers(out), default=1) < 1 and 0 not in spatial):
        raise Mismatch(f"output extents {out}: pads={pads} are too large")
    return out


def pool(site: Site) -> Outputs:
    """Pooling: (N, C, windows), for MaxPool's indices too."""
    x, kernel = site.shape(0), site.attrs.get("kernel_shape") or []
    if x is None:
        return site.outputs([None] * (len(kernel) + 2) if kernel else None)
    if min(kernel, default=0) < 1:
        raise Mismatch(f"kernel_shape={kernel}")
    return site.outputs([*x[:2], *window_extents(site.attrs, x[2:], kernel)])


def global_pool(site: Site) -> Outputs:
    """(N, C, 1...)."""
    x = site.shape(0)
    if x is not None and len(x) < 2:
        raise Mismatch("x must have spatial axes")
    return [None if x is None else [*x[:2], *[1] * (len(x) - 2)]]


def unpool(site: Site) -> Outputs:
    """(N, C, (in - 1) * stride + kernel - pads), or a larger output shape that is given."""
    x, kernel, given = site.shape(0), site.attrs.get("kernel_shape") or [], site.dims(2) if site.given(2) else None
    if x is None:
        return [given]
    rank = len(x) - 2
    strides, pads = site.attrs.get("strides") or [1] * rank, site.attrs.get("pads") or [0] * 2 * rank
    if len(kernel) != rank or len(strides) != rank or len(pads) != 2 * rank:
        raise Mismatch(f"kernel_shape={kernel}, strides={strides}, pads={pads} for {rank} spatial axes")
    site.expect(1, x, "x and its indices must have the same shape")
    inner = [plus(times(minus(n, 1), s), k - b - a) for n, s, k, b, a in zip(x[2:], strides, kernel, pads, pads[rank:])]
    if site.given(2) and given is None:
        return [[None] * len(x)]
    shape = [*x[:2], *inner] if given is None else list(given)
    pooled_from = given is not None and given == site.dims(3)          # the shape of the MaxPool before it
    smaller = any([isinstance(a, int) and isinstance(b, int) and a < b for a, b in zip(shape[2:], inner)])
    empty = min(numbers([*shape[2:], *inner]), default=1) < 1
    if len(shape) != len(x) or any(map(differ, shape[:2], x)) or (smaller and not pooled_from) or empty:
        raise Mismatch(f"output_shape={given} for unpooled extents {inner}")
    return [shape]


def deformed(site: Site) -> Outputs:
    """DeformConv: (N, M, windows). Each tap is shifted by an offset (y, x) per output pixel and offset group, and scaled by the mask."""
    x, w, offsets = site.shape(0), site.shape(1), site.attrs.get("offset_group", 1)
    y, = convolution(site, bias=3)
    if x is None or w is None or y is None:
        return [y]
    if offsets < 1 or not _multiple(x[1], offsets):
        raise Mismatch(f"x has {x[1]} channels, offset_group={offsets}")
    taps = times(product(w[2:]), offsets)
    for i, name, each in ((2, "offset", len(w) - 2), (4, "mask", 1)):
        wanted = [x[0], times(taps, each), *y[2:]]
        site.expect(i, wanted, f"the {name} must be {wanted}")
    return [y]


def unshared(site: Site) -> Outputs:
    """LocallyConnected: (N, M, H', W') for weights (H', W', kh, kw, C, M)."""
    x, w = site.shape(0), site.shape(1)
    if w is None:
        return [None]
    if len(w) != 6 or (x is not None and (len(x) != 4 or differ(x[1], w[4]))):
        raise Mismatch("weights (H', W', kh, kw, C, M) do not fit")
    return [[x[0] if x is not None else None, w[5], *w[:2]]]


def blocks_to_image(site: Site) -> Outputs:
    """Col2Im: (N, C, image...)."""
    x, image, block = site.shape(0), site.dims(1), site.ints(2)
    if image is None:
        rank = site.shape(1)
        many = rank[0] if rank and isinstance(rank[0], int) and rank[0] <= MAX_ELEMENTS else None
        return [None if many is None else [x[0] if x else None, *[None] * (many + 1)]]
    taps = None if block is None else math.prod(block)
    if min([*(block or ()), *numbers(image)], default=1) < 1:
        raise Mismatch(f"image_shape={list(image)}, block_shape={block}")
    if x is None or len(x) != 3 or block is None or taps is None:
        return [[x[0] if x else None, None, *image]]
    blocks = window_extents(site.attrs, image, block)
    empty = min(numbers([*image, *blocks]), default=1) < 1
    if not _multiple(x[1], taps) or differ(x[2], product(blocks)) or empty:
        raise Mismatch(f"image_shape={list(image)}, block_shape={block} make {list(blocks)} blocks")
    return [[x[0], divided(x[1], taps), *image]]
