"""Norms, means and variances of numbers whose squares or sums float32 cannot hold, against float64, at every instruction set."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from graph_helper import model, node
from single_node import single_node

import fastcnn

F = np.float32
X = np.random.default_rng(0).standard_normal((2, 6, 5, 40))
# What ordinary numbers are multiplied by: squares vanish, are denormal, overflow; sums overflow too.
SCALES = [1e-37, 1e-30, 1e-20, 1e-12, 1.0, 1e12, 1e19, 1e25, 1e37]


def over(norm: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)


def norm(x: np.ndarray, p: float, axes: Any) -> np.ndarray:
    return (np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p)


def normalised(x: np.ndarray, axes: Any, centred: bool = True) -> np.ndarray:
    d = x - x.mean(axes, keepdims=True) if centred else x
    return d / np.sqrt((d * d).mean(axes, keepdims=True))


def windows(x: np.ndarray, p: float) -> np.ndarray:
    """Lp norms of windows of 2x3."""
    return sum(np.abs(x[:, :, i:4 + i, j:38 + j]) ** p for i in range(2) for j in range(3)) ** (1 / p)


@dataclass(frozen=True)
class Case:
    """An operator with its float64 definition; further inputs are constants."""

    op: str
    wanted: Callable[[np.ndarray], np.ndarray]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 17
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.op}-{self.attrs}"


ONES, ZEROS = np.ones(6, F), np.zeros(6, F)
CASES = [
    *(Case("LpNormalization", lambda x, p=p, a=a: over(norm(x, p, a), x), {"p": p, "axis": a}) for p in (1, 2) for a in (-1, 1, 2)),
    *(Case("ReduceL2", lambda x, a=a: norm(x, 2, tuple(a)), {"axes": a}, 13) for a in ([-1], [1], [2, 3], [0, 1, 2, 3])),
    *(Case("ReduceMean", lambda x, a=a: x.mean(tuple(a), keepdims=True), {"axes": a}, 13) for a in ([-1], [1])),
    *(Case("ReduceLogSum", lambda x, a=a: np.log(x.sum(tuple(a), keepdims=True)), {"axes": a}, 13, positive=True) for a in ([-1], [1])),
    *(Case("LpPool", lambda x, p=p: windows(x, p), {"p": p, "kernel_shape": [2, 3]}, 11) for p in (1, 2, 3)),
    Case("GlobalLpPool", lambda x: norm(x, 2, (2, 3))),
    Case("LayerNormalization", lambda x: normalised(x, -1), {"epsilon": 0.0}, 17, {"scale": np.ones(40, F)}),
    Case("RMSNormalization", lambda x: normalised(x, -1, centred=False), {"epsilon": 0.0}, 23, {"scale": np.ones(40, F)}),
    Case("InstanceNormalization", lambda x: normalised(x, (2, 3)), {"epsilon": 0.0}, 17, {"scale": ONES, "bias": ZEROS}),
    Case("GroupNormalization", lambda x: normalised(x.reshape(2, 2, -1), -1).reshape(x.shape), {"epsilon": 0.0, "num_groups": 2}, 21,
         {"scale": ONES, "bias": ZEROS}),
]


def run(case: Case, x: np.ndarray) -> np.ndarray:
    proto = single_node(case.op, {"x": x, **case.constants}, list(case.constants), opset=case.opset, **case.attrs)
    with fastcnn.load(proto) as loaded:
        y, = loaded.run(None, {"x": x})
        assert not loaded.fallback_nodes
    return y


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_scaled(case: Case, scale: float, isa: str) -> None:
    x = ((np.abs(X) if case.positive else X) * scale).astype(F)
    wanted = case.wanted(x.astype(np.float64))
    got = run(case, x).astype(np.float64)
    beyond = np.abs(wanted) > np.finfo(F).max
    assert (np.isinf(got) == beyond).all()
    worst = np.abs(got - wanted)[~beyond].max(initial=0)
    assert worst <= 2e-6 * np.abs(wanted[~beyond]).max(initial=0) + np.finfo(F).smallest_subnormal


@pytest.mark.parametrize("case", [c for c in CASES if c.op in ("LpNormalization", "ReduceL2", "LpPool", "GlobalLpPool", "ReduceMean")],
                         ids=str)
def test_zeros_stay_zeros(case: Case, isa: str) -> None:
    assert (run(case, np.zeros(X.shape, F)) == 0).all()


def test_groups_of_all_sizes_side_by_side(isa: str) -> None:
    """One row decides nothing for the next."""
    factors = np.array([1e-37, 1e-20, 1, 1e20, 1e37, 0])[None, :, None, None]
    x = (X * factors).astype(F)
    wide = x.astype(np.float64)
    for case in CASES[:6]:
        if case.attrs["axis"] != 1:
            assert np.abs(run(case, x) - case.wanted(wide)).max() <= 2e-6
    across = Case("ReduceL2", lambda v: norm(v, 2, (2, 3)), {"axes": [2, 3]}, 13)
    np.testing.assert_allclose(run(across, x), across.wanted(wide), rtol=2e-6)


def test_what_is_not_finite_stays_so(isa: str) -> None:
    x = X.astype(F)
    x[0, 0, 0, 0], x[1, 1, 0, 0] = np.nan, np.inf
    y = run(Case("ReduceL2", np.abs, {"axes": [-1]}, 13), x)[..., 0]
    assert np.isnan(y[0, 0, 0]) and np.isinf(y[1, 1, 0]) and np.isfinite(y).sum() == y.size - 2
    y = run(CASES[3], x)
    assert np.isnan(y[0, 0, 0]).all() and np.isnan(y[1, 1, 0, 0]) and (y[1, 1, 0, 1:] == 0).all()


def test_after_a_convolution_channels_last(isa: str) -> None:
    """The kernels for pixels, where channels follow each other."""
    w = np.eye(6, dtype=F)[:, :, None, None]
    for scale in (1e-30, 1.0, 1e25):
        x = (X * scale).astype(F)
        wide = x.astype(np.float64)
        for tail, wanted in ((node("InstanceNormalization", ["c", "s", "b"], ["n"], epsilon=0.0), normalised(wide, (2, 3))),
                             (node("LpNormalization", ["c"], ["n"], axis=1), over(norm(wide, 2, 1), wide))):
            nodes = [node("Conv", ["x", "w"], ["c"]), tail, node("Conv", ["n", "w"], ["y"])]
            y, = fastcnn.load(model(nodes, {"x": x.shape}, ["y"], {"w": w, "s": ONES, "b": ZEROS}, 17)).run(None, {"x": x})
            assert np.abs(y - wanted).max() <= 3e-6 * np.abs(wanted).max()


CENTRED = ("LayerNormalization", "InstanceNormalization", "GroupNormalization")


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("case", [c for c in CASES if c.op in CENTRED], ids=str)
def test_a_large_offset_leaves_the_variance(case: Case, offset: float, isa: str) -> None:
    """What float32 holds of x is normalised as float64 would: the rounding of the mean is taken back."""
    x = (X + offset).astype(F)
    wanted = case.wanted(x.astype(np.float64))
    assert np.abs(run(case, x) - wanted).max() <= 3e-6 * np.abs(wanted).max()


def test_sums_that_pass_through_infinity() -> None:
    x = np.array([[3e38, 3e38, -3e38]], F)
    for op, wanted in (("ReduceSum", 3e38), ("ReduceMean", 1e38), ("ReduceL2", np.inf), ("ReduceL1", np.inf)):
        proto = single_node(op, {"x": x, "axes": np.array([1])}, ["axes"], opset=18)
        np.testing.assert_allclose(fastcnn.load(proto).run(None, {"x": x})[0], [[wanted]], rtol=1e-6)


def test_products_that_pass_through_infinity_and_zero() -> None:
    x = np.array([[1e30, 1e30, 1e-30], [1e-30, 1e-30, 1e30], [2, 0, 3]], F)
    proto = single_node("ReduceProd", {"x": x, "axes": np.array([1])}, ["axes"], opset=18)
    np.testing.assert_allclose(fastcnn.load(proto).run(None, {"x": x})[0], [[1e30], [1e-30], [0]], rtol=1e-6)
