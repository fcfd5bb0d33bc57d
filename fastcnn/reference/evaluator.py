"""Cached onnx.reference evaluators for single nodes."""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import GraphProto, helper

from fastcnn.ir.errors import UnsupportedOperatorError
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.onnx_proto.to_proto import attribute_proto, node_proto
from fastcnn.operators.epilogue import onnx_arity
from fastcnn.reference.conv import wide
from fastcnn.reference.overrides import REWRITES

if TYPE_CHECKING:
    from onnx.reference import ReferenceEvaluator

Value = Any                      # an array, a list of them (sequence), None (omitted or empty optional)

# Operators that add many numbers: 16-bit floats are added in float32, as every runtime does.
SUMMING = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Einsum",
        "Gemm",
        "GlobalAveragePool",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LogSoftmax",
        "LpPool",
        "MatMul",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMean",
        "ReduceSumSquare",
        "RMSNormalization",
        "RNN",
        "Softmax",
    }
)


@dataclass(frozen=True)
class Evaluator:
    """onnx.reference's evaluator of a graph of one node, whose inputs and outputs are named by position."""

    session: ReferenceEvaluator
    widen: bool                          # 16-bit floats to float32 on the way in
    same_type: tuple[int, ...]           # output -> the input whose element type it must have, -1: none

    def run(self, inputs: list[Value], captured: Mapping[str, Value]) -> list[Value]:
        feeds = dict(captured)
        feeds.update(
            (_input_name(i), wide(x) if self.widen and isinstance(x, np.ndarray) else x) for i, x in enumerate(inputs)
        )
        outputs = self.session.run(None, feeds)
        return [self._typed(y, inputs[i] if i >= 0 else None) for y, i in zip(outputs, self.same_type)]

    def _typed(self, y: Value, like: Value) -> Value:
        """Casts results to the output's type, since some implementations return float64 or int64."""
        if isinstance(y, np.generic):
            y = np.asarray(y)
        if isinstance(y, np.ndarray) and y.dtype.kind in "UST":      # strings are objects, as they are fed
            return y.astype(object)
        if (
            isinstance(y, np.ndarray)
            and isinstance(like, np.ndarray)
            and y.dtype != like.dtype
            and like.dtype.kind != "O"
        ):
            return y.astype(like.dtype)
        return y


def _input_name(i: int) -> str:
    return f"fastcnn.input.{i}"


_kept: dict[int, tuple[weakref.ref[Node], dict[tuple[tuple[str, int], ...], Evaluator]]] = {}


def evaluator_of(node: Node, opsets: Mapping[str, int]) -> Evaluator:
    """The evaluator of this node object, made once and kept as long as the node lives."""
    key = id(node)
    entry = _kept.get(key)
    if entry is None or entry[0]() is not node:
        def forget(_: weakref.ref[Node], pop: Callable[..., object] = _kept.pop) -> None:
            pop(key, None)                   # a default, since module globals may be gone when the interpreter ends
        entry = _kept[key] = weakref.ref(node, forget), {}
    variant = tuple(sorted(opsets.items())) if node.captures else ()
    if variant not in entry[1]:
        entry[1][variant] = _make_evaluator(node, opsets)
    return entry[1][variant]


def _make_evaluator(node: Node, opsets: Mapping[str, int]) -> Evaluator:
    from onnx.reference import ReferenceEvaluator  # 15 ms that most models never need
    if not node.domain and node.op_type in REWRITES:
        node = REWRITES[node.op_type](node)
    inputs = [_input_name(i) if v else "" for i, v in enumerate(node.inputs[:onnx_arity(node)])]
    outputs = [f"fastcnn.output.{i}" if v else "" for i, v in enumerate(node.outputs)]
    proto = node_proto(node, inputs, outputs)
    _add_old_defaults(node, proto)
    # An input of the one-node graph without a type: onnx.reference expands operators defined as functions when it runs.
    graph = GraphProto(name=node.name, node=[proto], input=[onnx.ValueInfoProto(name="fastcnn.untyped")],
                       output=[onnx.ValueInfoProto(name=v) for v in outputs])
    versions = {"": onnx.defs.onnx_opset_version(), **opsets, node.domain: node.version or opsets.get(node.domain, 1)}
    try:
        session = ReferenceEvaluator(graph, opsets=versions)
    except Exception as error:
        raise UnsupportedOperatorError(
            f"{node.where()}: no implementation for opset {node.version} ({error})"
        ) from error
    return Evaluator(session, node.op_type in SUMMING, _same_types(node))


def _add_old_defaults(node: Node, proto: onnx.NodeProto) -> None:
    """Adds attributes whose defaults newer opsets changed, since onnx.reference takes all defaults from the newest schema."""
    try:
        own = onnx.defs.get_schema(node.op_type, node.version, node.domain).attributes
        newest = onnx.defs.get_schema(node.op_type, onnx.defs.onnx_opset_version(), node.domain).attributes
    except onnx.defs.SchemaError:
        return
    for name in own.keys() & newest.keys() - node.attrs.keys():
        old, new = own[name].default_value, newest[name].default_value
        if old.type and helper.get_attribute_value(old) != (helper.get_attribute_value(new) if new.type else None):
            proto.attribute.append(attribute_proto(name, helper.get_attribute_value(old), None))


def _same_types(node: Node) -> tuple[int, ...]:
    """For each output the input that shares its type variable in the schema, -1 where there is none."""
    try:
        schema = onnx.defs.get_schema(node.op_type, max(node.version, 1), node.domain)
    except onnx.defs.SchemaError:
        return (-1,) * len(node.outputs)
    variables = {constraint.type_param_str for constraint in schema.type_constraints}
    first: dict[str, int] = {}
    for i, formal in enumerate(schema.inputs):
        if formal.type_str in variables and i < len(node.inputs) and node.inputs[i]:
            first.setdefault(formal.type_str, i)
    formals = (
        [schema.outputs[min(i, len(schema.outputs) - 1)] for i in range(len(node.outputs))] if schema.outputs else []
    )
    return tuple(first.get(formal.type_str, -1) for formal in formals)
