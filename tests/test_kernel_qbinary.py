"""Elementwise steps of 8-bit values (table, qadd, qmul, qprelu) against numpy, at every instruction set."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View, broadcast_strides

SIZES = [1, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 10007]
FIELDS = {"a_factor": 0.5, "b_factor": 0.25, "a_zero": 3, "b_zero": 250, "zero": 117, "lo": 0, "hi": 255}


def values(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def expected(kind: str, a: np.ndarray, b: np.ndarray, a_factor: float, b_factor: float, a_zero: int, b_zero: int, zero: int, lo: int,
             hi: int) -> np.ndarray:
    """In float32, operation by operation: rounded to nearest even, then + zero."""
    x, y = a.astype(np.float32) - np.float32(a_zero), b.astype(np.float32) - np.float32(b_zero)
    if kind == "qprelu":
        return np.clip(np.rint(x * np.where(x < 0, b, np.float32(a_factor))) + zero, lo, hi).astype(np.uint8)
    v = x * np.float32(a_factor) + y * np.float32(b_factor) if kind == "qadd" else x * y * np.float32(a_factor)
    return np.clip(np.rint(v) + zero, lo, hi).astype(np.uint8)


def run(kind: str, y: View, a: np.ndarray, b: np.ndarray, fields: dict[str, float], threads: int = 1) -> np.ndarray:
    shape = y.array.shape
    operands = [Guarded(np.ascontiguousarray(a)), Guarded(np.ascontiguousarray(b))]
    assert run_step(kind, [y.buffer, *operands], threads, ndim=len(shape), shape=shape, y_strides=y.strides,
                    a_strides=broadcast_strides(shape, a), b_strides=broadcast_strides(shape, b), **fields) == 0
    y.check_gaps()
    return y.array


@pytest.mark.parametrize("kind", ["qadd", "qmul"])
@pytest.mark.parametrize("n", SIZES)
def test_qadd_and_qmul_of_rows_of_any_length(level: str, kind: str, n: int) -> None:
    a, b = values((2, n), n), values((2, n), n + 1)
    fields = {**FIELDS, "a_factor": 0.5 if kind == "qadd" else 2.0 ** -7}
    for threads in (1, 3):
        y = run(kind, View(np.zeros((2, n), np.uint8), pitch=n + 2, output=True), a, b, fields, threads)
        np.testing.assert_array_equal(y, expected(kind, a, b, **fields))


@pytest.mark.parametrize("kind", ["qadd", "qmul"])
@pytest.mark.parametrize("factors", [(0.5, 0.5), (0.021, 0.033), (1.7, 1e-3), (-0.3, 2.1), (1000.0, 900.0)])
@pytest.mark.parametrize("zeros", [(0, 0, 0), (117, 255, 1), (128, 0, 255)])
def test_qadd_and_qmul_round_to_even_before_the_zero_point(level: str, kind: str, factors: tuple, zeros: tuple) -> None:
    """Of all pairs; with halves as factors every second sum is a tie."""
    a, b = (np.ascontiguousarray(x).ravel() for x in np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8)))
    for lo, hi in ((0, 255), (max(zeros[2] - 4, 0), min(zeros[2] + 20, 255))):
        fields = dict(zip(FIELDS, (*factors, *zeros, lo, hi)))
        y = run(kind, View(np.zeros(a.size, np.uint8), output=True), a, b, fields)
        np.testing.assert_array_equal(y, expected(kind, a, b, **fields))


@pytest.mark.parametrize("kind", ["qadd", "qmul"])
@pytest.mark.parametrize("shape, other", [((2, 35, 24), (2, 1, 24)), ((2, 35, 24), (24,)), ((3, 5, 1500), (3, 1, 1500)), ((4, 9, 7), (1,)),
                                          ((4, 9, 7), (4, 9, 1)), ((1, 49, 672), (1, 1, 672))])
def test_qadd_and_qmul_broadcast(level: str, kind: str, shape: tuple, other: tuple) -> None:
    a, b = values(shape), values(other, 1)
    for threads in (1, 3):
        y = run(kind, View(np.zeros(shape, np.uint8), output=True), a, b, FIELDS, threads)
        np.testing.assert_array_equal(y, expected(kind, a, b, **FIELDS))


@pytest.mark.parametrize("shape, other", [((2, 35, 24), (2, 35, 24)), ((2, 35, 24), (24,)), ((3, 5, 1500), (3, 1, 1500)),
                                          ((3, 5000), (5000,)), ((4, 9, 7), (4, 9, 1)), ((1, 49, 672), (1, 1, 672)), ((3, 129), (129,)),
                                          ((2, 33), (33,))])
def test_qprelu_of_a_factor_an_element_or_a_channel(level: str, shape: tuple, other: tuple) -> None:
    x, negative = values(shape), np.random.default_rng(1).standard_normal(other, np.float32)
    negative.reshape(-1)[::3] = 0.5         # every second product is a tie
    for threads in (1, 3):
        for axes in (None, tuple(reversed(range(len(shape))))):
            y = run("qprelu", View(np.zeros(shape, np.uint8), axes, output=True), x, negative, FIELDS, threads)
            np.testing.assert_array_equal(y, expected("qprelu", x, negative, **FIELDS))


def test_qadd_in_place_and_strided(level: str) -> None:
    a, b = values((6, 50)), values((6, 50), 1)
    y = View(a, output=False)
    got = run_step("qadd", [y.buffer, y.buffer, Guarded(b)], ndim=2, shape=(6, 50), y_strides=(50, 1), a_strides=(50, 1),
                   b_strides=(50, 1), **FIELDS)
    assert got == 0
    np.testing.assert_array_equal(y.array, expected("qadd", a, b, **FIELDS))
    strided = run("qadd", View(np.zeros((6, 50), np.uint8), (1, 0), output=True), a, b, FIELDS)
    np.testing.assert_array_equal(strided, expected("qadd", a, b, **FIELDS))


@pytest.mark.parametrize("n", SIZES)
def test_table_looks_every_byte_up(level: str, n: int) -> None:
    table = np.random.default_rng(5).permutation(256).astype(np.uint8)
    x = values((37, n), n)
    for threads in (1, 3):
        for y, source in ((View(np.zeros(x.shape, np.uint8), pitch=n + 3, output=True), View(x, pitch=n + 1)),
                          (View(np.zeros(x.shape, np.uint8), (1, 0), output=True), View(x))):
            assert run_step("table", [y.buffer, source.buffer, Guarded(table)], threads, ndim=2, shape=x.shape, y_strides=y.strides,
                            x_strides=source.strides) == 0
            y.check_gaps()
            np.testing.assert_array_equal(y.array, table[x])


def test_table_of_all_bytes(level: str) -> None:
    table, x = np.random.default_rng(6).permutation(256).astype(np.uint8), np.tile(np.arange(256, dtype=np.uint8), 5)
    y = View(np.zeros(x.size, np.uint8), output=True)
    assert run_step("table", [y.buffer, Guarded(x), Guarded(table)], ndim=1, shape=x.shape, y_strides=(1,), x_strides=(1,)) == 0
    np.testing.assert_array_equal(y.array, table[x])
