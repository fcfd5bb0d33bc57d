"""Window: kernel, strides, dilations and pads of convolution and pooling, and the output extents that follow."""
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fastcnn.inference.site import Mismatch
from fastcnn.inference.sizes import numbers
from fastcnn.inference.windows import window_extents
from fastcnn.ir.record import dataclass
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
    except Mismatch as error:
        raise bad_shape(args, str(error)) from None


@lru_cache(maxsize=512)
def _resolved(spatial: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
              pads: tuple[int, ...], auto_pad: str, ceil_mode: bool) -> Window:
    """resolve() with a cache; () stands for the default of an attribute. Raises Mismatch."""
    rank = len(spatial)
    attrs = {"strides": strides, "dilations": dilations, "pads": pads, "auto_pad": auto_pad, "ceil_mode": ceil_mode}
    out = numbers(window_extents(attrs, spatial, kernel))
    strides, dilations, sides = strides or (1,) * rank, dilations or (1,) * rank, pads or (0,) * 2 * rank
    if auto_pad == "VALID":
        sides = (0,) * 2 * rank
    elif auto_pad != "NOTSET":
        total = [max((o - 1) * s + d * (k - 1) + 1 - n, 0) for o, s, d, k, n in zip(out, strides, dilations, kernel, spatial)]
        sides = shared(total, auto_pad)
    return Window(kernel, strides, dilations, sides[:rank], sides[rank:], out)


def shared(total: Sequence[int], auto_pad: str) -> tuple[int, ...]:
    """Pads before and after each axis for a given total: halves, the odd one after (SAME_UPPER) or before."""
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return (*small, *large) if auto_pad == "SAME_UPPER" else (*large, *small)


def two_axes(window: Window) -> Window:
    """A window over one axis as one over two: height 1."""
    if len(window.kernel) == 2:
        return window
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations), (0, *window.before), (0, *window.after),
                  (1, *window.out))
