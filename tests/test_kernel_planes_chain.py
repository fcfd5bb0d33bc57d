"""Convolutions one after the other on row-major planes (the planes_chain step) against float64 sums, one layer after the other."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from plane_window import Pair, Window
from step_helper import Guarded, assert_close, run_step, tolerance

from fastcnn.convolve import planes_chain
from fastcnn.convolve.shape import ConvShape

INF = float("inf")


@dataclass(frozen=True)
class Layer(Window):
    """A layer over whatever extents the one before it makes; channels 0: a window over each channel by itself."""

    channels: int = 0
    bounds: tuple[float, float] = (-INF, INF)
    bias: bool = True

    def __str__(self) -> str:
        return "x".join(map(str, (*self.kernel, *self.strides, *self.dilations, *self.before, *self.after, self.channels)))


EXTENTS: Pair = (0, 0)          # of a layer: the outputs of the one before it
ALL = (1, 1)
POINT, WIDE = Layer(EXTENTS, (1, 1), channels=5), Layer(EXTENTS, (1, 1), channels=17, bounds=(0, INF))
DEPTH, HALVED = Layer(EXTENTS, before=ALL, after=ALL, bounds=(-1, 1)), Layer(EXTENTS, strides=(2, 2), before=ALL, after=ALL)
FIVE = Layer(EXTENTS, (5, 5), before=(2, 2), after=(2, 2), bias=False)
DILATED = Layer(EXTENTS, (3, 3), (1, 1), (2, 3), (2, 3), (2, 3))
LEANING = Layer(EXTENTS, (2, 4), (1, 2), before=(1, 0), after=(0, 3))
DENSE, FEWER = Layer(EXTENTS, before=ALL, after=ALL, channels=9, bounds=(0, INF)), Layer(EXTENTS, (3, 3), (2, 2), channels=6)
TALL = Layer(EXTENTS, (1, 1), (3, 1), channels=4)           # rows that no window sees
CHAINS = {
    "point-depth": (POINT, DEPTH), "depth-point": (DEPTH, POINT), "twice": (POINT, DEPTH, WIDE, DEPTH), "alone": (WIDE,),
    "alone-depth": (DEPTH,), "points-last": (DEPTH, POINT, WIDE), "dense-points": (DENSE, WIDE, POINT, HALVED),
    "halved": (POINT, HALVED, WIDE), "halved-twice": (HALVED, POINT, HALVED), "dense": (DENSE, DEPTH), "dense-dense": (DENSE, FEWER),
    "five": (WIDE, FIVE, POINT), "dilated": (POINT, DILATED), "leaning": (POINT, LEANING, POINT), "tall": (DENSE, TALL, DEPTH),
    "tall-depth": (replace(TALL, strides=(4, 1)), DEPTH), "eight": (POINT, DEPTH, DENSE, DEPTH, POINT, DEPTH, POINT, DEPTH),
}
SIZES = [(1, 1), (2, 7), (5, 8), (9, 9), (7, 23), (8, 24), (6, 25), (13, 16), (11, 33), (4, 50)]


def shapes_of(layers: Sequence[Layer], extents: Pair, ic: int, n: int) -> list[ConvShape] | None:
    """The layers of a chain over x of these extents; None where an output would be empty."""
    found = []
    for layer in layers:
        window = replace(layer, extents=extents)
        (oh, ow), (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.out, window.kernel, window.strides, window.dilations, window.before
        if min(oh, ow) < 1:
            return None
        groups, own, oc = (1, ic, layer.channels) if layer.channels else (ic, 1, 1)
        found.append(ConvShape(n, groups, own, oc, kh, kw, sh, sw, dh, dw, pt, pl, *extents, oh, ow))
        extents, ic = (oh, ow), groups * oc
    return found


def convolved(x: np.ndarray, layer: Layer, shape: ConvShape, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """The float64 sum, bounded."""
    padded = np.pad(x, ((0, 0), (0, 0), *zip(layer.before, layer.after)))
    wanted = np.zeros(shape.y_extents)
    for i, j in np.ndindex(shape.kernel):
        rows, columns = slice(i * shape.dh, i * shape.dh + (shape.oh - 1) * shape.sh + 1, shape.sh), slice(
            j * shape.dw, j * shape.dw + (shape.ow - 1) * shape.sw + 1, shape.sw)
        seen, tap = padded[:, :, rows, columns], w[:, :, i, j].astype(np.float64)
        wanted += np.einsum("oc,nchw->nohw", tap, seen) if layer.channels else seen * tap[:, 0, None, None]
    return np.clip(wanted if b is None else wanted + b[:, None, None], *layer.bounds)


def run(layers: Sequence[Layer], shapes: Sequence[ConvShape], threads: int = 1, block: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """What the step makes of random planes, and the float64 sums."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shapes[0].x_extents).astype(np.float32)
    wanted, packs = x.astype(np.float64), []
    for layer, shape in zip(layers, shapes):
        w = (rng.standard_normal((shape.groups * shape.oc, shape.ic, *shape.kernel)) * shape.k ** -0.5).astype(np.float32)
        b = rng.standard_normal(w.shape[0]).astype(np.float32) if layer.bias else None
        packs.append(planes_chain.pack(shape, w, b, layer.bounds))
        assert planes_chain.covers(shape) and (packs[-1].dtype, packs[-1].shape) == (np.float32, planes_chain.packed_spec(shape).shape)
        wanted = convolved(wanted, layer, shape, w, b)
    y = Guarded(np.full(shapes[-1].y_extents, np.nan, np.float32), output=True)
    fields = {**planes_chain.fields_of(shapes), "block": min(block, shapes[-1].oh)}
    assert run_step("planes_chain", [y, Guarded(x), *map(Guarded, packs)], threads, **fields) == 0
    return y.array.copy(), wanted


@pytest.mark.parametrize("name", CHAINS)
def test_planes_chain(name, isa):
    tried = 0
    for number, extents in enumerate(SIZES):
        shapes = shapes_of(CHAINS[name], extents, 3, 1 + number % 2)
        if shapes is not None:
            got, wanted = run(CHAINS[name], shapes, block=1 + number % 5)
            assert_close(got, wanted, 4 * len(shapes) * tolerance(max(shape.k for shape in shapes)), f"{name} of {extents}")
            tried += 1
    assert tried


@pytest.mark.parametrize("name", CHAINS)
def test_planes_chain_same_bits_for_any_number_of_threads_and_rows(name, isa):
    shapes = shapes_of(CHAINS[name], (29, 35), 4, 2)
    assert shapes is not None
    alone = run(CHAINS[name], shapes)[0]
    for threads, block in ((2, 4), (3, 1), (5, 2), (100, 8), (1, 7)):
        np.testing.assert_array_equal(run(CHAINS[name], shapes, threads, block)[0], alone)


def test_planes_chain_infinities_stay_in_their_windows(isa):
    """Padding between the layers is not multiplied with them."""
    shapes = shapes_of((POINT, DEPTH), (8, 40), 1, 1)
    assert shapes is not None
    x, y = np.zeros((1, 1, 8, 40), np.float32), Guarded(np.zeros((1, 5, 8, 40), np.float32), output=True)
    x[0, 0, 4, 20] = np.inf
    packs = [planes_chain.pack(shape, np.ones((5, 1, *shape.kernel), np.float32), None, (-INF, INF)) for shape in shapes]
    run_step("planes_chain", [y, Guarded(x), *packs], **planes_chain.fields_of(shapes))
    wanted = np.zeros((8, 40), np.float32)
    wanted[3:6, 19:22] = np.inf
    np.testing.assert_array_equal(y.array[0], np.broadcast_to(wanted, (5, 8, 40)))
