"""Operators that walk axes, with inputs of 0 to 9 axes, against onnxruntime. Beyond eight axes are merged, or the fallback runs."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from single_node import expected_outputs, feeds_of, single_node

import fastcnn

EXTENTS = (2, 3, 2, 2, 1, 2, 3, 2, 2)
RANKS = range(len(EXTENTS) + 1)


def tensor(rank: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(EXTENTS[:rank]).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


Made = tuple[dict[str, np.ndarray], list[str], dict[str, object]]
# Operator, what of it -> its inputs, which of them are constants, attributes; of a rank from `least` on.
CASES: dict[str, tuple[int, Callable[[int], Made]]] = {
    "Tanh": (0, lambda r: ({"x": tensor(r)}, [], {})),
    "Clip": (0, lambda r: ({"x": tensor(r), "lo": np.float32(-0.5), "hi": np.float32(0.5)}, ["lo", "hi"], {})),
    "Cast": (0, lambda r: ({"x": tensor(r)}, [], {"to": 7})),
    "Add": (0, lambda r: ({"x": tensor(r), "b": tensor(r, 1)}, [], {})),
    "Mul, first axis": (1, lambda r: ({"x": tensor(r), "b": tensor(1).reshape(-1, *[1] * (r - 1))}, [], {})),
    "Div, last axis": (1, lambda r: ({"x": tensor(r), "b": 2 + tensor(r)[(0,) * (r - 1)]}, [], {})),
    "Sub, every other axis": (1, lambda r: ({"x": tensor(r), "b": tensor(r)[tuple(slice(9 if a % 2 else 1) for a in range(r))]}, [], {})),
    "Where": (0, lambda r: ({"c": tensor(r) > 0, "x": tensor(r, 1), "y": tensor(r, 2)}, [], {})),
    "Equal": (0, lambda r: ({"x": np.round(tensor(r)), "b": np.round(tensor(r, 1))}, [], {})),
    "ReduceMean, all": (0, lambda r: ({"x": tensor(r)}, [], {"keepdims": 0})),
    "ReduceSum, every other axis": (1, lambda r: ({"x": tensor(r), "axes": ints(*range(0, r, 2))}, ["axes"], {})),
    "ReduceMax, first": (1, lambda r: ({"x": tensor(r), "axes": ints(0)}, ["axes"], {"keepdims": 0})),
    "ReduceL2, last": (1, lambda r: ({"x": tensor(r), "axes": ints(-1)}, ["axes"], {})),
    "ArgMax": (1, lambda r: ({"x": tensor(r)}, [], {"axis": r // 2})),
    "CumSum": (1, lambda r: ({"x": tensor(r), "axis": np.array(r // 2)}, ["axis"], {})),
    "Softmax": (1, lambda r: ({"x": tensor(r)}, [], {"axis": r // 2})),
    "LayerNormalization": (1, lambda r: ({"x": tensor(r), "scale": tensor(r, 1)[(0,) * (r - 1)]}, [], {"axis": -1})),
    "Transpose": (0, lambda r: ({"x": tensor(r)}, [], {})),
    "Transpose, first axis last": (1, lambda r: ({"x": tensor(r)}, [], {"perm": [*range(1, r), 0]})),
    "Slice, backwards": (1, lambda r: ({"x": tensor(r), "starts": ints(*[-1] * r), "ends": ints(*[-9] * r), "axes": ints(*range(r)),
                                        "steps": ints(*[-1] * r)}, ["starts", "ends", "axes", "steps"], {})),
    "Concat": (1, lambda r: ({"x": tensor(r), "b": tensor(r, 1)}, [], {"axis": r // 2})),
    "Gather": (1, lambda r: ({"x": tensor(r), "i": ints(0, 0)}, ["i"], {"axis": r // 2})),
    "GatherElements": (1, lambda r: ({"x": tensor(r), "i": np.zeros(EXTENTS[:r], np.int64)}, [], {"axis": r // 2})),
    "ScatterElements": (1, lambda r: ({"x": tensor(r), "i": np.zeros(EXTENTS[:r], np.int64)[:1], "u": tensor(r, 1)[:1]}, [],
                                      {"axis": r - 1})),
    "Pad": (1, lambda r: ({"x": tensor(r), "pads": ints(*[1] * 2 * r)}, ["pads"], {})),
    "Pad, edge": (1, lambda r: ({"x": tensor(r), "pads": ints(*[0] * (2 * r - 1), 2)}, ["pads"], {"mode": "edge"})),
    "Expand": (0, lambda r: ({"x": tensor(r), "shape": ints(2, *EXTENTS[:r])}, ["shape"], {})),
    "Tile": (1, lambda r: ({"x": tensor(r), "repeats": ints(*[2] * r)}, ["repeats"], {})),
    "Reshape": (0, lambda r: ({"x": tensor(r), "shape": ints(1, -1)}, ["shape"], {})),
    "Unsqueeze": (0, lambda r: ({"x": tensor(r), "axes": ints(0, -1)}, ["axes"], {})),
    "TopK": (1, lambda r: ({"x": tensor(r), "k": ints(1)}, ["k"], {"axis": r // 2})),
    "OneHot": (1, lambda r: ({"i": np.abs(np.round(tensor(r))).astype(np.int64), "depth": ints(4), "values": np.array([0, 1], np.float32)},
                             ["depth", "values"], {"axis": 0})),
    "NonZero": (1, lambda r: ({"x": np.maximum(tensor(r), 0)}, [], {})),
}


@pytest.mark.parametrize("name, rank", [(name, rank) for name, (least, _) in CASES.items() for rank in RANKS if rank >= least])
def test_operator_of_every_rank(name, rank):
    given, constants, attrs = CASES[name][1](rank)
    inputs = {key: np.asarray(array) for key, array in given.items()}
    operator = name.partition(",")[0]
    proto = single_node(operator, inputs, constants, opset=18, outputs=2 if operator == "TopK" else 1, **attrs)
    feeds = feeds_of(proto, inputs)
    for got, wanted in zip(fastcnn.load(proto, threads=2).run(None, feeds), expected_outputs(proto, feeds), strict=True):
        assert got.shape == wanted.shape and got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
