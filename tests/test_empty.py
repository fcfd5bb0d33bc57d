"""Axes without elements, scalars and empty batches: every operator family gives what onnxruntime or the standard says, or refuses."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from graph_helper import floats, model, node
from single_node import expected_outputs, feeds_of, single_node

import fastcnn
from fastcnn.ir.errors import FastCNNError, LimitError

Arrays = Mapping[str, np.ndarray | None]
Case = tuple[str, Arrays, list[str], dict[str, Any]]


def f(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def none(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int64)


E, V, DOUBLE = f(0, 3, 8, 8), f(3), np.float32([1, 1, 2, 2])
KERNEL = {"kernel_shape": [2, 2]}


def reductions() -> list[Case]:
    found: list[Case] = []
    for kind in ("Sum", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare", "Max", "Min"):
        more = {"opset": 20 if kind in ("Max", "Min") else 18}
        found.append((f"Reduce{kind}", {"x": f(2, 0, 4), "axes": i(2)}, ["axes"], {"keepdims": 0, **more}))
        if kind != "Mean":
            found.append((f"Reduce{kind}", {"x": f(2, 0, 4), "axes": i(1)}, ["axes"], {"keepdims": 0, **more}))
            found.append((f"Reduce{kind}", {"x": f(2, 0, 4)}, [], {"keepdims": 1, **more}))
    return found


# What onnxruntime computes.
EQUAL: list[Case] = [
    *(("Conv", {"x": x, "w": w}, ["w"], attrs) for x, w, attrs in (
        (E, f(4, 3, 3, 3), {}), (f(0, 4, 8, 8), f(4, 1, 3, 3), {"group": 4}),
        (f(0, 3, 8), f(4, 3, 3), {}), (f(1, 3, 8, 8), f(0, 3, 3, 3), {}), (f(0, 3, 4, 8, 8), f(4, 3, 3, 3, 3), {}),
        (f(1, 3, 0, 8), f(4, 3, 3, 3), {"pads": [2, 1, 2, 1]}))),
    ("Conv", {"x": E, "w": f(4, 3, 3, 3)}, [], {}),
    ("ConvTranspose", {"x": E, "w": f(3, 4, 3, 3)}, ["w"], {}),
    ("DeformConv", {"x": E, "w": f(4, 3, 3, 3), "o": f(0, 18, 6, 6)}, ["w"], {"opset": 19}),
    *((kind, {"x": E}, [], KERNEL) for kind in ("MaxPool", "AveragePool", "LpPool")),
    ("MaxPool", {"x": E}, [], {**KERNEL, "outputs": 2}),
    *((kind, {"x": E}, [], {}) for kind in ("GlobalAveragePool", "GlobalMaxPool", "Flatten")),
    ("Gemm", {"a": f(0, 4), "b": f(4, 5), "c": f(5)}, ["b", "c"], {}),
    ("Gemm", {"a": f(3, 0), "b": f(0, 5), "c": f(5)}, ["b", "c"], {}),
    ("Gemm", {"a": f(3, 0), "b": f(0, 5)}, [], {}),
    ("Gemm", {"a": f(3, 4), "b": f(4, 0)}, ["b"], {}),
    *(("MatMul", {"a": a, "b": b}, [], {}) for a, b in (
        (f(2, 0, 4), f(4, 5)), (f(2, 3, 0), f(0, 5)), (f(2, 3, 4), f(4, 0)), (f(0, 3, 4), f(0, 4, 5)), (f(0), f(0)))),
    ("MatMul", {"a": f(2, 3, 0), "b": f(0, 5)}, ["b"], {}),
    *(("Concat", {"a": a, "b": b}, [], {"axis": axis}) for a, b, axis in (
        (f(2, 0, 4), f(2, 3, 4), 1), (f(0, 4), f(0, 4), 0), (f(0, 2, 3, 3), f(0, 3, 3, 3), 1))),
    *reductions(),
    *((kind, {"x": f(2, 0)}, [], {"axis": 1}) for kind in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization", "Flatten")),
    ("Softmax", {"x": f(0, 5)}, [], {"axis": 1}),
    ("Softmax", {"x": f(2, 0)}, [], {"axis": 1, "opset": 11}),
    *(("Resize", {"x": x, "roi": None, "s": DOUBLE}, ["s"], {"mode": mode}) for x in (E, f(1, 3, 0, 8)) for mode in ("nearest", "linear")),
    ("Upsample", {"x": E, "s": DOUBLE}, ["s"], {"opset": 9}),
    *((kind, {"x": f(0, 3)}, [], {}) for kind in (
        "Relu", "Sigmoid", "Exp", "IsNaN", "Dropout", "Shape", "Size", "Trilu", "NonZero", "EyeLike")),
    *((kind, {"x": f()}, [], {}) for kind in ("Relu", "Transpose", "Shape", "Size")),
    *((kind, {"a": a, "b": b}, [], {}) for kind in ("Add", "Div", "Max", "Equal", "Pow") for a, b in (
        (f(0, 3), f(3)), (f(2, 0), f(2, 1)), (f(), f(0)), (f(), f()))),
    ("Where", {"c": np.ones((0, 3), bool), "a": f(0, 3), "b": f(3)}, [], {}),
    ("Clip", {"x": f(0, 2), "lo": f(), "hi": f()}, ["lo", "hi"], {}),
    ("PRelu", {"x": E, "s": f(3, 1, 1)}, ["s"], {}),
    ("Cast", {"x": f(0, 2)}, [], {"to": 7}),
    *(("Reshape", {"x": f(0, 4), "s": s}, ["s"], more) for s, more in ((i(0, 2, 2), {}), (i(4, 0), {"allowzero": 1}), (i(2, -1), {}))),
    ("Reshape", {"x": f(1), "s": i()}, ["s"], {}),
    *(("Slice", {"x": x, "s": i(s), "e": i(e), "a": i(0), "t": i(t)}, ["s", "e", "a", "t"], {}) for x, s, e, t in (
        (f(4, 5), 3, 1, 1), (f(0, 5), 0, 9, 1), (f(0, 5), -1, -9, -1))),
    ("NonZero", {"x": np.zeros((3, 4), np.float32)}, [], {}),
    *(("Gather", {"x": x, "i": k}, [], {}) for x, k in (
        (f(4, 5), none(0)), (f(4, 5), none(2, 0)), (f(4, 0), i(1, 2)), (f(0, 5), none(0)), (f(4, 5), i(1).reshape(())))),
    ("GatherND", {"x": f(4, 5), "i": none(0, 2)}, [], {}),
    ("GatherElements", {"x": f(4, 5), "i": none(0, 5)}, [], {}),
    ("ScatterND", {"x": f(4, 5), "i": none(0, 1), "u": f(0, 5)}, [], {}),
    ("ScatterElements", {"x": f(4, 5), "i": none(0, 5), "u": f(0, 5)}, [], {}),
    ("ArgMax", {"x": f(0, 3)}, [], {"axis": 1}),
    *(("TopK", {"x": x, "k": i(k)}, ["k"], {"outputs": 2}) for x, k in ((f(2, 5), 0), (f(0, 5), 2), (f(2, 0), 0))),
    ("BatchNormalization", {"x": E, "s": V, "b": V, "m": V, "v": V}, ["s", "b", "m", "v"], {}),
    *(("InstanceNormalization", {"x": x, "s": V, "b": V}, ["s", "b"], {}) for x in (E, f(1, 3, 0, 4))),
    ("LayerNormalization", {"x": f(0, 3), "s": V, "b": V}, ["s", "b"], {}),
    ("LRN", {"x": E}, [], {"size": 3}),
    ("MeanVarianceNormalization", {"x": E}, [], {}),
    ("Transpose", {"x": f(0, 3, 4)}, [], {"perm": [2, 0, 1]}),
    ("Squeeze", {"x": f(0, 1), "a": i(1)}, ["a"], {}),
    ("Unsqueeze", {"x": f(0), "a": i(0)}, ["a"], {}),
    ("Expand", {"x": f(1, 3), "s": i(0, 3)}, ["s"], {}),
    *(("Tile", {"x": x, "r": r}, ["r"], {}) for x, r in ((f(2, 3), i(0, 2)), (f(0, 3), i(2, 2)))),
    *(("Pad", {"x": x, "p": p}, ["p"], {"mode": mode}) for x, p, mode in (
        (f(0, 3), i(1, 0, 1, 0), "constant"), (f(0, 3), i(0, 1, 0, 1), "reflect"), (f(2, 3), i(-1, 0, -1, 0), "constant"))),
    ("DepthToSpace", {"x": f(0, 4, 3, 3)}, [], {"blocksize": 2}),
    ("SpaceToDepth", {"x": f(0, 1, 4, 4)}, [], {"blocksize": 2}),
    ("Split", {"x": f(4, 2), "s": i(0, 4)}, ["s"], {"outputs": 2, "axis": 0}),
    ("Split", {"x": f(0, 4), "s": i(2, 2)}, ["s"], {"outputs": 2, "axis": 1}),
    ("CumSum", {"x": f(0, 3), "a": i(0).reshape(())}, ["a"], {}),
    ("OneHot", {"i": none(0), "d": i(4), "v": f(2)}, ["d", "v"], {}),
    *(("Einsum", {"a": a, "b": b}, [], {"equation": "ij,jk->ik"}) for a, b in ((f(0, 3), f(3, 4)), (f(2, 0), f(0, 4)))),
    ("Compress", {"x": f(4, 2), "c": np.zeros(4, bool)}, [], {"axis": 0}),
    ("ConstantOfShape", {"s": i(0, 3)}, [], {}),
    *(("NonMaxSuppression", {"b": b, "s": s, "m": i(3)}, ["m"], {}) for b, s in ((f(1, 0, 4), f(1, 1, 0)), (f(0, 5, 4), f(0, 1, 5)))),
    ("RoiAlign", {"x": f(1, 2, 5, 5), "r": f(0, 4), "b": none(0)}, [], {"output_height": 2, "output_width": 2}),
    ("MaxRoiPool", {"x": f(1, 2, 5, 5), "r": f(0, 5)}, [], {"pooled_shape": [2, 2]}),
    *(("GridSample", {"x": x, "g": g}, [], {"opset": 16}) for x, g in ((E, f(0, 4, 4, 2)), (f(1, 3, 8, 8), f(1, 0, 4, 2)))),
    ("MaxUnpool", {"x": f(0, 1, 2, 2), "i": none(0, 1, 2, 2)}, [], {**KERNEL, "strides": [2, 2]}),
    ("Col2Im", {"x": f(0, 4, 4), "s": i(3, 3), "k": i(2, 2)}, ["s", "k"], {"opset": 18}),
]
# Without elements either way: what onnxruntime refuses, and where it aborts the process, and the shapes that ONNX gives the outputs.
EMPTY: list[tuple[Case, list[tuple[int, ...]]]] = [
    (("Conv", {"x": f(1, 3, 0, 8), "w": f(4, 3, 3, 3)}, ["w"], {"pads": [1, 1, 1, 1]}), [(1, 4, 0, 8)]),
    (("MaxPool", {"x": f(1, 0, 8, 8)}, [], KERNEL), [(1, 0, 7, 7)]),
    (("GlobalAveragePool", {"x": f(1, 0, 8, 8)}, [], {}), [(1, 0, 1, 1)]),
    (("LayerNormalization", {"x": f(2, 0), "s": f(0)}, ["s"], {}), [(2, 0)]),
    (("GroupNormalization", {"x": f(0, 4, 2, 2), "s": f(4), "b": f(4)}, ["s", "b"], {"opset": 21, "num_groups": 2}), [(0, 4, 2, 2)]),
    (("OneHot", {"i": none(2), "d": i(0), "v": f(2)}, ["d", "v"], {}), [(2, 0)]),
    (("LSTM", {"x": f(3, 0, 4), "w": f(1, 8, 4), "r": f(1, 8, 2)}, ["w", "r"], {"hidden_size": 2, "outputs": 3}),
     [(3, 1, 0, 2), (1, 0, 2), (1, 0, 2)]),
]
# What has no value: a largest element of none, an element of an empty axis.
REFUSED: list[Case] = [
    ("GlobalMaxPool", {"x": f(1, 3, 0, 8)}, [], {}),
    ("ArgMax", {"x": f(2, 0)}, [], {"axis": 1}),
    ("TopK", {"x": f(2, 0), "k": i(1)}, ["k"], {"outputs": 2}),
    ("Gather", {"x": f(0, 5), "i": i(0)}, [], {}),
    ("Reshape", {"x": f(0, 4), "s": i(0, -1)}, ["s"], {}),
    *(("Pad", {"x": f(0, 3), "p": i(1, 0, 1, 0)}, ["p"], {"mode": mode}) for mode in ("edge", "reflect")),
]


def shapes_of(case: Case) -> str:
    return case[0] + "-" + "-".join("x".join(map(str, a.shape)) or "scalar" for a in case[1].values() if a is not None)


def outputs_of(case: Case) -> list[np.ndarray]:
    kind, inputs, constants, more = case
    proto = single_node(kind, inputs, constants, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)      # some go to the fallback: none takes time
        return fastcnn.load(proto, threads=2).run(None, feeds_of(proto, inputs))


@pytest.mark.parametrize("case", EQUAL, ids=shapes_of)
def test_empty_tensors_as_onnxruntime_has_them(case: Case) -> None:
    kind, inputs, constants, more = case
    proto = single_node(kind, inputs, constants, **more)
    for got, wanted in zip(outputs_of(case), expected_outputs(proto, feeds_of(proto, inputs)), strict=True):
        assert got.dtype == wanted.dtype and got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("bias", [[], [1.0, -2.0, 0.5, 3.0]])
def test_a_convolution_of_no_channels_is_its_bias(bias: list[float]) -> None:
    """onnxruntime leaves the memory of its output as it finds it."""
    inputs = {"x": f(1, 0, 8, 8), "w": f(4, 0, 3, 3), **({"b": np.float32(bias)} if bias else {})}
    (y,) = outputs_of(("Conv", inputs, [name for name in inputs if name != "x"], {}))
    np.testing.assert_array_equal(y, np.broadcast_to(np.float32(bias or [0.0] * 4)[:, None, None], (1, 4, 6, 6)))


@pytest.mark.parametrize("case, shapes", EMPTY, ids=[shapes_of(case) for case, _ in EMPTY])
def test_empty_tensors_that_onnxruntime_refuses(case: Case, shapes: list[tuple[int, ...]]) -> None:
    assert [y.shape for y in outputs_of(case)] == shapes


@pytest.mark.parametrize("case", REFUSED, ids=shapes_of)
def test_nothing_has_no_element(case: Case) -> None:
    with pytest.raises(FastCNNError, match=r"node|index"):
        outputs_of(case)


def test_a_mean_of_nothing_is_no_number() -> None:
    assert np.isnan(outputs_of(("ReduceMean", {"x": f(2, 0), "axes": i(1)}, ["axes"], {"opset": 18}))).all()


@pytest.mark.parametrize("kind, dtype", [
    *((kind, np.float32) for kind in ("Sum", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")),
    *((kind, np.int64) for kind in ("Sum", "Prod", "L1", "SumSquare"))])
def test_reducing_rows_of_nothing(kind: str, dtype: type) -> None:
    for shape in ((1 << 20, 0, 4), (4, 1 << 20, 0), (0, 4, 1 << 20)):
        (y,) = outputs_of((f"Reduce{kind}", {"x": np.ones(shape, dtype)}, [], {"opset": 18}))
        assert y.shape == (1, 1, 1)


HUGE = 1 << 40
# Without elements, but as large along another axis as no tensor that has some: every loop over that axis, of a kernel or of the fallback,
# would take hours.
ENDLESS: list[Case] = [
    ("ReduceSum", {"x": f(HUGE, 0, 4)}, [], {"opset": 18}),
    ("Relu", {"x": f(0, HUGE)}, [], {}),
    ("Attention", {"q": f(1, 2, HUGE, 0), "k": f(1, 2, 3, 0), "v": f(1, 2, 3, 4)}, [], {"opset": 23}),
    ("DequantizeLinear", {"x": none(HUGE, 0).astype(np.int8), "s": f(HUGE, 0)}, [], {"opset": 21, "axis": 0, "block_size": 1}),
    ("GridSample", {"x": f(HUGE, 0, 4, 4), "g": f(HUGE, 0, 1, 2)}, [], {"opset": 16}),
    ("Col2Im", {"x": f(HUGE, 4, 0), "s": i(3, 3), "k": i(2, 2)}, ["s", "k"], {"opset": 18}),
    ("GRU", {"x": f(HUGE, 0, 4), "w": f(1, 6, 4), "r": f(1, 6, 2)}, ["w", "r"], {"hidden_size": 2, "outputs": 2}),
    ("Reshape", {"x": f(0, 4), "s": i(0, HUGE)}, ["s"], {"opset": 14, "allowzero": 1}),
    ("ConstantOfShape", {"s": i(HUGE, 0)}, [], {}),
    ("Concat", {"x": f(1, 0), "w": np.broadcast_to(np.float32(0), (HUGE, 0))}, ["w"], {"axis": 0}),
]


@pytest.mark.parametrize("case", ENDLESS, ids=shapes_of)
def test_nothing_in_enormous_numbers_is_beyond_the_budget(case: Case) -> None:
    with pytest.raises(LimitError, match="has no elements, but takes the time"):
        outputs_of(case)


def test_an_empty_batch_between_full_ones() -> None:
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
             node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]), node("GlobalAveragePool", ["p"], ["g"]),
             node("Flatten", ["g"], ["d"]), node("Gemm", ["d", "v"], ["e"]),
             node("Softmax", ["e"], ["y"])]
    loaded = fastcnn.load(model(nodes, {"x": ["N", 3, 8, 8]}, ["y", "c"], {"w": floats(4, 3, 3, 3), "v": floats(4, 5)}))
    full = floats(2, 3, 8, 8)
    before = loaded.run(None, {"x": full})
    assert [y.shape for y in loaded.run(None, {"x": full[:0]})] == [(0, 5), (0, 4, 8, 8)]
    assert not loaded.fallback_nodes
    for again, y in zip(loaded.run(None, {"x": full}), before):
        np.testing.assert_array_equal(again, y)
