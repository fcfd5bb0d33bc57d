"""Computes one node, or a whole graph, in numpy: slow, plain, and right for every ONNX operator.

Implementations are looked up in this order: shape arithmetic (fast), contributed operators, corrections of onnx.reference, onnx.reference.
A node with a fused epilogue is computed as ONNX's node followed by the residual and the activation.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fastcnn.inference.concrete import infer_outputs as infer_by_rules
from fastcnn.inference.infer import rule_of
from fastcnn.ir.errors import ExecutionError, FastCNNError, ShapeError
from fastcnn.ir.graph import Graph, Memory, Node
from fastcnn.ir.spec import Args, Spec
from fastcnn.operators.epilogue import apply_epilogue, onnx_arity
from fastcnn.reference.control_flow import CONTROL_FLOW, Run
from fastcnn.reference.shape_arithmetic import SHAPE_ARITHMETIC

if TYPE_CHECKING:
    from fastcnn.reference.evaluator import Evaluator, Value


# Operators that onnx.reference computes at every opset, whatever their attributes: known without importing it.
KNOWN = frozenset({"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})


def evaluate(node: Node, inputs: Sequence[Value], captured: Mapping[str, Value] | None = None,
             opsets: Mapping[str, int] | None = None) -> list[Value]:
    """The outputs of a node, in order; arrays may be views of the inputs.

    inputs    one a node input, None where it is omitted; a sequence is a list
    captured  what the bodies of a control-flow node read, by the name inside (the first of each pair in node.captures)
    opsets    opset versions by domain, for the nodes in such bodies
    Raises UnsupportedOperatorError when nothing computes the operator, ExecutionError naming the node when it fails.
    """
    inputs = list(inputs)
    arity = onnx_arity(node)
    try:
        with np.errstate(all="ignore"):
            outputs = _evaluate_plain(node, inputs[:arity], captured or {}, opsets or {})
            if node.activation is not None or len(inputs) > arity:
                outputs[0] = apply_epilogue(node, outputs[0], inputs[arity:])
    except FastCNNError:
        raise
    except Exception as error:
        raise ExecutionError(f"{node.where()}: {type(error).__name__}: {error}") from error
    return outputs


def _evaluate_plain(
    node: Node, inputs: list[Value], captured: Mapping[str, Value], opsets: Mapping[str, int]
) -> list[Value]:
    if node.op_type in CONTROL_FLOW and not node.domain:
        return run_control_flow(node, inputs, lambda body, values: _run_body(body, values, captured))
    direct = _direct(node)
    if direct is not None:
        outputs = direct(node, inputs)
        if outputs is not None:
            return [y if isinstance(y, list) or y is None else np.asarray(y) for y in outputs]
    return _evaluator_of(node, opsets).run(inputs, captured)


def _direct(node: Node) -> Callable[[Node, list[Value]], list[np.ndarray] | None] | None:
    if node.domain:
        return _other_domains().get((node.domain, node.op_type))
    return SHAPE_ARITHMETIC.get(node.op_type) or _overrides().get(node.op_type)


@cache
def _other_domains() -> Mapping[tuple[str, str], Callable[[Node, list[Value]], list[np.ndarray] | None]]:
    """The operators of other domains, imported when one is first computed."""
    from fastcnn.reference.bytes import BYTES
    from fastcnn.reference.contrib import CONTRIB
    from fastcnn.reference.ml import ML
    return BYTES | CONTRIB | ML


@cache
def _overrides() -> Mapping[str, Callable[[Node, list[Value]], list[np.ndarray] | None]]:
    from fastcnn.reference.overrides import OVERRIDES
    return OVERRIDES


def run_control_flow(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """Outputs of If, Loop, Scan and the like; run(body, inputs) -> outputs is called for each round of a body."""
    return CONTROL_FLOW[node.op_type](node, inputs, run)


def _run_body(body: Graph, inputs: Sequence[Value], captured: Mapping[str, Value]) -> list[Value]:
    """The outputs of a body for its inputs in order; its own names hide those of the graph around it."""
    values = {**captured, **dict(zip((info.name for info in body.inputs), inputs))}
    return _values_of(body, values, [info.name for info in body.outputs])


def check_supported(node: Node, opsets: Mapping[str, int]) -> None:
    """Raises UnsupportedOperatorError when evaluate() could not compute the node, or one in its bodies."""
    if node.op_type in CONTROL_FLOW and not node.domain:
        for body in node.bodies.values():
            for inner in body.nodes:
                check_supported(inner, opsets)
    elif _direct(node) is None and (node.domain or node.op_type not in KNOWN):
        _evaluator_of(node, opsets)


def _evaluator_of(node: Node, opsets: Mapping[str, int]) -> Evaluator:
    from fastcnn.reference.evaluator import evaluator_of  # onnx: 45 ms that most models never need
    return evaluator_of(node, opsets)


def evaluate_graph(graph: Graph, feeds: Mapping[str, Value], keep: Sequence[str] = ()) -> dict[str, Value]:
    """Graph outputs, and the values named in `keep`, by name."""
    names = [*(o.name for o in graph.outputs), *keep]
    return dict(zip(names, _values_of(graph, feeds, names)))


def _values_of(graph: Graph, feeds: Mapping[str, Value], names: Sequence[str]) -> list[Value]:
    values: dict[str, Value] = {**feeds, "": None, **graph.constants}
    values.update((info.name, feeds[info.name]) for info in graph.inputs if info.name in feeds)
    for node in graph.nodes:
        captured = {inner: values[outer] for inner, outer in node.captures}
        outputs = evaluate(node, [values[v] for v in node.inputs], captured, graph.opsets)
        values.update(zip(node.outputs, outputs))
    return [values[name] for name in names]


def infer_outputs(args: Args, asked: list[str] | None = None, memory: Memory | None = None) -> list[Spec | None]:
    """Output types and shapes by fastcnn.inference; for operators of other domains without a rule there, by a run on zeros."""
    node = args.node
    if not node.domain or rule_of(node) is not None or (node.domain, node.op_type) not in _other_domains():
        return infer_by_rules(args, asked, memory)
    if any(name and spec is None for name, spec in zip(node.inputs, args.specs)):
        return [None] * len(node.outputs)
    zeros = [np.zeros(spec.shape, spec.dtype) if value is None and spec is not None else value
             for spec, value in zip(args.specs, args.values)]
    try:
        return [Spec(y.dtype, y.shape) if isinstance(y, np.ndarray) else None for y in evaluate(node, zeros)]
    except ExecutionError as error:
        raise ShapeError(str(error)) from error
