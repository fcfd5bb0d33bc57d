"""Rewrites operators of opsets 1 to 6 into the forms of opset 7: a table with a rule for each operator that changed.

Each rule follows the text of the operator's own version. What the texts leave open is read as onnx's version converter does.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.expansion import Expansion, Rule, shape_of, type_of
from fastcnn.ir.errors import ModelError, UnsupportedOperatorError
from fastcnn.ir.graph import Node
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS, element_of

INT_MAX = 2**31 - 1
# The opset that every graph has at least once it is read.
OLDEST_KEPT = 7


def _kept_attrs(e: Expansion, *dropped: str) -> dict[str, Any]:
    return {name: value for name, value in e.node.attrs.items() if name not in dropped}


def _results(first: str, count: int) -> tuple[str, ...]:
    """The names of all outputs of the node that Expansion.add() made with several outputs."""
    return first, *(f"{first}.{k}" for k in range(1, count))


def _without(*dropped: str, **defaults: Any) -> Rule:
    """A rule that drops attributes without meaning in opset 7 and writes out old defaults that opset 7 changed."""
    def rule(e: Expansion) -> tuple[str, ...]:
        count = len(e.node.outputs)
        return _results(e.add(e.node.op_type, *e.node.inputs, outputs=count, **{**defaults, **_kept_attrs(e, *dropped)}), count)
    return rule


_unconsumed = _without("consumed_inputs")
_no_sequence = _without("output_sequence")


def _renamed(old: str, new: str) -> Rule:
    """A rule that renames one attribute."""
    def rule(e: Expansion) -> tuple[str, ...]:
        return e.add(e.node.op_type, *e.node.inputs, **_kept_attrs(e, old), **{new: e.attr(old)}),
    return rule


def _binary(e: Expansion) -> tuple[str, ...]:
    """f(A, B): with broadcast=1 the axes of B are those of A from `axis` on, its last ones where axis is not given."""
    b = e.input(1)
    if e.attr("broadcast", 0) and e.attr("axis") is not None:
        b = _at_axis(e, e.attr("axis"))
    return e.add(e.node.op_type, e.input(0), b),


def _at_axis(e: Expansion, axis: int) -> str:
    """B with as many axes of size 1 at its end as A has axes behind it."""
    rank, own, b = e.rank(0), e.rank(1), e.input(1)
    if rank is None or own is None:
        if axis < 0:
            raise ModelError(f"{e.node.where()}: axis={axis} of an input whose number of axes is not known")
        start = e.add("Add", e.add("Shape", e.add("Shape", b)), e.constant([axis], np.int64))
        return e.add("Reshape", b, e.add("Concat", e.add("Shape", b), _ones_from(e, start), axis=0))
    behind = rank - (axis + rank if axis < 0 else axis) - own
    if behind < 0 and set(shape_of(e.graph, b) or ()) <= {1}:
        return b
    if behind < 0 or axis < -rank:
        raise ModelError(f"{e.node.where()}: axis={axis}, but A has {rank} axes and B {own}")
    return e.add("Unsqueeze", b, axes=list(range(own, own + behind))) if behind else b


def _ones_from(e: Expansion, start: str) -> str:
    """A vector with a 1 for each axis of input 0 from `start` (a vector of one element) on."""
    sizes = e.add("Slice", e.add("Shape", e.input(0)), start, e.constant([INT_MAX], np.int64), version=10)
    return e.add("Add", e.add("Sub", sizes, sizes), e.constant([1], np.int64))


def _prelu(e: Expansion) -> tuple[str, ...]:
    """slope (C,) or of one element; since opset 7 it broadcasts from the last axis on."""
    rank, slope = e.rank(0), e.input(1)
    if e.rank(1) not in (None, 1) or (rank is not None and rank < 3):
        shaped = slope
    elif rank is not None:
        shaped = e.add("Reshape", slope, e.constant([-1, *[1] * (rank - 2)], np.int64))
    else:
        ones = _ones_from(e, e.constant([2], np.int64))
        shaped = e.add("Reshape", slope, e.add("Concat", e.constant([-1], np.int64), ones, axis=0))
    return e.add("PRelu", e.input(0), shaped),


def _batch_norm(e: Expansion) -> tuple[str, ...]:
    """is_test=0, or statistics among the outputs: BatchNormalization in training; a vector a pixel with spatial=0."""
    training = e.node.version < 7 and (e.attr("is_test", 1) == 0 or ("is_test" not in e.node.attrs and any(e.node.outputs[1:])))
    attrs = _kept_attrs(e, "consumed_inputs", "is_test", "spatial")
    if e.attr("spatial", 1) or e.rank(1) == 1:
        return _trained(e, attrs) if training else _tested(e, e.add("BatchNormalization", *e.node.inputs, **attrs))
    if training or any(e.node.outputs[1:]):
        raise UnsupportedOperatorError(f"{e.node.where()}: spatial=0 in training")
    scale, bias, mean, var = e.node.inputs[1:]
    factor = e.add("Div", scale, e.add("Sqrt", e.add("Add", var, e.constant(attrs.get("epsilon", 1e-5)))))
    return e.add("Add", e.add("Mul", e.add("Sub", e.input(0), mean), factor), bias),


def _tested(e: Expansion, y: str) -> tuple[str, ...]:
    """BatchNormalization at inference: y, and the given mean and variance unchanged where they are asked for."""
    mean, var = e.node.inputs[3:]
    return y, mean, var, mean, var


def _trained(e: Expansion, attrs: dict[str, Any]) -> tuple[str, ...]:
    """BatchNormalization in training: from opset 7 on, statistics among the outputs mean training."""
    count = max(len(e.node.outputs), 2)
    return _results(e.add("BatchNormalization", *e.node.inputs, version=9, outputs=count, **attrs), count)


def _dropout(e: Expansion) -> tuple[str, ...]:
    """is_test=0 drops, as training_mode does since opset 12; without the attribute nothing is dropped."""
    ratio = e.attr("ratio", 0.5)
    if e.attr("is_test", 1):
        return _results(e.add("Dropout", e.input(0), ratio=ratio, outputs=len(e.node.outputs)), len(e.node.outputs))
    y = e.add("Dropout", e.input(0), e.constant(ratio, np.float32), e.constant(True, np.bool_), version=12, outputs=len(e.node.outputs))
    if not any(e.node.outputs[1:]):
        return y,
    kind = ELEMENT_NUMBERS[element_of(type_of(e.graph, e.input(0)) or "") or "float"]
    return y, e.add("Cast", f"{y}.1", to=kind)


def _cast(e: Expansion) -> tuple[str, ...]:
    """`to` was the type's name."""
    number = ELEMENT_NUMBERS.get(e.attr("to").lower())
    if number is None:
        raise ModelError(f"{e.node.where()}: to={e.attr('to')!r} is no type of ONNX")
    return e.add("Cast", e.input(0), to=number),


def _reshape(e: Expansion) -> tuple[str, ...]:
    """`shape` was an attribute."""
    if e.attr("shape") is None:
        raise ModelError(f"{e.node.where()}: attribute 'shape' is missing")
    return e.add("Reshape", e.input(0), e.constant(e.attr("shape"), np.int64)),


def _split(e: Expansion) -> tuple[str, ...]:
    """Lengths in an attribute or in a second input, of the type of the first."""
    axis, count = e.attr("axis", 0), len(e.node.outputs)
    if not e.input(1):
        return _results(e.add("Split", e.input(0), outputs=count, axis=axis, split=e.attr("split")), count)
    lengths = _value(e, 1)
    if lengths is not None:
        return _results(e.add("Split", e.input(0), outputs=count, axis=axis, split=[int(n) for n in lengths.reshape(-1)]), count)
    whole = e.add("Cast", e.input(1), to=ELEMENT_NUMBERS["int64"])
    return _results(e.add("Split", e.input(0), whole, version=13, outputs=count, axis=axis), count)


def _tile(e: Expansion) -> tuple[str, ...]:
    """`tiles` copies one after another along `axis`, both scalars."""
    tiles, axis = _value(e, 1), _value(e, 2)
    if tiles is None or axis is None:
        raise UnsupportedOperatorError(f"{e.node.where()}: tiles and axis that are computed")
    count = int(tiles.reshape(()))
    if count < 1:
        raise ModelError(f"{e.node.where()}: tiles={count}")
    return e.add("Concat", *[e.input(0)] * count, axis=int(axis.reshape(()))),


def _value(e: Expansion, i: int) -> np.ndarray | None:
    """The array of input i where it is a constant that cannot be fed, else None."""
    return None if e.input(i) in e.graph.overridable else e.value(i)


def _norm_order(e: Expansion) -> tuple[str, ...]:
    """p was a float."""
    p = e.attr("p", 2.0)
    return e.add(e.node.op_type, e.input(0), **_kept_attrs(e, "p"), p=int(p) if p == int(p) else p),


def _upsample(e: Expansion) -> tuple[str, ...]:
    """A scale for the height and one for the width."""
    mode = {"bilinear": "linear"}.get(e.attr("mode", "nearest"), e.attr("mode", "nearest"))
    return e.add("Upsample", e.input(0), mode=mode, scales=[1.0, 1.0, e.attr("height_scale"), e.attr("width_scale")]),


# Operator -> (nodes of versions before this one are in an old form, what writes them in the new one).
OLD_FORMS: dict[str, tuple[int, Rule]] = {
    **dict.fromkeys(("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"), (7, _binary)),
    **dict.fromkeys(("Abs", "Ceil", "Clip", "Elu", "Exp", "Floor", "HardSigmoid", "InstanceNormalization", "LeakyRelu", "Log", "Max",
                     "Mean", "Min", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Sum", "Tanh"), (6, _unconsumed)),
    "BatchNormalization": (9, _batch_norm),
    "Cast": (6, _cast),
    "Concat": (4, _without(axis=1)),
    "Dropout": (7, _dropout),
    "GRU": (7, _no_sequence),
    "Gemm": (7, _without("broadcast")),
    "GlobalLpPool": (2, _norm_order),
    "LSTM": (7, _no_sequence),
    "LpPool": (2, _norm_order),
    "PRelu": (7, _prelu),
    "Pad": (2, _renamed("paddings", "pads")),
    "RNN": (7, _no_sequence),
    "Reshape": (5, _reshape),
    "Selu": (6, _without("consumed_inputs", alpha=1.6732, gamma=1.0507)),
    "Split": (2, _split),
    "Tile": (6, _tile),
    "Upsample": (7, _upsample),
}
NO_LONGER_OLD = max(until for until, _ in OLD_FORMS.values())
# Operators whose rules ask for types and numbers of axes: what has these while they are inferred.
STAND_INS: dict[str, Rule] = {
    **dict.fromkeys((name for name, (_, rule) in OLD_FORMS.items() if rule is _binary),
                    lambda e: (e.add(e.node.op_type, e.input(0), e.input(0)),)),
    "BatchNormalization": lambda e: (e.add("Identity", e.input(0)), *e.node.inputs[1:]),
    "Dropout": lambda e: _results(e.add("Identity", e.input(0)), 1) * len(e.node.outputs),
    "PRelu": lambda e: (e.add("Identity", e.input(0)),),
}


def is_old(node: Node) -> bool:
    """Whether a node needs a rule: any node of an earlier opset in the table, and spatial=0 in opsets from 7 on."""
    until, _ = OLD_FORMS.get(node.op_type, (0, None))
    return not node.domain and node.version < until and (node.version < OLDEST_KEPT or not node.attrs.get("spatial", 1))
