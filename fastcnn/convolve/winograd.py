"""Winograd's algorithm F(m, r), for windows of stride 1 and 3x3 of stride 2: fewer products, more additions, a larger rounding error."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.choice import Choice, Rung, floats, whole_vectors
from fastcnn.convolve.implicit_gemm import lies_in_planes
from fastcnn.convolve.shape import ConvShape, Places, Problem
from fastcnn.convolve.winograd_cost import (
    BLOCK_SIZES,
    TILE_VECTORS,
    choose_winograd,
    even_tiles,
    forms,
    has_transforms,
    positions_of,
    tile_count,
    winograd_cycles,
)
from fastcnn.ir.record import replace
from fastcnn.ir.spec import Spec


class Winograd(Rung):
    """F(m, r): tiles of m outputs along each axis where the window is wider than 1 are transformed, multiplied and transformed back."""

    name = "Winograd"
    grouped = False

    def covers(self, problem: Problem) -> bool:
        return is_winograd_window(problem.shape) and problem.shape.dilations == (1, 1) and not lies_in_planes(problem.shape, problem.places)

    def pays(self, problem: Problem) -> bool:
        return best_form(problem.shape, problem.threads) is not None

    def choose(self, problem: Problem) -> Choice:
        best = best_form(problem.shape, problem.threads)
        return next(choice for _, choice in self.candidates(problem)) if best is None else self.with_form(problem.shape, *best)

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        shape = problem.shape
        for m in forms(shape.kernel, shape.ic, shape.sh):
            total = tile_count(shape.kernel, m, shape.n, shape.oh, shape.ow)
            for tiles in sorted({even_tiles(total, size, problem.threads) for size in BLOCK_SIZES}):
                yield f"{self.name} m{m} t{tiles}", self.with_form(shape, m, tiles)

    def with_form(self, shape: ConvShape, m: int, tiles: int) -> Choice:
        """The choice of F(m, r) in blocks of `tiles` tiles."""
        fields = {"ic": shape.ic, "oc": shape.oc, "nv": TILE_VECTORS, "m": m, "tiles": tiles, "inner": max(shape.n, 1), "x_outer": 0,
                  "y_outer": 0, "r_outer": 0}
        return Choice(self.name, "winograd", shape, fields, (m, TILE_VECTORS, shape.sh))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        m, nv, stride = choice.packing
        return _native.pack_winograd(np.ascontiguousarray(w, np.float32), m, nv, out, stride)

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        (m, _, stride), (oc, ic, kh, kw) = choice.packing, w_shape
        return floats(positions_of((kh, kw), m, stride) * whole_vectors(oc) * ic)

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, m = choice.shape, choice.fields["m"]
        total = tile_count(shape.kernel, m, shape.n, shape.oh, shape.ow)
        return winograd_cycles(shape.kernel, m, shape.ic, shape.oc, total, choice.fields["tiles"], threads, shape.sh)


class WinogradPhases(Winograd):
    """Dilated windows: every dh-th row and dw-th pixel form an undilated image, so one image becomes dh*dw images for Winograd."""

    name = "Winograd on phases"

    def covers(self, problem: Problem) -> bool:
        return phase_of(problem.shape) is not None and not lies_in_planes(problem.shape, problem.places)

    def pays(self, problem: Problem) -> bool:
        return super().pays(self._phases(problem))

    def choose(self, problem: Problem) -> Choice:
        return on_phases(super().choose(self._phases(problem)), problem.shape, problem.places)

    def candidates(self, problem: Problem) -> Iterator[tuple[str, Choice]]:
        for name, choice in super().candidates(self._phases(problem)):
            yield name, on_phases(choice, problem.shape, problem.places)

    def _phases(self, problem: Problem) -> Problem:
        phase = phase_of(problem.shape)
        assert phase is not None, "covers() was asked first"
        return replace(problem, shape=phase)


WINOGRAD = Winograd()


def winograd_blocks(choice: Choice) -> int:
    """Blocks of tiles that a step has."""
    shape = choice.shape
    return -(-tile_count(shape.kernel, choice.fields["m"], shape.n, shape.oh, shape.ow) // choice.fields["tiles"])


def is_winograd_window(shape: ConvShape) -> bool:
    """Whether a convolution is dense, with a window that has an F(m, r) for its stride and channels; any dilation."""
    window = not shape.strict and shape.groups == 1 and has_transforms(shape.kernel, (shape.sh, shape.sw))
    return window and bool(forms(shape.kernel, shape.ic, shape.sh))


def best_form(shape: ConvShape, threads: int) -> tuple[int, int] | None:
    """(m, tiles per block) of the best form, None where the direct kernel is predicted to be as fast."""
    return choose_winograd(shape.kernel, shape.ic, shape.oc, shape.oh, shape.ow, shape.n, threads, shape.sh)


def phase_of(shape: ConvShape) -> ConvShape | None:
    """The undilated convolution that stands for all phases of a dilated one.

    None where phases differ (extents or padding are no multiples of the dilation), with a stride, and for batches dilated along both axes.
    """
    dh, dw = shape.dilations
    even = not any(v % dh for v in (shape.ih, shape.oh, shape.pt)) and not any(v % dw for v in (shape.iw, shape.ow, shape.pl))
    if not is_winograd_window(shape) or shape.sh != 1 or dh == dw == 1 or (shape.n != 1 and min(dh, dw) > 1) or not even:
        return None
    return replace(shape, n=shape.n * dh * dw, dh=1, dw=1, pt=shape.pt // dh, pl=shape.pl // dw, ih=shape.ih // dh, iw=shape.iw // dw,
                   oh=shape.oh // dh, ow=shape.ow // dw)


def on_phases(choice: Choice, dilated: ConvShape, places: Places) -> Choice:
    """A choice for the phases of a dilated convolution, with strides that step over the phases of a row or of an image."""
    dh, dw = dilated.dilations
    fields = {**choice.fields, "inner": dw if dw > 1 else dh}
    for prefix, (image, _, row, pixel) in zip("xyr", places):
        fields.update({f"{prefix}_image": pixel if dw > 1 else row, f"{prefix}_outer": row if dh > 1 and dw > 1 else image,
                       f"{prefix}_row": dh * row, f"{prefix}_pixel": dw * pixel})
    return replace(choice, fields=fields)
