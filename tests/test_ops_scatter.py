"""GatherElements, GatherND, ScatterElements, ScatterND, OneHot, CumSum, CumProd as models of one node, against onnxruntime."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_native, feeds_of, single_node

import fastcnn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5, 6)).astype(np.float32)
TYPES = [np.float32, np.float64, np.int32, np.int64]


def indices(shape, extent, dtype=np.int64):
    return RNG.integers(-extent, extent, shape).astype(dtype)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [*TYPES, np.uint8, np.bool_])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_gather_elements(axis, dtype, index_dtype):
    shape = [3, 4, 5]
    shape[axis] = 9
    check_native("GatherElements", {"x": (X * 9).astype(dtype), "i": indices(shape, X.shape[axis], index_dtype)}, opset=13, axis=axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_elements(axis, dtype, reduction):
    shape = [2, 3, 4]
    shape[axis] = 3 if reduction == "none" else 7
    places = np.argsort(RNG.random((*shape[:axis], *shape[axis:][1:], X.shape[axis])), -1)[..., :3] if reduction == "none" else None
    i = indices(shape, X.shape[axis]) if places is None else np.moveaxis(places, -1, axis).reshape(shape)
    check_native("ScatterElements", {"x": (X * 9).astype(dtype), "i": i, "u": (RNG.normal(size=shape) * 3).astype(dtype)},
                 opset=18, axis=axis, reduction=reduction)


def test_scatter_by_its_old_name():
    check_native("Scatter", {"x": X, "i": np.array([[[1, 0, 2]]], np.int64), "u": np.ones((1, 1, 3), np.float32)}, opset=9, axis=2)


@pytest.mark.parametrize("batch, shape", [(0, (3, 1)), (0, (7, 2)), (0, (2, 4, 3)), (0, (1,)), (1, (4, 2)), (1, (4, 3, 1)),
                                          (2, (4, 5, 3, 1))])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_gather_nd(batch, shape, dtype):
    check_native("GatherND", {"x": (X * 9).astype(dtype), "i": indices(shape, 4)}, opset=13, batch_dims=batch)


@pytest.mark.parametrize("shape", [(3, 1), (7, 2), (2, 4, 3), (1,)])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_nd(shape, dtype, reduction):
    i = indices(shape, 4)
    if reduction == "none":
        flat = np.unique(i.reshape(-1, shape[-1]) % 4, axis=0)
        i = flat if len(shape) > 1 else i
    u = (RNG.normal(size=(*i.shape[:-1], *X.shape[i.shape[-1]:])) * 3).astype(dtype)
    check_native("ScatterND", {"x": (X * 9).astype(dtype), "i": i, "u": u}, opset=18, reduction=reduction)


@pytest.mark.parametrize("kind", ["GatherElements", "ScatterElements", "GatherND", "ScatterND"])
def test_indices_outside_are_refused(kind):
    for index in (6, -7, 2 ** 40):
        given = {"x": X[0, 0], "i": np.array([[index]] if kind.endswith("ND") else [index], np.int64)}
        if kind.startswith("Scatter"):
            given["u"] = np.ones(1, np.float32)
        model = single_node(kind, given, opset=13)
        with pytest.raises(fastcnn.ir.errors.ExecutionError, match="outside"):
            fastcnn.load(model).run(None, feeds_of(model, given))


def test_shapes_that_reach_out_are_refused():
    for kind, i in (("GatherElements", (5, 5, 6)), ("GatherND", (2, 4))):
        with pytest.raises(fastcnn.FastCNNError):
            fastcnn.load(single_node(kind, {"x": X, "i": np.zeros(i, np.int64)}, opset=13, **({"axis": 1} if kind[-1] == "s" else {})))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype, depth, values", [(np.int64, np.int64, np.float32), (np.int64, np.int64, np.int64),
                                                  (np.float32, np.int64, np.int64), (np.float32, np.float32, np.float32)])
def test_one_hot(axis, dtype, depth, values):
    given = {"i": np.array([[0, 3, -1], [4, 5, -6]], dtype), "depth": np.array(5, depth), "values": np.array([-5, 3], values)}
    check_native("OneHot", given, ["depth", "values"], opset=11, axis=axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_cum_sum(axis, exclusive, reverse, dtype):
    given = {"x": (X * 9).astype(dtype), "axis": np.array(axis, np.int32)}
    check_native("CumSum", given, ["axis"], opset=14, exclusive=exclusive, reverse=reverse)


def test_cum_sum_with_the_axis_from_the_run():
    check_native("CumSum", {"x": X, "axis": np.array(1, np.int64)}, opset=14)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_cum_prod(exclusive, reverse, dtype):
    for axis in (0, -1):
        given = {"x": (X * 3).astype(dtype), "axis": np.array(axis, np.int64)}
        check_native("CumProd", given, ["axis"], opset=26, exclusive=exclusive, reverse=reverse, peer="onnx.reference")
