"""A model computed in float64, and how far its outputs move when values between operators are off by what rounding leaves.

That is the condition of a model: where a Resize picks a neighbour at a tie, a Cast truncates next to an integer or a variance is next to
nothing, a rounding moves a result by far more than itself. What moves so is no fault; what does not must agree.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from fastcnn.ir.graph import Graph, Node
from fastcnn.reader import read
from fastcnn.reference import evaluate

Values = dict[str, Any]
TRIALS = 16, 256        # the second where the first do not explain a result: three ties in a row fall one way once in eight
ULP = 2.0 ** -23        # that operators give the exact result of operands so near is all that a normalisation can promise
# Operators that give elements of their inputs, or round nothing.
EXACT = frozenset({
    "Abs", "ArgMax", "Cast", "Clip", "Concat", "Constant", "DepthToSpace", "DequantizeLinear", "Dropout", "Flatten", "Gather", "Greater",
    "Identity", "Less", "Max", "MaxPool", "Min", "Neg", "Pad", "QuantizeLinear", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Shape",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Where"})
# Operators whose last output says where along `axis` of the input the elements lie: one that is as good as the exact one may be picked.
PICKS = {"ArgMax": 0, "ArgMin": 0, "TopK": -1}          # and their axis where none is given
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Inputs that stay what they are.
PARAMETERS = {"Resize": (1, 2, 3), "Upsample": (1,), "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2)}


@dataclass(frozen=True)
class Rounding:
    """How far values are off.

    sums      results of operators that compute, in shares of the largest element; their operands are off by ULP
    operands  operands of convolutions and products, and what these give, in shares of each element
    weights   constant operands, in shares of the largest
    """

    sums: float = 1e-6
    operands: float = 0.0
    weights: float = 0.0


FLOAT32 = Rounding()


@dataclass(frozen=True)
class Picked:
    """The input of an operator that picks elements along an axis, and how far its elements are off over the trials."""

    given: np.ndarray
    axis: int
    off: float

    def allows(self, got: np.ndarray, exact: np.ndarray) -> bool:
        """Whether all indices are inside and what lies there is as large as what lies at the exact ones, as far as both may be off."""
        size = self.given.shape[self.axis]
        return bool(((got >= 0) & (got < size)).all()) and bool((np.abs(self._at(got) - self._at(exact)) <= 4 * self.off).all())

    def _at(self, indices: np.ndarray) -> np.ndarray:
        whole = indices if indices.ndim == self.given.ndim else np.expand_dims(indices, self.axis)
        return np.take_along_axis(self.given, whole.astype(np.int64), self.axis)


@dataclass(frozen=True)
class Condition:
    """An output in float64, the least and the largest value of each element over the trials, and the root of its mean square deviation.

    picked  of an output that says where elements lie: what judges such indices
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rms: float
    picked: Picked | None = None

    def allows(self, got: np.ndarray, close: float, share: float = 0.0) -> bool:
        """Whether each element is within `close` of the largest, or within twice what trials show and `share` of the rms of all."""
        if got.shape != self.value.shape:
            return False
        if self.picked is not None:
            return self.picked.allows(got, self.value)
        if self.value.dtype.kind != "f":                 # whole steps
            step = np.ceil(share * self.rms)
            return bool(((got >= self.low - step) & (got <= self.high + step)).all())
        finite = np.isfinite(self.value) & np.isfinite(self.low) & np.isfinite(self.high)
        scale = np.abs(self.value[finite]).max(initial=0)
        with np.errstate(invalid="ignore"):
            room = close * scale + 1e-7 + share * self.rms
            inside = (got >= 2 * self.low - self.value - room) & (got <= 2 * self.high - self.value + room)
        same = (got == self.value) | (np.isnan(got) & np.isnan(self.value))
        return bool((inside | ~finite | same).all() and (same | finite | ~np.isfinite(self.low) | ~np.isfinite(self.high)).all())


def conditions(model: ModelProto, feeds: Mapping[str, np.ndarray], rounding: Rounding = FLOAT32, count: int = TRIALS[0]) -> list[Condition]:
    """The Condition of each output, by trials with other roundings."""
    graph = read(model)
    exact = values_of(graph, feeds)
    trials = [values_of(graph, feeds, rounding, np.random.default_rng(seed)) for seed in range(count)]
    picks = {node.outputs[-1]: node for node in graph.nodes if node.op_type in PICKS}
    return [_condition(exact[info.name], [trial[info.name] for trial in trials], _picked(picks.get(info.name), exact, trials))
            for info in graph.outputs]


def _picked(node: Node | None, exact: Values, trials: Sequence[Values]) -> Picked | None:
    if node is None:
        return None
    given = exact[node.inputs[0]].astype(np.float64)
    off = max(np.abs(trial[node.inputs[0]] - given).max(initial=0) for trial in trials)
    return Picked(given, int(node.attrs.get("axis", PICKS[node.op_type])), float(off))


def _condition(value: np.ndarray, trials: Sequence[np.ndarray], picked: Picked | None) -> Condition:
    every = np.stack([value, *trials])
    with np.errstate(invalid="ignore"):
        off = np.abs(every[1:].astype(np.float64) - value)
    finite = off[np.isfinite(off)]
    return Condition(value, *_ends(every), float(np.sqrt(np.mean(finite ** 2))) if finite.size else 0.0, picked)


def _ends(every: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of the first axis; of integers as int64, to which steps can be added."""
    wide = every if every.dtype.kind == "f" else every.astype(np.int64)
    return wide.min(0), wide.max(0)


def values_of(graph: Graph, feeds: Mapping[str, np.ndarray], rounding: Rounding = FLOAT32,
              rng: np.random.Generator | None = None) -> Values:
    """All values of the graph in float64; rng: with values that are off."""
    values = {"": None, **graph.constants, **feeds}
    values |= {name: _wide(value) for name, value in values.items()}
    for node in graph.nodes:
        given = [_operand(node, k, values[name], graph.constants.get(name), rounding, rng) for k, name in enumerate(node.inputs)]
        with np.errstate(all="ignore"):
            made = [_wide(value) for value in evaluate(node, given, opsets=graph.opsets)]
        values.update(zip(node.outputs, made if rng is None else _disturbed(node, made, rounding, rng)))
    return values


def _wide(value: np.ndarray | None) -> np.ndarray | None:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


def _operand(node: Node, k: int, value: np.ndarray | None, constant: np.ndarray | None, rounding: Rounding,
             rng: np.random.Generator | None) -> np.ndarray | None:
    """Input k as the evaluator takes it: parameters in the element type that they have, floats in float64, off where rng says so."""
    if k in PARAMETERS.get(node.op_type, ()):
        return value if constant is None else constant
    if rng is None or value is None or value.dtype != np.float64:
        return value
    if node.op_type == "QuantizeLinear":
        return value + rounding.sums * np.abs(value) * _noise(rng, value)
    if node.op_type in EXACT:
        return value
    product = node.op_type in PRODUCTS
    of_each, of_largest = max(rounding.operands * product, ULP), rounding.weights * (product and constant is not None)
    return value + (of_each * np.abs(value) + of_largest * np.abs(value).max(initial=0)) * _noise(rng, value)


def _disturbed(node: Node, made: Sequence[np.ndarray | None], rounding: Rounding, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    for value in made:
        if value is None or not isinstance(value, np.ndarray) or value.dtype != np.float64 or node.op_type in EXACT:
            yield value
            continue
        finite = np.abs(np.where(np.isfinite(value), value, 0))
        yield value + (rounding.sums * finite.max(initial=0) + rounding.operands * finite) * _noise(rng, value)


def _noise(rng: np.random.Generator, value: np.ndarray) -> np.ndarray:
    """Off to both sides, or all to one: nine ties under a window are rounded up together by what rounds them so, never by chance."""
    low, high = [(-1, 1), (-1, 0), (0, 1)][rng.integers(3)]
    return rng.uniform(low, high, value.shape)
