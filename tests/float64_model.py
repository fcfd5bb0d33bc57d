"""A model computed in float64, and how far its outputs move when values between operators are off by what rounding leaves.

That is the condition of a model: where a Resize picks a neighbour at a tie, a Cast truncates next to an integer or a variance is next to
nothing, a rounding moves a result by far more than itself. What moves so is no fault; what does not must agree.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from fastcnn.ir.graph import Node
from fastcnn.reader import read
from fastcnn.reference import evaluate

TRIALS = 16
ULP = 2.0 ** -23        # that operators give the exact result of operands so near is all that a normalisation can promise
# Operators that give elements of their inputs, or round nothing.
EXACT = frozenset({
    "Abs", "ArgMax", "Cast", "Clip", "Concat", "Constant", "DepthToSpace", "DequantizeLinear", "Dropout", "Flatten", "Gather", "Greater",
    "Identity", "Less", "Max", "MaxPool", "Min", "Neg", "Pad", "QuantizeLinear", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Shape",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Where"})
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
class Condition:
    """An output in float64, the least and the largest value of each element over the trials, and the root of its mean square deviation."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rms: float

    def allows(self, got: np.ndarray, close: float, share: float = 0.0) -> bool:
        """Whether each element is within `close` of the largest, or within twice what trials show and `share` of the rms of all."""
        if got.shape != self.value.shape:
            return False
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


def conditions(model: ModelProto, feeds: Mapping[str, np.ndarray], rounding: Rounding = FLOAT32) -> list[Condition]:
    """The Condition of each output, by trials with other roundings."""
    exact = outputs_of(model, feeds)
    trials = [outputs_of(model, feeds, rounding, np.random.default_rng(seed)) for seed in range(TRIALS)]
    return [_condition(value, [trial[k] for trial in trials]) for k, value in enumerate(exact)]


def _condition(value: np.ndarray, trials: Sequence[np.ndarray]) -> Condition:
    every = np.stack([value, *trials])
    with np.errstate(invalid="ignore"):
        off = np.abs(every[1:].astype(np.float64) - value)
    finite = off[np.isfinite(off)]
    return Condition(value, *_ends(every), float(np.sqrt(np.mean(finite ** 2))) if finite.size else 0.0)


def _ends(every: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of the first axis; of integers as int64, to which steps can be added."""
    wide = every if every.dtype.kind == "f" else every.astype(np.int64)
    return wide.min(0), wide.max(0)


def outputs_of(model: ModelProto, feeds: Mapping[str, np.ndarray], rounding: Rounding = FLOAT32,
               rng: np.random.Generator | None = None) -> list[np.ndarray]:
    """The outputs in float64; rng: with values that are off."""
    graph = read(model)
    values = {"": None, **graph.constants, **feeds}
    values |= {name: _wide(value) for name, value in values.items()}
    for node in graph.nodes:
        given = [_operand(node, k, values[name], graph.constants.get(name), rounding, rng) for k, name in enumerate(node.inputs)]
        with np.errstate(all="ignore"):
            made = [_wide(value) for value in evaluate(node, given, opsets=graph.opsets)]
        values.update(zip(node.outputs, made if rng is None else _disturbed(node, made, rounding, rng)))
    return [values[info.name] for info in graph.outputs]


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
    return rng.uniform(-1, 1, value.shape)
