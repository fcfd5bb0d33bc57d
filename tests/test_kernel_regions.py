"""The steps that read and write where indices, coordinates and regions say, against naive float64, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from images import Image, run_image_step
from step_helper import POISON, Guarded, assert_close, run_step

from fastcnn import _native

CHANNELS = [1, 3, 16, 17, 40]


def volume_strides(image: Image) -> list[int]:
    """n and three axes, the first of extent one."""
    place = image.place("x")
    return [place["x_image"], 0, place["x_row"], place["x_pixel"]]


def filled(array: np.ndarray, gap: int = 3) -> Image:
    image = Image(*array.shape, gap=gap)
    image.array[...] = array
    return image


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("c", CHANNELS)
def test_max_pool_index(isa, c, threads):
    x = np.random.default_rng(c).integers(-4, 4, (2, 7, 8, c)).astype(np.float32)     # ties, and the first of them wins
    image, y, index = filled(x), Image(2, 4, 4, c, 2, output=True), Guarded(np.zeros((2, 4, 4, c), np.int64), output=True)
    strides = volume_strides(y)
    status = run_step("max_pool_index", [y.buffer, index, image.buffer], threads=threads, n=2, c=c, kernel=[1, 3, 2],
                      strides=[1, 2, 2], dilations=[1, 1, 2], before=[0, 1, 1], **{"in": [1, 7, 8]}, out=[1, 4, 4],
                      steps=[56, 8, 1], y_strides=strides, i_strides=[16 * c, 0, 4 * c, c], x_strides=volume_strides(image))
    assert status == 0
    y.check_gaps()
    for n, i, j, k in np.ndindex(2, 4, 4, c):
        taps = [(r, s) for r in range(2 * i - 1, 2 * i + 2) for s in (2 * j - 1, 2 * j + 1) if 0 <= r < 7 and 0 <= s < 8]
        best = max(taps, key=lambda tap: x[n, tap[0], tap[1], k])
        assert y.array[n, i, j, k] == x[n, best[0], best[1], k]
        assert index.array[n, i, j, k] == (n * c + k) * 56 + best[0] * 8 + best[1]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("c", CHANNELS)
@pytest.mark.parametrize("own", [True, False], ids=["own plane", "any plane"])
def test_max_unpool(isa, own, c, threads):
    rng = np.random.default_rng(c)
    x, y = filled(rng.standard_normal((2, 3, 4, c)).astype(np.float32)), Image(2, 7, 8, c, 2, output=True)
    if own:
        within = np.stack([rng.permutation(42)[:12] for _ in range(2 * c)]).reshape(2, c, 3, 4).transpose(0, 2, 3, 1)
        index = within + (np.arange(2 * c) * 42).reshape(2, 1, 1, c)
    else:
        index = rng.permutation(2 * c * 42)[:24 * c].reshape(2, 3, 4, c)
    status = run_step("max_unpool", [y.buffer, x.buffer, Guarded(np.ascontiguousarray(index))], threads=threads, n=2, c=c,
                      shape=[1, 3, 4], inner=[1, 6, 7], out=[1, 7, 8], y_strides=volume_strides(y), x_strides=volume_strides(x),
                      i_strides=[12 * c, 0, 4 * c, c])
    assert status == 0
    y.check_gaps()
    wanted = np.zeros(2 * c * 42, np.float32)
    wanted[index.ravel()] = x.array.ravel()
    np.testing.assert_array_equal(y.array[:, :6, :7], wanted.reshape(2, c, 6, 7).transpose(0, 2, 3, 1))
    assert not y.array[:, 6:].any() and not y.array[:, :, 7:].any()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("own", [True, False], ids=["own plane", "any plane"])
def test_max_unpool_of_planes(isa, own, threads):
    rng = np.random.default_rng(7)
    x, y = Guarded(rng.standard_normal((5, 12)).astype(np.float32)), Guarded(np.full(5 * 42, np.nan, np.float32), output=True)
    index = np.stack([rng.permutation(42)[:12] + 42 * k for k in range(5)]) if own else rng.permutation(5 * 42)[:60].reshape(5, 12)
    dense = {"y_strides": [42, 0, 7, 1], "x_strides": [12, 0, 4, 1], "i_strides": [12, 0, 4, 1]}
    assert run_step("max_unpool", [y, x, Guarded(index)], threads=threads, n=5, c=1, shape=[1, 3, 4], inner=[1, 6, 7],
                    out=[1, 6, 7], **dense) == 0
    wanted = np.zeros(5 * 42, np.float32)
    wanted[index.ravel()] = x.array.ravel()
    np.testing.assert_array_equal(y.array, wanted)


@pytest.mark.parametrize("wrong", [-1, 24])
def test_max_unpool_index_outside_is_a_status(isa, wrong):
    x, y = filled(np.ones((1, 2, 2, 1), np.float32)), Image(1, 4, 6, 1, output=True)
    index = np.array([0, 1, wrong, 2])
    assert run_step("max_unpool", [y.buffer, x.buffer, index], n=1, c=1, shape=[1, 2, 2], inner=[1, 4, 6], out=[1, 4, 6],
                    y_strides=volume_strides(y), x_strides=volume_strides(x), i_strides=[4, 0, 2, 1]) == 1


def bilinear(x: np.ndarray, y: float, z: float) -> np.ndarray:
    """x (h, w, c) between pixels, 0 outside."""
    top, left = int(np.floor(y)), int(np.floor(z))
    total = np.zeros(x.shape[-1])
    for r, s in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= r < x.shape[0] and 0 <= s < x.shape[1]:
            total += (1 - abs(y - r)) * (1 - abs(z - s)) * x[r, s]
    return total


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("c", CHANNELS)
def test_grid_sample_linear(isa, c, threads):
    rng = np.random.default_rng(c)
    x, y = Image.random(rng, 2, 6, 5, c), Image(2, 3, 70, c, 2, output=True)
    grid = rng.uniform(-1.4, 1.4, (2, 3, 70, 2)).astype(np.float32)
    assert run_step("grid_sample", [y.buffer, x.buffer, Guarded(grid)], threads=threads, n=2, c=c, axes=2, **{"in": [1, 6, 5]},
                    out=[1, 3, 70], mode=1, padding=0, align_corners=1, y_strides=volume_strides(y), x_strides=volume_strides(x)) == 0
    y.check_gaps()
    wanted = np.array([bilinear(x.array[n], (g[1] + 1) / 2 * 5, (g[0] + 1) / 2 * 4) for n in range(2) for g in grid[n].reshape(-1, 2)])
    assert_close(y.array, wanted.reshape(y.array.shape), 3e-6)


REGIONS = np.array([[0.5, 1, 4, 5], [-3, -2, 3, 20], [2, 2, 2, 2], [8, 8, 9, 9]], np.float32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ratio", [0, 1, 5])
@pytest.mark.parametrize("c", CHANNELS)
def test_roi_align_mean(isa, c, ratio, threads):
    rng = np.random.default_rng(c)
    x, y, images = Image.random(rng, 2, 7, 9, c), Image(4, 3, 2, c, 2, output=True), np.array([0, 1, 1, 0])
    run_image_step("roi_align", y, x, Guarded(REGIONS), Guarded(images), threads=threads, n=4, images=2, c=c, ih=7, iw=9, oh=3, ow=2,
                   sampling=ratio, half_pixel=1, scale=1.0)
    wanted = np.zeros((4, 3, 2, c))
    for r, i, j in np.ndindex(4, 3, 2):
        start, size = REGIONS[r, 1::-1] - 0.5, (REGIONS[r, 3:1:-1] - REGIONS[r, 1::-1]) / (3, 2)
        count = [ratio or int(np.ceil(s)) for s in size]
        for k, m in np.ndindex(*count):
            at = [start[a] + (o + (t + 0.5) / count[a]) * size[a] for a, o, t in ((0, i, k), (1, j, m))]
            if -1 <= at[0] <= 7 and -1 <= at[1] <= 9:
                wanted[r, i, j] += bilinear(x.array[images[r]], *(np.clip(v, 0, e) for v, e in zip(at, (6, 8)))) / np.prod(count)
    assert_close(y.array, wanted, 3e-6)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("c", CHANNELS)
def test_max_roi_pool(isa, c, threads):
    rng = np.random.default_rng(c)
    x, y = Image.random(rng, 2, 7, 9, c), Image(2, 2, 2, c, 2, output=True)
    rois = np.array([[0, 1, 1, 4, 6], [1, 20, 20, 30, 30]], np.float32)
    run_image_step("max_roi_pool", y, x, Guarded(rois), threads=threads, n=2, images=2, c=c, ih=7, iw=9, oh=2, ow=2, scale=1.0)
    for i, j in np.ndindex(2, 2):
        np.testing.assert_array_equal(y.array[0, i, j], x.array[0, (1, 4)[i]:(4, 7)[i], (1, 3)[j]:(3, 5)[j]].max((0, 1)))
    assert not y.array[1].any()


@pytest.mark.parametrize("threads", [1, 2])
def test_col2im(isa, threads):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 3, 2, 3, 4)).astype(np.float32), Guarded(np.zeros((3, 6, 7), np.float32), output=True)
    assert run_step("col2im", [y, Guarded(x)], threads=threads, planes=3, image=[1, 6, 7], block=[1, 3, 2], blocks=[1, 3, 4],
                    strides=[1, 2, 1], dilations=[1, 1, 3], before=[0, 1, 0]) == 0
    wanted = np.zeros((3, 10, 10))
    for r, s, i, j in np.ndindex(3, 2, 3, 4):
        wanted[:, 2 * i + r, j + 3 * s] += x[:, r, s, i, j]
    assert_close(y.array, wanted[:, 1:7, :7], 3e-6)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("room", [37, 40], ids=["rows joined", "rows apart"])
@pytest.mark.parametrize("groups, offset_groups, ic, oc", [(1, 1, 5, 7), (1, 2, 34, 40), (2, 1, 16, 17), (3, 3, 2, 3)])
def test_deform_conv(isa, groups, offset_groups, ic, oc, room, masked, threads):
    rng = np.random.default_rng(ic)
    c, m, taps = groups * ic, groups * oc, 6
    x, y = Image.random(rng, 2, 8, 9, c), Image(2, 4, room, m, 2, output=True)
    offset, mask = Image.random(rng, 2, 4, 37, offset_groups * taps * 2), Image.random(rng, 2, 4, 37, offset_groups * taps)
    w, bias = rng.standard_normal((m, ic, 3, 2)).astype(np.float32), rng.standard_normal(m).astype(np.float32)
    rows = np.ascontiguousarray(w.transpose(0, 2, 3, 1).reshape(groups, oc, taps * ic))
    packed = np.concatenate([_native.pack_gemm_b(group, False, 2) for group in rows])
    run_image_step("deform_conv", y, x, Guarded(packed), Guarded(bias), offset.buffer, mask.buffer if masked else None,
                   threads=threads, n=2, kh=3, kw=2, sh=2, sw=1, dh=1, dw=3, pt=1, pl=2, ih=8, iw=9, oh=4, ow=37,
                   groups=groups, ic=ic, oc=oc, offset_groups=offset_groups, nv=2,
                   **offset.place("o"), **(mask.place("m") if masked else {}))
    wanted, width = np.tile(bias.astype(np.float64), (2, 4, 37, 1)), c // offset_groups
    for n, i, j in np.ndindex(2, 4, 37):
        row = np.zeros((3, 2, c))
        for g, r, s in np.ndindex(offset_groups, 3, 2):
            t = (g * 3 + r) * 2 + s
            at = offset.array[n, i, j, 2 * t:2 * t + 2].astype(np.float64) + (2 * i - 1 + r, j - 2 + 3 * s)
            part = slice(g * width, (g + 1) * width)
            row[r, s, part] = bilinear(x.array[n, :, :, part], *at) * (mask.array[n, i, j, t] if masked else 1)
        for g in range(groups):
            wanted[n, i, j, g * oc:(g + 1) * oc] += np.einsum("mcrs,rsc->m", w[g * oc:(g + 1) * oc], row[..., g * ic:(g + 1) * ic])
    assert_close(y.array[:, :, :37], wanted, 1e-5)
    assert (y.array[:, :, 37:] == POISON).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_pack_weights_as_constants_are(isa, threads):
    w = np.random.default_rng(0).standard_normal((3, 21, 18)).astype(np.float32)
    wanted = np.concatenate([_native.pack_gemm_b(group, False, 2) for group in w])
    packed = Guarded(np.zeros(wanted.size, np.float32), output=True)
    assert run_step("pack_weights", [packed, Guarded(w)], threads=threads, groups=3, oc=21, k=18, nv=2) == 0
    np.testing.assert_array_equal(packed.array, wanted)
