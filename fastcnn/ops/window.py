"""Windows shared by convolution and pooling: kernel, strides, dilations, pads of ONNX and the extents that follow from them."""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fastcnn.ir.spec import Args, bad_shape


@dataclass(frozen=True)
class Window:
    """One value a spatial axis. out[i] = floor((in + before + after - dilation*(kernel-1) - 1) / stride) + 1 (ceil with ceil_mode)."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    out: tuple[int, ...]


def resolve(args: Args, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of a Conv or pooling node over `spatial`, auto_pad and ceil_mode resolved. Raises ShapeError."""
    attrs = args.node.attrs
    axes = (tuple(attrs.get(name) or ()) for name in ("strides", "dilations", "pads"))
    try:
        return _resolved(tuple(spatial), tuple(kernel), *axes, attrs.get("auto_pad") or "NOTSET", bool(attrs.get("ceil_mode", 0)))
    except ValueError as error:
        raise bad_shape(args, str(error)) from None


@lru_cache(maxsize=4096)
def _resolved(spatial: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
              pads: tuple[int, ...], auto_pad: str, ceil_mode: bool) -> Window:
    """resolve(), asked for several times while a node is planned; () stands for the default. Raises ValueError."""
    rank = len(spatial)
    if len(kernel) != rank:
        raise ValueError(f"kernel_shape={list(kernel)} for {rank} spatial axes")
    strides, dilations = _per_axis("strides", strides, rank), _per_axis("dilations", dilations, rank)
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilations)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        out = [-(-n // s) for n, s in zip(spatial, strides)]
        total = [max((o - 1) * s + e - n, 0) for o, s, e, n in zip(out, strides, extent, spatial)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    elif auto_pad in ("NOTSET", "VALID"):
        sides = list(pads or [0] * 2 * rank) if auto_pad == "NOTSET" else [0] * 2 * rank
        if len(sides) != 2 * rank:
            raise ValueError(f"pads={sides} for {rank} spatial axes")
        before, after = sides[:rank], sides[rank:]
        ceil = ceil_mode and auto_pad == "NOTSET"
        out = [_extent(n + b + a - e, s, n + b, ceil) for n, b, a, e, s in zip(spatial, before, after, extent, strides)]
    else:
        raise ValueError(f"auto_pad={auto_pad!r}")
    if min(out, default=1) < 0 or (min(out, default=1) == 0 and min(spatial, default=1) > 0):
        raise ValueError(f"the window (kernel {list(kernel)}, dilations {list(dilations)}, pads {[*before, *after]}) does not fit")
    return Window(tuple(kernel), strides, dilations, tuple(before), tuple(after), tuple(out))


def _extent(room: int, stride: int, last_start: int, ceil_mode: bool) -> int:
    """Windows that fit; with ceil_mode one more if it still starts inside the input or its leading padding."""
    if room < 0:
        return room // stride + 1 if not ceil_mode else -(-room // stride) + 1
    if not ceil_mode:
        return room // stride + 1
    out = -(-room // stride) + 1
    return out - 1 if (out - 1) * stride >= last_start else out


def _per_axis(name: str, values: tuple[int, ...], rank: int) -> tuple[int, ...]:
    values = values or (1,) * rank
    if len(values) != rank or min(values, default=1) < 1:
        raise ValueError(f"{name}={list(values)} for {rank} spatial axes")
    return values


def two_axes(window: Window) -> Window:
    """A window over one axis as one over two: height 1."""
    if len(window.kernel) == 2:
        return window
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations), (0, *window.before), (0, *window.after),
                  (1, *window.out))
