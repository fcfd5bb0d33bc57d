"""Reductions against float64: every kind, every set of axes, layouts, long sums, threads."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View

from fastcnn import _native

KINDS = {
    "Sum": np.sum, "Mean": np.mean, "Max": np.max, "MaxNumber": np.max, "Min": np.min, "Prod": np.prod,
    "L1": lambda x, axis: np.abs(x).sum(axis),
    "L2": lambda x, axis: np.sqrt((x * x).sum(axis)), "SumSquare": lambda x, axis: (x * x).sum(axis), "LogSum": lambda x,
    axis: np.log(x.sum(axis)),
    "LogSumExp": lambda x, axis: np.logaddexp.reduce(x.reshape(x.shape), axis) if isinstance(axis, int) else np.log(np.exp(x).sum(axis)),
}


def reduce(kind: str, x: View, axes: tuple[int, ...], threads: int = 1) -> np.ndarray:
    kept = [d for d in range(x.array.ndim) if d not in axes]
    shape = tuple(x.array.shape[d] for d in kept)
    y = Guarded(np.zeros(shape, np.float32), output=True)
    strides = tuple(int(np.prod(shape[k + 1:])) for k in range(len(shape)))
    run_step("reduce", [y, x.buffer], threads, ndim=len(shape), shape=shape, y_strides=strides, x_strides=[x.strides[d] for d in kept],
             reduced_ndim=len(axes), reduced=[x.array.shape[d] for d in axes], reduced_strides=[x.strides[d] for d in axes],
             kind=_native.REDUCE[kind], wide=0)
    return y.data.reshape(shape).copy()


def values(kind, shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return (np.exp(x / 8) if kind in ("Prod", "LogSum") else x).astype(np.float32)


def test_every_kind_has_a_case():
    assert KINDS.keys() == _native.REDUCE.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [a for n in range(4) for a in itertools.combinations(range(3), n)])
def test_axes_and_layouts(kind, axes, isa):
    for shape in ((2, 5, 37), (4, 67, 3), (3, 1, 16)):
        for order in ((0, 1, 2), (0, 2, 1), (2, 1, 0)):
            x = View(values(kind, shape), order)
            expected = KINDS[kind](x.array.astype(np.float64), axes)
            np.testing.assert_allclose(reduce(kind, x, axes), expected, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 15, 16, 17, 63, 64, 65, 4096, 4097, 50_000])
@pytest.mark.parametrize("kind", ["Sum", "Max", "Min", "L2", "LogSumExp", "Prod"])
def test_rows_of_any_length(kind, n, isa):
    x = View(values(kind, (2, n)) if kind != "Prod" else (values(kind, (2, n)) ** (1 / max(1, n / 16))).astype(np.float32))
    np.testing.assert_allclose(reduce(kind, x, (1,)), KINDS[kind](x.array.astype(np.float64), 1),
                               rtol=n * 6e-8 + 3e-6 if kind == "Prod" else 3e-6, atol=3e-5)


@pytest.mark.parametrize("hw, c, pitch",
                         [(49, 512, 528), (196, 24, 0), (1, 40, 0), (12544, 17, 20), (7, 63, 64), (129, 65, 0), (300, 1, 4)])
def test_global_average_of_channels_last(hw, c, pitch, isa):
    x = View(values("Mean", (2, c, hw)), (0, 2, 1), pitch)
    expected = x.array.astype(np.float64).mean(2)
    first = reduce("Mean", x, (2,), 1)
    np.testing.assert_allclose(first, expected, atol=2e-7)
    assert first.tobytes() == reduce("Mean", x, (2,), 3).tobytes()


def test_long_sums_stay_accurate(isa):
    """A running float would be off by 1e-3 here."""
    x = np.full((1, 1 << 22), np.float32(0.1))
    np.testing.assert_allclose(reduce("Sum", View(x), (1,)), x.astype(np.float64).sum(1), rtol=1e-5)
    np.testing.assert_allclose(reduce("Sum", View(x.reshape(1, -1, 2)), (1,)), x.reshape(1, -1, 2).astype(np.float64).sum(1), rtol=1e-5)


def test_log_sum_exp_is_stable(isa):
    x = np.array([[1000, 1000, 999], [-1000, -1001, -1000], [np.inf, 0, 0], [-np.inf, -np.inf, -np.inf]], np.float32)
    expected = [1000 + np.log(2 + np.exp(-1)), -1000 + np.log(2 + np.exp(-1)), np.inf, -np.inf]
    np.testing.assert_allclose(reduce("LogSumExp", View(x), (1,)), expected, rtol=1e-6)
    np.testing.assert_allclose(reduce("LogSumExp", View(x, (1, 0)), (1,)), expected, rtol=1e-6)


@pytest.mark.parametrize("kind, identity", [("Sum", 0), ("Prod", 1), ("Max", -np.inf), ("Min", np.inf), ("L2", 0)])
def test_empty_reductions_give_the_identity(kind, identity, isa):
    np.testing.assert_array_equal(reduce(kind, View(np.zeros((3, 0), np.float32)), (1,)), [identity] * 3)


@pytest.mark.parametrize("kind", ["Max", "Min", "Sum", "LogSumExp"])
def test_nan_anywhere_is_the_result(kind, isa):
    """As in numpy and onnxruntime; a neighbouring result without one stays what it was."""
    for n in (1, 5, 16, 33, 150, 5000):
        for at in {0, n // 2, n - 1}:
            x = values(kind, (2, n))
            x[1, at] = np.nan
            for order in ((0, 1), (1, 0)):
                got = reduce(kind, View(x, order), (1,))
                assert np.isfinite(got[0]) and np.isnan(got[1]), (n, at, order)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_norms_as_doubles_and_what_they_divide(order, threads, isa):
    """y = x / (norm * factor + epsilon), a norm a row; 0 by 0 is 0."""
    rows = np.array([1e-40, 1e-30, 1, 1e25, 1e38, 0])[:, None]
    x = View((np.random.default_rng(0).normal(size=(6, 300)) * rows).astype(np.float32), order)
    wide = x.array.astype(np.float64)
    norm, y = Guarded(np.zeros(6), output=True), Guarded(np.zeros((6, 300), np.float32), output=True)
    assert run_step("reduce", [norm, x.buffer], threads, ndim=1, shape=(6,), y_strides=(1,), x_strides=(x.strides[0],), reduced_ndim=1,
                    reduced=(300,), reduced_strides=(x.strides[1],), kind=_native.REDUCE["L2"], wide=1) == 0
    np.testing.assert_allclose(norm.array, np.sqrt((wide * wide).sum(1)), rtol=2e-6)
    for factor, epsilon in ((1.0, 0.0), (0.25, 1e-9)):
        plain = Guarded(np.zeros(6, np.float32), output=True)
        assert run_step("norm_divisor", [plain, norm.data], threads, count=6, factor=factor, epsilon=epsilon) == 0
        assert run_step("norm_divide", [y, x.buffer, norm.data, plain.data], threads, ndim=2, shape=(6, 300), y_strides=(300, 1),
                        x_strides=x.strides, n_strides=(1, 0), factor=factor, epsilon=epsilon) == 0
        divisor = norm.array[:, None] * factor + float(np.float32(epsilon))
        np.testing.assert_allclose(y.array, np.divide(wide, divisor, out=np.zeros_like(wide), where=divisor != 0), rtol=1e-6, atol=1e-45)
