"""ReverseSequence against onnxruntime and the formula: every axis order, element type and way to share the work."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_native, expected_outputs, feeds_of, single_node
from step_helper import Guarded, run_step

import fastcnn

RNG = np.random.default_rng(0)
TYPES = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")


def reversed_by_hand(x: np.ndarray, lengths: np.ndarray, time: int) -> np.ndarray:
    y = x.copy()
    for b, n in enumerate(lengths):
        where = (slice(n), b) if time == 0 else (b, slice(n))
        y[where] = x[where][::-1]
    return y


def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return RNG.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("inner", [1, 2, 3, 4, 5, 8, 16, 33])
@pytest.mark.parametrize("time, batch", [(1, 1), (1, 4), (5, 1), (4, 3), (17, 5), (64, 7)])
def test_step(time, batch, inner, threads):
    """Every number of bytes a step, with lengths from 0 to all."""
    lengths = np.resize([time, 0, 1, time // 2, max(time - 1, 0)], batch).astype(np.int64)
    for first in (0, 1):
        x = numbers((time, batch, inner) if first else (batch, time, inner), "uint8")
        y = Guarded(np.zeros_like(x), output=True)
        assert run_step("reverse_sequence", [y, Guarded(x), lengths], threads=threads, time=time, batch=batch, time_first=first,
                        inner_bytes=inner) == 0
        np.testing.assert_array_equal(y.array, reversed_by_hand(x, lengths, 1 - first))


@pytest.mark.parametrize("lengths", [[5, 1], [-1, 1]], ids=str)
def test_step_refuses_lengths_outside(lengths):
    x = numbers((4, 2), "float32")
    assert run_step("reverse_sequence", [x.copy(), x, np.array(lengths, np.int64)], time=4, batch=2, time_first=1, inner_bytes=4) == 1


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(4, 3), (7, 2, 5), (3, 6, 2, 2), (2, 3, 1, 2, 1, 2, 1, 2, 1, 3)], ids=str)
@pytest.mark.parametrize("time", [0, 1])
def test_operator(time, shape, dtype):
    lengths = RNG.integers(1, shape[time] + 1, shape[1 - time])
    given = {"x": numbers(shape, dtype), "n": lengths}
    check_native("ReverseSequence", given, peer="onnx.reference", opset=10, time_axis=time, batch_axis=1 - time)
    if dtype != "float16":
        check_native("ReverseSequence", given, opset=10, time_axis=time, batch_axis=1 - time)


def test_lengths_known_at_load():
    x, lengths = numbers((4, 3, 2), "float32"), np.array([4, 0, 2])
    with fastcnn.load(single_node("ReverseSequence", {"x": x, "n": lengths}, ["n"], opset=10)) as loaded:
        assert not loaded.fallback_nodes
        np.testing.assert_array_equal(loaded.run(None, {"x": x})[0], reversed_by_hand(x, lengths, 0))


def test_wrong_lengths_name_the_node():
    model = single_node("ReverseSequence", {"x": numbers((4, 3), "float32"), "n": np.array([4, 1, 2])}, opset=10)
    loaded = fastcnn.load(model)
    for bad in ([5, 1, 1], [1, 1, -1]):
        with pytest.raises(fastcnn.ExecutionError, match="node 'node': an index"):
            loaded.run(None, {"x": numbers((4, 3), "float32"), "n": np.array(bad)})


@pytest.mark.parametrize("shape, lengths, attrs", [((4, 3), 4, {}), ((4,), 4, {}), ((4, 3), 3, {"time_axis": 1, "batch_axis": 1})], ids=str)
def test_what_does_not_fit_is_refused(shape, lengths, attrs):
    given = {"x": numbers(shape, "float32"), "n": np.ones(lengths, np.int64)}
    with pytest.raises(fastcnn.FastCNNError, match="ReverseSequence 'node'"):
        fastcnn.load(single_node("ReverseSequence", given, opset=10, **attrs)).run(None, given)


def test_between_other_operators():
    """Behind a convolution x lies channels last; a slice of the result is read further."""
    from graph_helper import model, node
    given = {"x": [3, 4, 5, 5]}
    proto = model([node("Conv", ["x", "w"], ["c"]), node("ReverseSequence", ["c", "n"], ["r"], time_axis=1, batch_axis=0),
                   node("Relu", ["r"], ["y"])], given, ["y"], {"w": RNG.standard_normal((6, 4, 3, 3)).astype(np.float32),
                                                               "n": np.array([6, 1, 4])})
    feeds = feeds_of(proto, {"x": RNG.standard_normal((3, 4, 5, 5)).astype(np.float32)})
    loaded = fastcnn.load(proto)
    np.testing.assert_allclose(loaded.run(None, feeds)[0], expected_outputs(proto, feeds)[0], atol=1e-5)
    assert not loaded.fallback_nodes
