"""Convolutions one after the other on row-major planes, a few rows at a time in one step: when that pays, its fields and weights."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.choice import Choice, aligned, floats
from fastcnn.convolve.planes_dense import PLANES_DENSE, band_floats, fill_cycles, product_cycles
from fastcnn.convolve.planes_depthwise import depthwise_cycles
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.spec import F32, Spec
from fastcnn.machine.current import cached, current

MOST_LAYERS = _native.MAX_DIMS
# Output rows at a time: more where the rows between the layers fit L2. Of two blocks of 64 channels, us with 2, 4 and 8: 160x160 8350, 8360
# (8710 with 1), 80x80 2510, 2410, 2440, 40x40 538, 538, 557; of 16 at 160x160 1106, 1026, 920 (EPYC Zen 3, 512 KB L2, 2026-11-30).
# With 4, 8 and 16: of 64 at 80x80 631, 620, -, of 16 at 160x160 292, 260, 274 (EPYC Zen 5, 1 MB L2, the same day).
BLOCKS = 8, 4, 2
LARGEST_OF_L2 = 1.2     # with the fewest
# Of the predicted time on pixels: chains below 0.78 take 0.82 to 0.88 of the measured time there, two steps of ConvDepthwise and two copies
# (EPYC Zen 3, one thread, 2026-11-30).
WORTH_IT = 0.8


def is_depthwise(shape: ConvShape) -> bool:
    """Whether the layer is a window over each channel by itself."""
    return shape.groups > 1


def covers(shape: ConvShape) -> bool:
    """Whether the step computes such a layer: dense or depthwise, columns at most every other one, no window that begins inside."""
    return (shape.groups == 1 or shape.ic == shape.oc == 1) and shape.sw <= 2 and min(shape.pt, shape.pl) >= 0


@cached
def pays(layers: tuple[ConvShape, ...]) -> bool:
    """Whether the step takes clearly less time than the layers on pixels, with a change of layout at either end.

    For one thread, so that any number of them has the same bits.
    """
    return band_bytes(layers, BLOCKS[-1]) <= LARGEST_OF_L2 * current().l2_bytes and cycles(layers) <= WORTH_IT * cycles_on_pixels(layers)


def cycles(layers: Sequence[ConvShape]) -> float:
    """Predicted time of the step."""
    return fill_cycles(layers[0]) + sum(depthwise_cycles(shape) if is_depthwise(shape) else product_cycles(shape) for shape in layers)


def cycles_on_pixels(layers: Sequence[ConvShape]) -> float:
    """Predicted time of the layers channels last, a step each, and of the copies at either end."""
    chosen = [ladder.choose(Problem(shape, own_places(shape))) for shape in layers]
    return sum(ladder.cycles(choice, 1) for choice in chosen) + ladder.copy_cycles(layers[0].x_extents, layers[-1].y_extents)


def band_bytes(layers: Sequence[ConvShape], block: int) -> int:
    """Bytes of the rows between the layers, those that are read first among them; block: output rows at a time."""
    seen, floats = block, 0
    for shape in reversed(layers):
        seen = (min(seen, block) - 1) * shape.sh + (shape.kh - 1) * shape.dh + 1
        floats += shape.groups * shape.ic * seen * band_floats(shape)
    return F32.itemsize * floats


def fields_of(layers: Sequence[ConvShape]) -> dict[str, Any]:
    """The fields of the step."""
    block = next((rows for rows in BLOCKS if band_bytes(layers, rows) <= current().l2_bytes), BLOCKS[-1])
    each = {name: [getattr(shape, name) for shape in layers] for name in ("kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "oh", "ow")}
    return {"n": layers[0].n, "layers": len(layers), "ih": layers[0].ih, "iw": layers[0].iw, "block": min(block, layers[-1].oh),
            "depthwise": [int(is_depthwise(shape)) for shape in layers], "ic": [shape.groups * shape.ic for shape in layers],
            "oc": [shape.groups * shape.oc for shape in layers], **each}


def pack(shape: ConvShape, w: np.ndarray, bias: np.ndarray | None, bounds: tuple[float, float]) -> np.ndarray:
    """What the step reads of a layer: what bounds its outputs, a bias a channel, the weights."""
    taps = w.ravel() if is_depthwise(shape) else PLANES_DENSE.pack(_dense(shape), w)
    added = np.zeros(w.shape[0], F32) if bias is None else np.broadcast_to(np.asarray(bias, F32).ravel(), w.shape[:1])
    return aligned(np.concatenate([np.array(bounds, F32), added, taps.astype(F32, copy=False)]))


def packed_spec(shape: ConvShape) -> Spec:
    """The Spec of pack()'s result."""
    oc = shape.groups * shape.oc
    taps = oc * shape.k if is_depthwise(shape) else PLANES_DENSE.packed_spec(_dense(shape), (shape.oc, shape.ic, *shape.kernel)).size
    return floats(2 + oc + taps)


def _dense(shape: ConvShape) -> Choice:
    return PLANES_DENSE.choose(Problem(shape, own_places(shape), planes=True))
