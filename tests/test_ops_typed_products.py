"""Gemm, MatMul, Conv and Einsum of doubles and integers as models of one node."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_native

RNG = np.random.default_rng(0)


def numbers(shape, dtype=np.float64):
    return np.asarray(RNG.normal(size=shape) * (1 if np.dtype(dtype).kind == "f" else 9)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.uint32, np.uint64], ids=lambda t: np.dtype(t).name)
@pytest.mark.parametrize("a, b", [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)),
                                  ((2, 1, 3, 4), (6, 4, 5)), ((2, 3, 4), (4, 5))])
@pytest.mark.parametrize("known", [False, True])
def test_matmul(dtype, a, b, known):
    given = {"a": np.abs(numbers(a, dtype)), "b": np.abs(numbers(b, dtype))}
    check_native("MatMul", given, ["b"] if known else [], opset=13, rtol=1e-13)


@pytest.mark.parametrize("attrs", [{}, {"transA": 1}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}], ids=str)
@pytest.mark.parametrize("c", [None, (5,), (3, 1), (3, 5)])
@pytest.mark.parametrize("known", [False, True])
def test_gemm(attrs, c, known):
    given = {"a": numbers((4, 3) if "transA" in attrs else (3, 4)), "b": numbers((5, 4) if "transB" in attrs else (4, 5)),
             "c": None if c is None else numbers(c)}
    check_native("Gemm", given, ["b"] + ["c"] * (c is not None) if known else [], opset=13, rtol=1e-13, **attrs)


@pytest.mark.parametrize("x, w, attrs", [
    ((2, 3, 9), (4, 3, 3), {}), ((2, 3, 9, 8), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 6, 9, 8), (4, 3, 3, 2), {"group": 2, "strides": [2, 1]}),
    ((2, 4, 9, 8), (4, 1, 3, 3), {"group": 4, "dilations": [2, 1], "pads": [0, 1, 2, 0]}),
    ((1, 2, 5, 6, 4), (3, 2, 3, 2, 1), {"auto_pad": "SAME_UPPER"})],
    ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_conv(x, w, attrs, bias):
    given = {"x": numbers(x), "w": numbers(w), "b": numbers(w[0]) if bias else None}
    check_native("Conv", given, ["w"], opset=11, rtol=1e-13, peer="onnx.reference", **attrs)
    check_native("Conv", given, opset=11, rtol=1e-13, peer="onnx.reference", **attrs)


@pytest.mark.parametrize("equation, shapes", [("ij,jk", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("ij->i", [(3, 4)]),
                                              ("...ii->...i", [(2, 3, 3)]), ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)])])
@pytest.mark.parametrize("dtype", [np.float64, np.int64], ids=lambda t: np.dtype(t).name)
def test_einsum(equation, shapes, dtype):
    check_native("Einsum", {f"x{k}": numbers(s, dtype) for k, s in enumerate(shapes)}, opset=12, rtol=1e-13, equation=equation,
                 peer="onnx.reference")
