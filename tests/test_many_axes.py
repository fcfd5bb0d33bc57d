"""Tensors of more axes than steps walk (8), letters name (26) and numpy broadcasts (32): computed all the same, in the fallback."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model
from onnx import helper

import fastcnn
from fastcnn.budget import MAX_RANK

node = helper.make_node
pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
F32 = np.float32


def ranks(*those: int) -> list:
    """Those numbers of axes, skipped where numpy has no arrays of so many."""
    return [pytest.param(rank, marks=pytest.mark.skipif(rank > MAX_RANK, reason=f"numpy {np.__version__} has at most {MAX_RANK} axes"))
            for rank in those]


def pairs(rank: int) -> np.ndarray:
    """Different numbers, two along each axis."""
    return np.arange(2 ** rank, dtype=F32).reshape((2,) * rank)


def softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)


def every_second(rank: int, value: int) -> np.ndarray:
    return np.array([value, 1] * rank)[:rank]


CASES = {
    "Transpose": (["t"], {}, {}, lambda t, x: t), "Neg": (["t"], {}, {}, lambda t, x: -t), "Add": (["t", "x"], {}, {}, lambda t, x: t + x),
    "Concat": (["t", "x"], {}, {"axis": 3}, lambda t, x: np.concatenate([t, x], 3)),
    "MatMul": (["t", "x"], {}, {}, lambda t, x: t @ x),
    "Flatten": (["t"], {}, {"axis": 2}, lambda t, x: t.reshape(4, -1)),
    "Softmax": (["t"], {}, {}, lambda t, x: softmax(t)),
    "Gather": (["t", "i"], {"i": np.array([1, 0, 0])}, {"axis": 2}, lambda t, x: t.take([1, 0, 0], 2)),
    "Slice": (["t", "s", "e", "a"], {"s": np.array([1, 0]), "e": np.array([2, 1]), "a": np.array([1, 4])}, {},
              lambda t, x: t[:, 1:, :, :, :1]),
    "ReduceSum": (["t", "a"], {"a": np.array([1, 3, 5])}, {}, lambda t, x: t.sum((1, 3, 5), keepdims=True)),
    "Tile": (["t", "r"], {"r": None}, {}, lambda t, x: np.tile(t, every_second(t.ndim, 3)))}


@pytest.mark.parametrize("rank", [8, 9, 12])
@pytest.mark.parametrize("kind", CASES)
def test_as_many_axes_as_there_are(kind, rank):
    inputs, constants, attrs, expected = CASES[kind]
    constants = {name: every_second(rank, 3) if value is None else value for name, value in constants.items()}
    turned = node("Transpose", ["x"], ["t"], perm=[*range(rank)[::-1]], name="turn")
    proto = model([turned, node("Identity" if kind == "Transpose" else kind, inputs, ["y"], name="n", **attrs)], {"x": [2] * rank}, ["y"],
                  constants)
    (y,) = fastcnn.load(proto).run(None, {"x": pairs(rank)})
    np.testing.assert_allclose(y, expected(pairs(rank).T, pairs(rank)), rtol=1e-6)


@pytest.mark.parametrize("rank", ranks(9, 33, 64))
def test_axes_of_one_element_are_as_good_as_none(rank):
    """A row and a column among them."""
    row, column = np.arange(3, dtype=F32).reshape(3, *[1] * (rank - 1)), np.arange(2, dtype=F32).reshape(*[1] * (rank - 1), 2)
    proto = model([node("Add", ["x", "c"], ["s"]), node("Expand", ["s", "w"], ["e"]), node("Gather", ["e", "i"], ["y"], axis=0)],
                  {"x": list(row.shape), "i": [1]}, ["y"], {"c": column, "w": np.array(column.shape)}, types={"i": 7})
    (y,) = fastcnn.load(proto).run(None, {"x": row, "i": np.array([2])})
    np.testing.assert_array_equal(y, (row + column)[2:])


@pytest.mark.parametrize("rank", ranks(28, 29, 40, 64))
def test_matrices_in_more_batches_than_there_are_letters(rank):
    """Moved elements times constants: unshared convolution is looked for."""
    shape = (1, 2, 2, 2, *[1] * (rank - 6), 2, 2)
    w = np.ones((*shape[:-2], 2, 3), F32)
    nodes = [node("Reshape", ["x", "s"], ["r"]), node("MatMul", ["r", "w"], ["y"])]
    (y,) = fastcnn.load(model(nodes, {"x": [32]}, ["y"], {"s": np.array(shape), "w": w})).run(None, {"x": pairs(5).reshape(-1)})
    np.testing.assert_array_equal(y, pairs(5).reshape(shape) @ w)


def test_more_axes_than_numpy_has_are_refused_when_shapes_are_known():
    shape = np.array([3] + [1] * MAX_RANK)
    with pytest.raises(fastcnn.FastCNNError, match=f"'turn'.*{MAX_RANK + 1} axes, at most {MAX_RANK}"):
        fastcnn.load(model([node("Reshape", ["x", "s"], ["r"], name="turn"), node("Relu", ["r"], ["y"])], {"x": [3]}, ["y"], {"s": shape}))
