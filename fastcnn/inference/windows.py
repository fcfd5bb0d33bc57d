"""Shapes of convolutions and pooling."""
from __future__ import annotations

import math
from collections.abc import Sequence

from fastcnn.inference.site import MAX_ELEMENTS, Mismatch, Outputs, Site
from fastcnn.inference.sizes import divided, function, minus, plus, times
from fastcnn.ir.graph import Dim, Shape

SAME = ("SAME_UPPER", "SAME_LOWER")


def per_axis(site: Site, name: str, rank: int, least: int = 1, default: int = 1) -> list[int]:
    """An attribute with a number an axis. Raises Mismatch for another count and for numbers below `least`."""
    values = list(site.attrs.get(name) or [default] * rank)
    if len(values) != rank or min(values, default=least) < least:
        raise Mismatch(f"{name}={values} for {rank} spatial axes")
    return values


def window_extents(site: Site, spatial: Sequence[Dim], kernel: Sequence[Dim]) -> list[Dim]:
    """(in + pads - dilation * (kernel - 1) - 1) / stride + 1 an axis, rounded down, or up as ceil_mode has it. Raises Mismatch."""
    rank, auto = len(spatial), site.attrs.get("auto_pad") or "NOTSET"
    if len(kernel) != rank:
        raise Mismatch(f"kernel_shape={list(kernel)} for {rank} spatial axes")
    strides, dilations = per_axis(site, "strides", rank), per_axis(site, "dilations", rank)
    if auto in SAME:
        return [_up(size, stride) for size, stride in zip(spatial, strides)]
    if auto not in ("NOTSET", "VALID"):
        raise Mismatch(f"auto_pad={auto!r}")
    pads = [0] * 2 * rank if auto == "VALID" else list(site.attrs.get("pads") or [0] * 2 * rank)
    if len(pads) != 2 * rank:
        raise Mismatch(f"pads={pads} for {rank} spatial axes")
    up = bool(site.attrs.get("ceil_mode", 0)) and auto == "NOTSET"
    out: list[Dim] = []
    for k, size in enumerate(spatial):
        span = plus(times(minus(kernel[k], 1), dilations[k]), 1)
        out.append(_count(size, span, strides[k], pads[k], pads[k + rank], up))
    known = [n for n in out if isinstance(n, int)]
    if min(known, default=1) < 0 or (0 in known and 0 not in spatial):
        raise Mismatch(f"the window (kernel {list(kernel)}, dilations {dilations}, pads {pads}) does not fit")
    return out


def _up(size: Dim, by: int) -> Dim:
    """size / by rounded up."""
    return size if by == 1 or size is None else -(-size // by) if isinstance(size, int) else function("up", size, by)


def _count(size: Dim, span: Dim, stride: int, before: int, after: int, up: bool) -> Dim:
    """How many windows; rounded up, one that would start in the padding after the last element does not count."""
    room = minus(plus(size, before + after), span)
    if not isinstance(room, int) or not isinstance(size, int):
        return function("windows", room, stride, after) if up and stride > 1 else plus(divided(room, stride), 1)
    if not up:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if room >= 0 and (count - 1) * stride >= size + before else count


def _image(x: Shape | None, rank: int | None = None) -> bool:
    """Whether anything is known of x; Mismatch where it has no spatial axes, or not so many axes."""
    if x is None:
        return False
    if rank is not None and len(x) != rank:
        raise Mismatch("x and w must have the same rank, at least 3")
    return True


def _multiple(a: Dim, b: int) -> bool:
    return not isinstance(a, int) or a % b == 0


def convolution(site: Site, w_input: int = 1, bias: int = 2) -> Outputs:
    """(N, M, windows), w (M, C / group, k...). Raises Mismatch where channels do not fit."""
    x, w, group = site.shape(0), site.shape(w_input), site.attrs.get("group", 1)
    if w is None:
        return [None if x is None else [x[0], *[None] * (len(x) - 1)]]
    if len(w) < 3 or group < 1:
        raise Mismatch("x and w must have the same rank, at least 3" if group > 0 else f"group={group}")
    if not _image(x, len(w)) or x is None:
        return [[None, w[0], *[None] * (len(w) - 2)]]
    wanted = times(w[1], group)
    if (isinstance(x[1], int) and isinstance(wanted, int) and x[1] != wanted) or not _multiple(w[0], group):
        raise Mismatch(f"x has {x[1]} channels, w {list(w)} wants {wanted} with group={group}")
    b = site.shape(bias)
    if b is not None and (len(b) != 1 or (isinstance(b[0], int) and isinstance(w[0], int) and b[0] != w[0])):
        raise Mismatch(f"bias {list(b)} for {w[0]} output channels")
    return [[x[0], w[0], *window_extents(site, x[2:], w[2:])]]


def quantized_convolution(site: Site) -> Outputs:
    """QLinearConv: x and w stand at 0 and 3."""
    return convolution(site, 3, 8)


def integer_convolution(site: Site) -> Outputs:
    """ConvInteger: no bias."""
    return convolution(site, 1, len(site.node.inputs))


def transposed(site: Site) -> Outputs:
    """(N, M, stride * (in - 1) + output_padding + dilation * (kernel - 1) + 1 - pads), w (C, M / group, k...).

    With auto_pad=SAME the output has stride * in, or what there is where windows leave gaps, as in onnxruntime.
    """
    x, w, attrs, group = site.shape(0), site.shape(1), site.attrs, site.attrs.get("group", 1)
    if w is None:
        return [None if x is None else [x[0], *[None] * (len(x) - 1)]]
    if len(w) < 3 or group < 1:
        raise Mismatch("x and w must have the same rank, at least 3" if group > 0 else f"group={group}")
    channels, rank = times(w[1], group), len(w) - 2
    if not _image(x, len(w)) or x is None:
        return [[None, channels, *[None] * rank]]
    if (isinstance(x[1], int) and isinstance(w[0], int) and x[1] != w[0]) or not _multiple(w[0], group):
        raise Mismatch(f"x has {x[1]} channels, w {list(w)} wants {w[0]} with group={group}")
    bias = site.shape(2)
    if bias is not None and (len(bias) != 1 or (isinstance(bias[0], int) and isinstance(channels, int) and bias[0] != channels)):
        raise Mismatch(f"bias {list(bias)} for {channels} output channels")
    strides, auto = per_axis(site, "strides", rank), attrs.get("auto_pad") or "NOTSET"
    if attrs.get("output_shape"):
        given = list(attrs["output_shape"])[-rank:]
        return [[x[0], channels, *given, *[None] * (rank - len(given))]]
    dilations, extra = per_axis(site, "dilations", rank), per_axis(site, "output_padding", rank, 0, 0)
    pads = list(attrs.get("pads") or [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    if len(pads) != 2 * rank:
        raise Mismatch(f"pads={pads} for {rank} spatial axes")
    out: list[Dim] = []
    for k, n in enumerate(x[2:]):
        span = plus(times(minus(w[2 + k], 1), dilations[k]), 1 + extra[k])
        if auto in SAME and isinstance(span, int) and span >= strides[k]:
            out.append(times(n, strides[k]))
        else:
            out.append(minus(plus(times(minus(n, 1), strides[k]), span), pads[k] + pads[k + rank]))
    if min((n for n in out if isinstance(n, int)), default=1) < 1 and 0 not in x[2:]:
        raise Mismatch(f"output extents {out}: pads={pads} are too large")
    return [[x[0], channels, *out]]


def pool(site: Site) -> Outputs:
    """(N, C, windows); the indices of the largest likewise."""
    x, kernel = site.shape(0), site.attrs.get("kernel_shape") or []
    if x is None:
        return site.outputs([None] * (len(kernel) + 2) if kernel else None)
    return site.outputs([*x[:2], *window_extents(site, x[2:], kernel)])


def global_pool(site: Site) -> Outputs:
    """(N, C, 1...)."""
    x = site.shape(0)
    if x is not None and len(x) < 2:
        raise Mismatch("x must have spatial axes")
    return [None if x is None else [*x[:2], *[1] * (len(x) - 2)]]


def unpool(site: Site) -> Outputs:
    """(N, C, (in - 1) * stride + kernel - pads), or the output shape that is given."""
    x, kernel = site.shape(0), site.attrs.get("kernel_shape") or []
    if site.given(2):
        given = site.dims(2)
        rank = len(x) if x is not None else None
        return [list(given) if given is not None else None if rank is None else [None] * rank]
    if x is None:
        return [None]
    rank = len(x) - 2
    strides, pads = site.attrs.get("strides") or [1] * rank, site.attrs.get("pads") or [0] * 2 * rank
    if len(kernel) != rank or len(strides) != rank or len(pads) != 2 * rank:
        raise Mismatch(f"kernel_shape={kernel}, strides={strides}, pads={pads} for {rank} spatial axes")
    return [[*x[:2], *(plus(times(minus(n, 1), s), k - b - a) for n, s, k, b, a in zip(x[2:], strides, kernel, pads, pads[rank:]))]]


def deformed(site: Site) -> Outputs:
    """(N, M, windows) of a convolution whose taps are moved."""
    x, w = site.shape(0), site.shape(1)
    if x is None or w is None:
        return [None if x is None else [x[0], *[None] * (len(x) - 1)]]
    return [[x[0], w[0], *window_extents(site, x[2:], w[2:])]]


def unshared(site: Site) -> Outputs:
    """LocallyConnected: weights (H', W', kh, kw, C, M) say the output's extents."""
    x, w = site.shape(0), site.shape(1)
    if w is None or len(w) != 6:
        return [None]
    return [[x[0] if x is not None else None, w[5], *w[:2]]]


def blocks_to_image(site: Site) -> Outputs:
    """Col2Im: (N, C, image...)."""
    x, image, block = site.shape(0), site.dims(1), site.ints(2)
    if image is None:
        rank = site.shape(1)
        many = rank[0] if rank and isinstance(rank[0], int) and rank[0] <= MAX_ELEMENTS else None
        return [None if many is None else [x[0] if x else None, *[None] * (many + 1)]]
    taps = None if block is None else math.prod(block)
    if taps is not None and taps < 1:
        raise Mismatch(f"block_shape={block}")
    if x is None or len(x) != 3:
        return [[None, None, *image]]
    return [[x[0], x[1] // taps if taps is not None and isinstance(x[1], int) else None, *image]]
