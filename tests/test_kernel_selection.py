"""The steps arg, top_k, nms, nonzero, compress, one_hot, gather and scatter by elements and tuples, cumsum, typed_reduce against numpy."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, run_step
from strided import View

from fastcnn import _native
from fastcnn.ops.layout import DTYPE_CODES

DTYPES = [np.dtype(t) for t in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")]
ADD, MAX = _native.TYPED_BINARY["Add"], _native.TYPED_BINARY["Max"]


def numbers(shape, dtype, seed=0):
    """Few different values, the largest of the type among them."""
    x = np.random.default_rng(seed).integers(-4, 5, shape)
    x = x.astype(dtype) if np.dtype(dtype).kind in "if" else np.abs(x).astype(dtype)
    top = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    x.reshape(-1)[x.size // 2] = top
    return x


def output(shape, dtype=np.int64) -> Guarded:
    return Guarded(np.zeros(shape, dtype), output=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_arg(dtype, order):
    for n in (1, 7, 256, 300):
        x = View(numbers((5, n), dtype, n), order)
        for smallest in (0, 1):
            for threads in (1, 2):
                y = output(5)
                run_step("arg", [y, x.buffer], threads, ndim=1, shape=[5], y_strides=[1], x_strides=x.strides[:1], axis=n,
                         x_axis=x.strides[1], dtype=DTYPE_CODES[dtype], smallest=smallest, last=0)
                np.testing.assert_array_equal(y.array, x.array.argmin(1) if smallest else x.array.argmax(1))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 33, 1000])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_of_floats(n, last, isa):
    """Ties, infinities and an axis in every place; the kernels fc_arg_f32_row_* and fc_arg_f32_columns_*."""
    for seed, order in enumerate([(0, 1, 2), (2, 0, 1), (1, 2, 0)]):
        x = np.random.default_rng(seed).integers(-2, 3, (3, 19, n)).astype(np.float32)
        x[0] = -np.inf
        x[1, 0] = np.inf
        x = View(x, order)
        for smallest in (0, 1):
            y = output((3, 19))
            run_step("arg", [y, x.buffer], 2, ndim=2, shape=[3, 19], y_strides=[19, 1], x_strides=x.strides[:2], axis=n,
                     x_axis=x.strides[2], dtype=DTYPE_CODES[np.dtype(np.float32)], smallest=smallest, last=last)
            ranked = -x.array if smallest else x.array
            wanted = n - 1 - ranked[..., ::-1].argmax(-1) if last else ranked.argmax(-1)
            np.testing.assert_array_equal(y.array, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("smallest", [0, 1])
def test_top_k(dtype, smallest):
    for n in (1, 9, 300):
        x = View(numbers((6, n), dtype, n))
        for k in {1, min(n, 4), n}:
            values, places = output((6, k), dtype), output((6, k))
            for threads in (1, 3):
                run_step("top_k", [values, places, x.buffer], threads, ndim=1, shape=[6], v_strides=[k], i_strides=[k], x_strides=[n],
                         axis=n, v_axis=1, i_axis=1, x_axis=1, k=k, dtype=DTYPE_CODES[dtype], smallest=smallest)
                for row, v, i in zip(x.array, values.array, places.array):
                    wanted = sorted(range(n), key=lambda j: (int(row[j]) if smallest else -int(row[j]), j))[:k]
                    np.testing.assert_array_equal(i, wanted)
                    np.testing.assert_array_equal(v, row[wanted])


def naive_nms(boxes, scores, limit, iou, lowest):
    rows = []
    for image in range(len(boxes)):
        for k in range(scores.shape[1]):
            taken = []
            for box in np.argsort(-scores[image, k], kind="stable"):
                apart = all(overlap(boxes[image, box], boxes[image, t]) <= iou for t in taken)
                if scores[image, k, box] > lowest and len(taken) < limit and apart:
                    taken.append(box)
                    rows.append((image, k, box))
    return np.array(rows, np.int64).reshape(-1, 3)


def overlap(a, b):
    size = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = size[0] * size[1] if (size > 0).all() else 0
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("limit", [1, 4, 30])
def test_nms(threads, limit):
    rng = np.random.default_rng(2)
    corner = rng.random((2, 30, 2))
    boxes = np.concatenate([corner, corner + rng.random((2, 30, 2)) / 2], -1).astype(np.float32)
    scores = rng.random((2, 3, 30)).astype(np.float32)
    y, count, counts = output((6 * limit, 3)), output(1), output(6)
    run_step("nms", [y, count, counts, Guarded(boxes), Guarded(scores), np.array([limit]), np.array([0.3], np.float32),
                     np.array([0.2], np.float32)], threads, images=2, classes=3, boxes=30, limit=limit, center=0)
    wanted = naive_nms(boxes, scores, limit, 0.3, 0.2)
    assert count.array[0] == len(wanted)
    np.testing.assert_array_equal(y.array[:len(wanted)], wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(1,), (257,), (2, 256), (3, 5, 300), (700, 1), (2, 1, 2, 511), (4, 0), (0, 3)], ids=str)
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_nonzero_of_rows_longer_and_shorter_than_a_chunk(shape, dtype, share):
    x = (np.random.default_rng(1).random(shape) < share).astype(dtype) * np.array(1 if dtype == "bool" else 3, dtype)
    wanted = np.array(np.nonzero(x))
    y, count = Guarded(np.zeros(wanted.shape, np.int64), output=True), Guarded(np.zeros(1, np.int64), output=True)
    run_step("nonzero", [y, count, Guarded(x)], ndim=len(shape), shape=shape, dtype=DTYPE_CODES[np.dtype(dtype)])
    assert count.data[0] == wanted.shape[1]
    np.testing.assert_array_equal(y.array, wanted)


@pytest.mark.parametrize("dtype", [*DTYPES, np.dtype(bool)], ids=str)
def test_nonzero_and_compress(dtype):
    x = (np.random.default_rng(3).integers(0, 3, (4, 5, 6)) - (dtype.kind in "if")).astype(dtype)
    y, count = output((3, 120)), output(1)
    run_step("nonzero", [y, count, x], ndim=3, shape=x.shape, dtype=DTYPE_CODES[dtype])
    wanted = np.array(np.nonzero(x))
    np.testing.assert_array_equal(y.data[:wanted.size].reshape(wanted.shape), wanted)
    assert count.array[0] == wanted.shape[1]
    keep = np.array([True, False, True, True])
    y, count = output((4, 4, 6), dtype), output(1)
    run_step("compress", [y, count, Guarded(x), keep], outer=4, axis=5, inner=6, length=4, elem_bytes=dtype.itemsize)
    wanted = np.compress(keep, x[:, :4], 1)
    np.testing.assert_array_equal(y.data[:wanted.size].reshape(wanted.shape), wanted)
    assert count.array[0] == 3


def elements(shape, i, x, y_of):
    """Fields that the steps by elements share, along axis 1."""
    still = lambda s: (s[0], 0, *s[2:])  # noqa: E731
    return {"ndim": len(shape), "shape": shape, "axis": x.array.shape[1], "index_bytes": i.itemsize, **y_of(still(x.strides), x.strides[1])}


def dense(shape):
    return tuple(int(np.prod(shape[k + 1:])) for k in range(len(shape)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_elements_by_index(dtype, order, index_dtype):
    x = View(numbers((4, 5, 3), dtype), order)
    i = np.random.default_rng(4).integers(-5, 5, (4, 7, 3)).astype(index_dtype)
    for threads in (1, 3):
        y = output(i.shape, dtype)
        assert run_step("gather_elements", [y, x.buffer, i], threads, elem_bytes=dtype.itemsize, **elements(
            i.shape, i, x, lambda s, a: {"x_strides": s, "x_axis": a, "y_strides": dense(i.shape), "i_strides": dense(i.shape)})) == 0
        np.testing.assert_array_equal(y.array, np.take_along_axis(x.array, i % 5, 1))
    updates = numbers(i.shape, dtype, 5) % 3
    for op in (-1, ADD, MAX):
        target = View(numbers((4, 5, 3), dtype), order, output=True)
        target.array[...] = x.array
        wanted = x.array.copy()
        for at in np.ndindex(i.shape):
            to = (at[0], i[at] % 5, at[2])
            with np.errstate(over="ignore"):
                wanted[to] = updates[at] if op < 0 else (np.add if op == ADD else np.maximum)(wanted[to], updates[at])
        assert run_step("scatter_elements", [target.buffer, i, updates], op=op, dtype=DTYPE_CODES[dtype], **elements(
            i.shape, i, target, lambda s, a: {"y_strides": s, "y_axis": a, "u_strides": dense(i.shape)})) == 0
        np.testing.assert_array_equal(target.array, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tuples_of_indices(dtype):
    x = numbers((4, 5, 3), dtype)
    i = np.random.default_rng(6).integers(-4, 4, (6, 2))
    fields = {"tuples": 6, "per_batch": 6, "batch_stride": 0, "depth": 2, "extents": [4, 5], "strides": [15, 3], "slice": 3,
              "dtype": DTYPE_CODES[dtype], "index_bytes": 8}
    for threads in (1, 2):
        y = output((6, 3), dtype)
        assert run_step("gather_nd", [y, Guarded(x), i], threads, op=-1, **fields) == 0
        np.testing.assert_array_equal(y.array, x[i[:, 0], i[:, 1]])
    updates = np.ones((6, 3), dtype)
    y = Guarded(x % 5, output=True)
    wanted = x % 5
    np.add.at(wanted, (i[:, 0], i[:, 1]), updates)
    assert run_step("scatter_nd", [y, i, updates], op=ADD, **fields) == 0
    np.testing.assert_array_equal(y.array, wanted)
    assert run_step("gather_nd", [output((6, 3), dtype), x, i + 9], op=-1, **fields) == 1
    assert run_step("scatter_nd", [y, i - 9, updates], op=-1, **fields) == 1


def test_one_hot():
    i = np.array([[0, 2, -1], [5, -3, 1]])
    for threads in (1, 2):
        y = output((2, 3, 3), np.float32)
        run_step("one_hot", [y, i, np.array([-1, 7], np.float32)], threads, outer=2, depth=3, inner=3, elem_bytes=4)
        wanted = np.where(np.where(i < 0, i + 3, i)[:, None] == np.arange(3)[:, None], 7, -1)
        np.testing.assert_array_equal(y.array, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_folds(dtype, order):
    x = View(numbers((4, 5, 6), dtype) % 4, order)
    for threads in (1, 2):
        for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
            kept = [d for d in range(3) if d not in axes]
            shape = tuple(x.array.shape[d] for d in kept)
            for op, function in ((ADD, np.sum), (MAX, np.max)):
                y = output(shape, dtype)
                run_step("typed_reduce", [y, x.buffer], threads, ndim=len(kept), shape=shape, y_strides=dense(shape),
                         x_strides=[x.strides[d] for d in kept], reduced_ndim=len(axes), reduced=[x.array.shape[d] for d in axes],
                         reduced_strides=[x.strides[d] for d in axes], op=op, dtype=DTYPE_CODES[dtype])
                np.testing.assert_array_equal(y.array, function(x.array, axes).astype(dtype))
        for exclusive, reverse in ((0, 0), (0, 1), (1, 0), (1, 1)):
            y = output((4, 5, 6), dtype)
            run_step("cumsum", [y, x.buffer, np.zeros(1, dtype)], threads, op=ADD, ndim=2, shape=[4, 6], y_strides=[30, 1],
                     x_strides=[x.strides[0], x.strides[2]],
                     axis=5, y_axis=6, x_axis=x.strides[1], dtype=DTYPE_CODES[dtype], exclusive=exclusive, reverse=reverse)
            source = x.array[:, ::-1] if reverse else x.array
            wanted = np.cumsum(source, 1).astype(dtype)
            wanted = wanted - source if exclusive else wanted
            np.testing.assert_array_equal(y.array, wanted[:, ::-1] if reverse else wanted)
            run_step("cumsum", [y, x.buffer, np.ones(1, dtype)], threads, op=_native.TYPED_BINARY["Mul"], ndim=2, shape=[4, 6],
                     y_strides=[30, 1], x_strides=[x.strides[0], x.strides[2]], axis=5, y_axis=6, x_axis=x.strides[1],
                     dtype=DTYPE_CODES[dtype], exclusive=exclusive, reverse=reverse)
            wanted = np.cumprod(np.concatenate([np.ones_like(source[:, :1]), source[:, :4]], 1) if exclusive else source, 1).astype(dtype)
            np.testing.assert_array_equal(y.array, wanted[:, ::-1] if reverse else wanted)
