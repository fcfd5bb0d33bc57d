"""Elementwise functions of fp32 against float64, at every instruction set: accuracy, special values, sizes, strides, threads."""
from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from step_helper import Guarded, run_step, unary_number

from fastcnn import _native
from fastcnn.operators.cards import CARDS

erf = np.vectorize(math.erf, otypes=[np.float64])
sigmoid = lambda x: np.where(x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))), 1 / (1 + np.exp(-np.abs(x))))  # noqa: E731
softplus = lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))  # noqa: E731
elu = lambda x, a: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x)  # noqa: E731
gelu_inner = lambda x: math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)  # noqa: E731

# name: (alpha, beta, reference of (x, alpha, beta), bound in units in the last place, absolute bound). A result passes when it
# is within either; where one is 0 the other must hold everywhere. FLUSHED: exponentials below the smallest normal number are 0.
FLUSHED = 1.2e-38
CASES = {
    "None": (0, 0, lambda x, a, b: x, 0, 0),
    "Relu": (0, 0, lambda x, a, b: np.maximum(x, 0), 0, 0),
    "LeakyRelu": (0.01, 0, lambda x, a, b: np.where(x < 0, a * x, x), 0.51, 0),
    "Clip": (-1.5, 6, lambda x, a, b: np.clip(x, a, b), 0, 0),
    "Sigmoid": (0, 0, lambda x, a, b: sigmoid(x), 4, FLUSHED),
    "Tanh": (0, 0, lambda x, a, b: np.tanh(x), 3, 0),
    "HardSigmoid": (0.2, 0.5, lambda x, a, b: np.clip(a * x + b, 0, 1), 0.51, 6e-8),
    "HardSwish": (0, 0, lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1), 2, 2e-7),
    "Elu": (1.3, 0, lambda x, a, b: elu(x, a), 3, 0),
    "Selu": (1.6732632, 1.050701, lambda x, a, b: b * elu(x, a), 4, 0),
    "Celu": (0.7, 0, lambda x, a, b: np.maximum(x, 0) + np.minimum(0, a * np.expm1(np.minimum(x, 0) / a)), 3.5, 0),
    "Softplus": (0, 0, lambda x, a, b: softplus(x), 4, FLUSHED),
    "Softsign": (0, 0, lambda x, a, b: x / (1 + np.abs(x)), 1.6, 0),
    "Mish": (0, 0, lambda x, a, b: x * np.tanh(softplus(x)), 6, 1e-36),
    "Gelu": (0, 0, lambda x, a, b: x * 0.5 * (1 + erf(x / math.sqrt(2))), 4, 2e-7),
    "GeluTanh": (0, 0, lambda x, a, b: x * sigmoid(2 * gelu_inner(x)), 5, 2e-7),
    "Swish": (1.702, 0, lambda x, a, b: x * sigmoid(a * x), 5, 2e-7),
    "ThresholdedRelu": (0.3, 0, lambda x, a, b: np.where(x > a, x, 0), 0, 0),
    "Shrink": (0.5, 0.25, lambda x, a, b: np.where(x < -a, x + b, np.where(x > a, x - b, 0)), 0.51, 0),
    "Abs": (0, 0, lambda x, a, b: np.abs(x), 0, 0),
    "Neg": (0, 0, lambda x, a, b: -x, 0, 0),
    "Exp": (0, 0, lambda x, a, b: np.exp(x), 1.1, FLUSHED),
    "Log": (0, 0, lambda x, a, b: np.log(x), 1.1, 0),
    "Sqrt": (0, 0, lambda x, a, b: np.sqrt(x), 0.51, 0),
    "Reciprocal": (0, 0, lambda x, a, b: 1 / x, 0.51, 0),
    "Erf": (0, 0, lambda x, a, b: erf(x), 2.5, 0),
    "Floor": (0, 0, lambda x, a, b: np.floor(x), 0, 0),
    "Ceil": (0, 0, lambda x, a, b: np.ceil(x), 0, 0),
    "Round": (0, 0, lambda x, a, b: np.rint(x), 0, 0),
    "Sign": (0, 0, lambda x, a, b: np.sign(x), 0, 0),
    "Sin": (0, 0, lambda x, a, b: np.sin(x), 2, 0),
    "Cos": (0, 0, lambda x, a, b: np.cos(x), 2, 0),
    **{name: (0, 0, lambda x, a, b, f=f: f(x), 3.1, 0) for name, f in (
        ("Tan", np.tan), ("Asin", np.arcsin), ("Acos", np.arccos), ("Atan", np.arctan), ("Sinh", np.sinh), ("Cosh", np.cosh),
        ("Asinh", np.arcsinh), ("Acosh", np.arccosh), ("Atanh", np.arctanh))},
    "Affine": (0.7, -0.3, lambda x, a, b: a * x + b, 1.6, 2e-7),
    "RoundFloat16": (0, 0, lambda x, a, b: x.astype(np.float16).astype(np.float64), 0, 0),
    "RoundBfloat16": (0, 0, lambda x, a, b: x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64), 0, 0),
    "RoundClip": (-117, 138, lambda x, a, b: np.rint(np.clip(x, a, b)), 0, 0),
    "RoundTwice": (0.71, 117 + 256 * 3, lambda x, a, b: np.rint(np.clip((np.rint(np.clip(x, -117, 138)) * a).astype(np.float32), -3, 252)),
                   0, 0),
    "ScaledTanh": (1.7, 0.6, lambda x, a, b: a * np.tanh(b * x), 4.5, 0),
}
# A function without a case of its own: its card's formula and parameters, and a usual bound.
for (_, _name), _card in CARDS.items():
    if _card.function is not None and _name not in CASES:
        CASES[_name] = (*_card.call(_name, {})[1:], _card.function.formula, 4, FLUSHED)
POSITIVE_ONLY = {"Log", "Sqrt"}
TINY = float(np.finfo(np.float32).tiny)


def samples(name: str) -> np.ndarray:
    """Dense around zero, wide, the whole exponent range, denormals."""
    rng = np.random.default_rng(7)
    parts = [np.linspace(-12, 12, 24001), rng.normal(size=4000), rng.uniform(-110, 110, 8000),
             rng.choice([-1, 1], 4000) * np.exp2(rng.uniform(-126, 127, 4000)), rng.uniform(-1, 1, 100) * 2e-39, [0.625, -0.625, 3.9, -3.9]]
    x = np.concatenate(parts).astype(np.float32)
    if name in POSITIVE_ONLY:
        x = np.abs(x)
        x = x[x > 0]
    if name in ("Sin", "Cos", "Tan"):
        quarters = np.arange(-6500, 6500, dtype=np.float64) * (math.pi / 2)     # the floats beside multiples of pi/2, past 10000 too
        x = np.concatenate([x[np.abs(x) < 1e6], quarters.astype(np.float32), np.linspace(-10010, 10010, 40001, dtype=np.float32)])
    if name in ("Asin", "Acos", "Atanh"):
        x = np.concatenate([x[np.abs(x) <= 1], np.linspace(-1, 1, 5001, dtype=np.float32)])
    if name == "Acosh":
        x = np.abs(x) + 1
    if name == "Reciprocal":
        x = x[np.abs(x) > 1e-37]
    return x


def apply(name: str, x: np.ndarray, alpha: float, beta: float, threads: int = 1) -> np.ndarray:
    y = Guarded(np.zeros_like(x), output=True)
    assert run_step("unary", [y, Guarded(x)], threads, ndim=1, shape=(x.size,), y_strides=(1,), x_strides=(1,),
                    fn=unary_number(name), alpha=alpha, beta=beta) == 0
    return y.array.copy()


def reference(name: str, x: np.ndarray) -> np.ndarray:
    alpha, beta, f, _, _ = CASES[name]
    with np.errstate(all="ignore"):
        return np.asarray(f(x.astype(np.float64), float(np.float32(alpha)), float(np.float32(beta))), np.float64)


def errors(actual: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(units in the last place, absolute) of finite results; infinities must agree."""
    with np.errstate(over="ignore"):
        rounded = expected.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(actual[~finite], rounded[~finite])
    gap = np.abs(actual[finite].astype(np.float64) - expected[finite])
    spacing = np.spacing(np.maximum(np.abs(rounded[finite]), TINY)).astype(np.float64)
    return gap / spacing, gap


def test_every_function_has_a_case():
    assert CASES.keys() == _native.UNARY.keys()


@pytest.mark.parametrize("name", CASES)
def test_accuracy(name, isa):
    x = samples(name)
    alpha, beta, _, ulp_bound, abs_bound = CASES[name]
    ulps, gap = errors(apply(name, x, alpha, beta), reference(name, x))
    bad = (ulps > ulp_bound) & (gap > abs_bound)
    worst = np.argmax(np.where(bad, ulps, 0))
    assert not bad.any(), f"{bad.sum()} of {x.size}: {ulps[worst]:.3g} ulp, {gap[worst]:.3g} absolute"


@pytest.mark.parametrize("name", CASES)
def test_special_values(name, isa):
    """Infinities, NaN and zeros as the formula in float64 gives them; indeterminate forms like 0 * inf may be the limit instead."""
    alpha, beta, *_ = CASES[name]
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, -1e-45, 88.8, -88.8, -104, -150], np.float32)
    actual, expected = apply(name, x, alpha, beta), reference(name, x)
    with np.errstate(over="ignore"):
        rounded = expected.astype(np.float32)
    assert np.isnan(actual[4]) or name in ("ThresholdedRelu", "Shrink")
    for k, value in enumerate(x):
        if np.isnan(rounded[k]) or np.isinf(value):
            continue
        np.testing.assert_allclose(actual[k], rounded[k], rtol=1e-6, atol=4e-7, err_msg=f"{name}({value})")


@pytest.mark.parametrize("alpha", [1.0, 0.0, -1.0, 0.01, 3.0])
def test_swish_is_as_accurate_for_any_alpha(alpha, isa):
    """With alpha = 1 it is a function of its own: SiLU."""
    x = samples("Swish")
    expected = CASES["Swish"][2](x.astype(np.float64), float(np.float32(alpha)), 0)
    ulps, gap = errors(apply("Swish", x, alpha, 0), expected)
    bad = (ulps > 5) & (gap > 2e-7)
    assert not bad.any(), f"{bad.sum()} of {x.size}: {ulps[bad].max():.3g} ulp, {gap[bad].max():.3g} absolute"


def test_silu_at_the_ends(isa):
    """Its limit 0 below, x above, NaN of NaN; no sum of theirs is lost to a denormal."""
    y = apply("Swish", np.array([-np.inf, -3e38, -1000, -88, -87, np.inf, 3e38, 1000, np.nan, -0.0], np.float32), 1, 0)
    assert (y[:5] <= 0).all() and (np.abs(y[:5]) < 2e-36).all() and (np.abs(y[:5]) > TINY).all()
    np.testing.assert_array_equal(y[5:8], np.array([np.inf, 3e38, 1000], np.float32))
    assert np.isnan(y[8]) and y[9] == 0


LIMITS = {"Sigmoid": (1, 0), "Tanh": (1, -1), "Exp": (np.inf, 0), "Relu": (np.inf, 0), "Elu": (np.inf, -1.3), "Erf": (1, -1),
          "Softplus": (np.inf, 0), "Clip": (6, -1.5), "HardSigmoid": (1, 0), "Log": (np.inf, np.nan), "Sqrt": (np.inf, np.nan),
          "Reciprocal": (0, 0), "Abs": (np.inf, np.inf), "Sign": (1, -1), "Floor": (np.inf, -np.inf)}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_at_infinity(name, isa):
    alpha, beta, *_ = CASES[name]
    actual = apply(name, np.array([np.inf, -np.inf], np.float32), alpha, beta)
    np.testing.assert_allclose(actual, np.array(LIMITS[name], np.float32), rtol=1e-6)


@pytest.mark.parametrize("name", ["Relu", "Sigmoid", "Log", "Sin"])
def test_sizes_around_vectors(name, isa):
    v = _native.vector_length()
    rng = np.random.default_rng(3)
    for n in sorted({1, max(v - 1, 1), v, v + 1, 2 * v - 1, 2 * v, 2 * v + 1, 4 * v + 3, 37, 2047, 2048, 2049, 5003}):
        x = rng.uniform(0.1, 3, n).astype(np.float32)
        np.testing.assert_allclose(apply(name, x, 0, 0), reference(name, x), rtol=1e-6)


# shape, y strides, x strides, in elements
STRIDES = [((3, 5, 7), (35, 7, 1), (35, 7, 1)), ((3, 5, 7), (35, 7, 1), (1, 3, 15)), ((3, 5, 7), (1, 3, 15), (35, 7, 1)),
           ((4, 300), (300, 1), (1, 4)), ((4, 300), (600, 2), (300, 1)), ((2, 9), (9, 1), (0, 1)), ((6, 4), (4, 1), (1, 0)), ((), (), ()),
           ((1, 1, 5), (99, 99, 1), (77, 77, 1)), ((0, 4), (4, 1), (4, 1))]


@pytest.mark.parametrize("shape, y_strides, x_strides", STRIDES)
def test_strides(shape, y_strides, x_strides, isa):
    extent = lambda strides: 1 + sum(max(n - 1, 0) * s for n, s in zip(shape, strides))  # noqa: E731
    x = np.arange(extent(x_strides), dtype=np.float32) - 5
    y = Guarded(np.full(extent(y_strides), -9, np.float32), output=True)
    run_step("unary", [y, Guarded(x)], ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
             fn=unary_number("Relu"), alpha=0, beta=0)
    expected = np.full(y.array.size, -9, np.float32)
    for index in np.ndindex(*shape):
        expected[np.dot(index, y_strides).astype(int) if shape else 0] = max(x[np.dot(index, x_strides).astype(int) if shape else 0], 0)
    np.testing.assert_array_equal(y.array, expected)


def test_in_place(isa):
    x = np.linspace(-3, 3, 1000).astype(np.float32)
    y = Guarded(x.copy(), output=True)
    run_step("unary", [y, y], ndim=1, shape=(1000,), y_strides=(1,), x_strides=(1,), fn=unary_number("Tanh"), alpha=0, beta=0)
    np.testing.assert_allclose(y.array, np.tanh(x.astype(np.float64)), rtol=1e-6)


def test_threads_give_the_same_bits(isa):
    x = np.linspace(-9, 9, 100_003).astype(np.float32)
    for name in ("Sigmoid", "Gelu", "Log"):
        assert apply(name, x, 0, 0, 1).tobytes() == apply(name, x, 0, 0, 3).tobytes()


def test_sine_does_not_depend_on_the_neighbours_that_are_beyond_its_limit(isa):
    x = np.linspace(-9, 9, 1001).astype(np.float32)
    mixed = x.copy()
    mixed[::7] = np.array([1e5, np.inf, -np.inf, np.nan, 9999.5, 10000.5, 3e38], np.float32).repeat(21)[:mixed[::7].size]
    for name in ("Sin", "Cos"):
        alone, among = apply(name, x, 0, 0), apply(name, mixed, 0, 0)
        kept = np.arange(x.size) % 7 != 0
        np.testing.assert_array_equal(alone[kept], among[kept])
        infinite = ~np.isfinite(mixed)
        assert np.isnan(among[infinite]).all() and np.isfinite(among[~infinite]).all()
