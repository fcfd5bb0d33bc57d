"""The resize steps with arbitrary tap tables against the double sum, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from images import CHANNELS, Image, run_image_step
from step_helper import Guarded, assert_close, run_step, tolerance

from fastcnn import _native
from fastcnn.convolve.lane_tables import pick_table


def table(rng: np.random.Generator, size: int, out: int, taps: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices around each output's place, clamped to the axis, and any weights."""
    index = (np.arange(out) * size // out)[:, None] + np.arange(taps) - taps // 2
    return np.clip(index, 0, size - 1).astype(np.int32), rng.standard_normal((out, taps)).astype(np.float32)


def run(c: int, extent: tuple[int, int], out: tuple[int, int], taps: tuple[int, int], threads: int = 1, gap: int = 3, n: int = 2):
    rng = np.random.default_rng(c)
    x, y = Image.random(rng, n, *extent, c, gap=gap), Image(n, *out, c, gap, output=True)
    (rows, row_weights), (columns, column_weights) = (table(rng, *axis) for axis in zip(extent, out, taps))
    operands = [Guarded(a) for a in (rows, row_weights, columns, column_weights)]
    got = run_image_step("resize", y, x, *operands, threads=threads, n=n, c=c, ih=extent[0], iw=extent[1], oh=out[0], ow=out[1],
                         taps_h=taps[0], taps_w=taps[1])
    wide = x.array.astype(np.float64)
    tall = (wide[:, rows] * row_weights[None, :, :, None, None]).sum(2)
    return got, (tall[:, :, columns] * column_weights[None, None, :, :, None]).sum(3)


EXTENTS = [((5, 7), (13, 15)), ((20, 31), (7, 9)), ((1, 1), (3, 40)), ((6, 8), (6, 8))]


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("taps", [(1, 1), (2, 2), (4, 4), (1, 2), (3, 5), (9, 1)], ids=str)
@pytest.mark.parametrize("extents", EXTENTS, ids=str)
def test_resize_taps(isa, extents, taps, gap):
    got, wanted = run(17, *extents, taps, gap=gap)
    assert_close(got, wanted, tolerance(taps[0] * taps[1]))


@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("c", CHANNELS)
def test_resize_channel_tails(isa, c, taps):
    got, wanted = run(c, (6, 9), (11, 20), (taps, taps))
    assert_close(got, wanted, tolerance(taps * taps))


@pytest.mark.parametrize("c", [3, 80])
def test_resize_wide_rows_in_blocks(isa, c):
    got, wanted = run(c, (4, 700), (7, 1500), (4, 4), n=1)
    assert_close(got, wanted, tolerance(16))


def test_resize_same_bits_for_any_number_of_threads(isa):
    alone = run(20, (9, 9), (23, 17), (4, 4))[0]
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(run(20, (9, 9), (23, 17), (4, 4), threads)[0], alone)


def run_planes(extent: tuple[int, int], out: tuple[int, int], taps: tuple[int, int], planes: int = 3, threads: int = 1):
    rng, width = np.random.default_rng(7), _native.vector_length()
    x, y = Guarded(rng.standard_normal((planes, *extent)).astype(np.float32)), Guarded(np.zeros((planes, *out), np.float32), output=True)
    (rows, row_weights), (columns, column_weights) = (table(rng, *axis) for axis in zip(extent, out, taps))
    picks = [pick_table(index, max(extent[1], width)) for index in columns.T]
    assert all(pick is not None for pick in picks)
    weights = np.zeros((taps[1], -(-out[1] // width) * width), np.float32)
    weights[:, :out[1]] = column_weights.T
    operands = [Guarded(a) for a in (rows, row_weights, np.stack(picks), weights)]
    status = run_step("resize_planes", [y, x, *operands], threads, planes=planes, ih=extent[0], iw=extent[1], oh=out[0], ow=out[1],
                      taps_h=taps[0], taps_w=taps[1])
    assert status == 0
    tall = (x.array.astype(np.float64)[:, rows] * row_weights[None, :, :, None]).sum(2)
    return y.array.copy(), (tall[:, :, columns] * column_weights[None, None]).sum(3)


PLANE_EXTENTS = [((5, 7), (13, 15)), ((6, 40), (4, 33)), ((20, 31), (7, 20)), ((1, 1), (3, 40)), ((6, 8), (6, 8)), ((3, 16), (9, 129)),
                 ((2, 17), (5, 1))]


@pytest.mark.parametrize("taps", [(1, 1), (2, 2), (4, 4), (1, 2), (3, 5), (9, 1)], ids=str)
@pytest.mark.parametrize("extents", PLANE_EXTENTS, ids=str)
def test_resize_planes_taps(isa, extents, taps):
    got, wanted = run_planes(*extents, taps)
    assert_close(got, wanted, tolerance(taps[0] * taps[1]))


def test_resize_planes_same_bits_for_any_number_of_threads(isa):
    alone = run_planes((9, 9), (23, 17), (4, 4))[0]
    for threads in (2, 3, 7, 100):
        np.testing.assert_array_equal(run_planes((9, 9), (23, 17), (4, 4), threads=threads)[0], alone)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("extents", [*PLANE_EXTENTS, ((11, 20), (22, 40)), ((20, 19), (60, 57)), ((9, 16), (9, 16)), ((4, 5), (6, 35))],
                         ids=str)
def test_resize_planes_repeats(isa, extents, threads):
    """Without weights rows and columns are repeated: the same bits."""
    (ih, iw), (oh, ow) = extents
    rng, width = np.random.default_rng(3), _native.vector_length()
    x, y = Guarded(rng.standard_normal((3, ih, iw)).astype(np.float32)), Guarded(np.zeros((3, oh, ow), np.float32), output=True)
    rows, columns = (np.arange(out) * size // out for size, out in ((ih, oh), (iw, ow)))
    picks = pick_table(columns, max(iw, width))
    if picks is None:                # rows so much shorter than those of x are thinned by another step
        assert 2 * ow < iw
        return
    operands = [y, x, rows.astype(np.int32)[:, None], None, picks, None]
    assert run_step("resize_planes", operands, threads, planes=3, ih=ih, iw=iw, oh=oh, ow=ow, taps_h=1, taps_w=1) == 0
    np.testing.assert_array_equal(y.array, x.array[:, rows][:, :, columns])
