"""Normalisation steps against their formulas in float64, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from images import CHANNELS, Image, run_image_step
from single_node import single_node
from step_helper import Guarded, assert_close, run_step, unary_number

import fastcnn

RNG = np.random.default_rng(0)


def vector(n: int) -> Guarded:
    return Guarded(RNG.standard_normal(n).astype(np.float32))


# ---- lrn ----

def lrn(n: int, c: int, h: int, w: int, size: int, beta: float, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(c)
    x, y = Image.random(rng, n, h, w, c), Image(n, h, w, c, 2, output=True)
    x.array[...] *= 10
    got = run_image_step("lrn", y, x, threads=threads, n=n, c=c, h=h, w=w, size=size, alpha=0.01, beta=beta, bias=1.5)
    wide = x.array.astype(np.float64)
    sums = np.stack([(wide[..., max(0, k - (size - 1) // 2):k + size // 2 + 1] ** 2).sum(-1) for k in range(c)], -1)
    return got, wide / (1.5 + 0.01 / size * sums) ** beta


@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, 0.6])
@pytest.mark.parametrize("size", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("c", CHANNELS)
def test_lrn(isa, c, size, beta):
    got, wanted = lrn(2, c, 2, 11, size, beta)
    assert_close(got, wanted, 2e-6)


def test_lrn_same_bits_for_any_number_of_threads(isa):
    alone = lrn(2, 33, 7, 9, 5, 0.75)[0]
    for threads in (2, 3):
        np.testing.assert_array_equal(lrn(2, 33, 7, 9, 5, 0.75, threads)[0], alone)


# ---- layer_norm ----

@pytest.mark.parametrize("rms", [0, 1])
@pytest.mark.parametrize("parameters", ["none", "scale", "bias", "both"])
@pytest.mark.parametrize("n", [1, 2, 7, 15, 16, 17, 64, 65, 131, 768])
def test_layer_norm(isa, n, parameters, rms):
    rows = 5
    x, y = Image.random(RNG, 1, 1, rows, n), Image(1, 1, rows, n, 2, output=True)
    x.array[...] = x.array * 3 + 20
    scale, bias = vector(n) if parameters in ("scale", "both") else None, vector(n) if parameters in ("bias", "both") else None
    assert run_step("layer_norm", [y.buffer, x.buffer, scale, bias], threads=1 + n % 3, ndim=1, shape=[rows], y_strides=[y.pixel],
                    x_strides=[x.pixel], axis=n, rms=rms, epsilon=1e-5, plane=0, planes=0) == 0
    y.check_gaps()
    wide = x.array.astype(np.float64)
    centred = wide if rms else wide - wide.mean(-1, keepdims=True)
    wanted = centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5)
    wanted = wanted * (scale.array if scale else 1.0) + (bias.array if bias else 0.0)
    if n > 1:      # one value is its own mean: what is left is rounding against epsilon
        assert_close(y.array, wanted, 1e-5)


def test_layer_norm_far_from_zero(isa):
    x = (RNG.standard_normal((3, 257)) + 1000).astype(np.float32)
    y = Guarded(np.zeros_like(x), output=True)
    assert run_step("layer_norm", [y, x, None, None], ndim=1, shape=[3], y_strides=[257], x_strides=[257], axis=257, rms=0,
                    epsilon=1e-5, plane=0, planes=0) == 0
    wide = x.astype(np.float64)
    assert_close(y.array, (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True), 1e-4)


@pytest.mark.parametrize("offset", [0, 100])
def test_layer_norm_of_a_long_row(isa, offset):
    """Sums of a million values in float alone are off by 1e-5 of the largest one, more where the mean is far from zero."""
    x = (RNG.standard_normal(1_000_003) + offset).astype(np.float32)
    y = Guarded(np.zeros_like(x), output=True)
    assert run_step("layer_norm", [y, x, None, None], ndim=1, shape=[1], y_strides=[x.size], x_strides=[x.size], axis=x.size, rms=0,
                    epsilon=1e-5, plane=0, planes=0) == 0
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y.array, (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5), rtol=0, atol=1e-6 + 6e-8 * offset)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n, c, group, plane", [(2, 5, 1, 37), (1, 6, 3, 20), (3, 4, 2, 1)])
def test_layer_norm_of_planes(isa, n, c, group, plane, threads):
    x, y = Guarded(vector(n * c * plane).array), Guarded(np.full(n * c * plane, np.nan, np.float32), output=True)
    scale, bias, axis = vector(c), vector(c), group * plane
    assert run_step("layer_norm", [y, x, scale, bias], threads=threads, ndim=1, shape=[n * c // group], y_strides=[axis], x_strides=[axis],
                    axis=axis, rms=0, epsilon=1e-3, plane=plane, planes=c) == 0
    rows = x.array.astype(np.float64).reshape(n * c // group, axis)
    unit = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-3)
    assert_close(y.array.reshape(n, c, plane), unit.reshape(n, c, plane) * scale.array[:, None] + bias.array[:, None], 1e-5)


# ---- group_norm ----

def group_norm(n: int, c: int, h: int, w: int, group: int, fn: str = "None", parameters: bool = True, threads: int = 1, gap: int = 3,
               offset: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(c + h)
    x, y = Image.random(rng, n, h, w, c, gap=gap), Image(n, h, w, c, gap, output=True)
    x.array[...] = x.array * 3 + offset + np.arange(c) % 7
    scale, bias = (Guarded(rng.standard_normal(c).astype(np.float32)) if parameters else None for _ in range(2))
    got = run_image_step("group_norm", y, x, scale, bias, threads=threads, n=n, c=c, h=h, w=w, group=group, epsilon=1e-5,
                         fn=unary_number(fn))
    wide = x.array.astype(np.float64).reshape(n, h * w, c // group, group)
    wanted = (wide - wide.mean((1, 3), keepdims=True)) / np.sqrt(wide.var((1, 3), keepdims=True) + 1e-5)
    wanted = wanted.reshape(n, h, w, c)
    if parameters:
        wanted = wanted * scale.array + bias.array
    return got, {"None": wanted, "Relu": np.maximum(wanted, 0), "Sigmoid": 1 / (1 + np.exp(-wanted))}[fn]


@pytest.mark.parametrize("channels", [(1, 1), (8, 1), (16, 1), (17, 1), (24, 3), (64, 16), (66, 33), (7, 7)], ids=str)
@pytest.mark.parametrize("extent", [(1, 2), (7, 7), (33, 40), (130, 64)], ids=str)
def test_group_norm(isa, channels, extent):
    got, wanted = group_norm(2, channels[0], *extent, channels[1], parameters=channels[0] % 2 == 0)
    assert_close(got, wanted, 1e-5)


@pytest.mark.parametrize("fn", ["Relu", "Sigmoid"])
@pytest.mark.parametrize("gap", [0, 3])
def test_group_norm_epilogues(isa, fn, gap):
    got, wanted = group_norm(1, 20, 9, 11, 1, fn, gap=gap)
    assert_close(got, wanted, 1e-5)


def test_group_norm_far_from_zero(isa):
    for group, offset in ((1, 1000.0), (8, -1000.0), (16, 30000.0)):
        got, wanted = group_norm(1, 16, 64, 64, group, offset=offset)
        assert_close(got, wanted, 3e-7 * abs(offset))


@pytest.mark.parametrize("extent", [(1, 5), (7, 7), (61, 67)], ids=str)
@pytest.mark.parametrize("offset", [100.0, -3000.0, 1e5])
def test_normalisation_of_models_far_from_zero(isa, offset, extent):
    """Sums of squares cancel there, so the mean is subtracted first: what is left is the rounding of the mean."""
    rng = np.random.default_rng(extent[1])
    x = (rng.standard_normal((2, 12, *extent)) + offset).astype(np.float32)
    scale, bias = (rng.standard_normal(12).astype(np.float32) for _ in range(2))
    wide = x.astype(np.float64)
    for name, groups, more in (("InstanceNormalization", 12, {}), ("GroupNormalization", 3, {"num_groups": 3})):
        parts = wide.reshape(2, groups, -1)
        unit = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-3)
        wanted = unit.reshape(x.shape) * scale[:, None, None] + bias[:, None, None]
        inputs = {"x": x, "scale": scale, "bias": bias}
        loaded = fastcnn.load(single_node(name, inputs, ["scale", "bias"], opset=21, epsilon=1e-3, **more))
        assert not loaded.fallback_nodes
        np.testing.assert_allclose(loaded(x), wanted, rtol=0, atol=1e-5 + 1e-6 * abs(offset), err_msg=name)


@pytest.mark.parametrize("extent", [(7, 7), (60, 41)], ids=str)
def test_group_norm_same_bits_for_any_number_of_threads(isa, extent):
    alone = group_norm(2, 33, *extent, 3)[0]
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(group_norm(2, 33, *extent, 3, threads=threads)[0], alone)
