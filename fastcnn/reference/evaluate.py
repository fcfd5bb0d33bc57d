"""One node, or a whole graph, computed by numpy: slow, plain, and right for every ONNX operator.

Looked up in this order: shape arithmetic (fast), contributed operators, corrections of onnx.reference, onnx.reference.
A node with a fused epilogue is computed as ONNX's node followed by the residual and the activation.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastcnn.epilogue import apply_epilogue, onnx_arity
from fastcnn.errors import ExecutionError, FastCNNError, ShapeError
from fastcnn.graph import Graph, Node
from fastcnn.onnx_proto.types import element_name, element_of, numpy_type, tensor_type, type_shape, type_string
from fastcnn.reference.contrib import CONTRIB
from fastcnn.reference.control_flow import CONTROL_FLOW, Run
from fastcnn.reference.conv import pool_extents, spatial
from fastcnn.reference.overrides import OVERRIDES
from fastcnn.reference.resize import axes_of
from fastcnn.reference.shape_arithmetic import SHAPE_ARITHMETIC

if TYPE_CHECKING:
    from onnx import TypeProto

    from fastcnn.reference.evaluator import Evaluator, Value

Types = tuple[np.dtype, tuple[int, ...]]
Values = Mapping[str, np.ndarray]


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
        return CONTRIB.get((node.domain, node.op_type))
    return SHAPE_ARITHMETIC.get(node.op_type) or OVERRIDES.get(node.op_type)


def run_control_flow(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """Outputs of If, Loop, Scan and the like; run(body, inputs) -> outputs runs a body as often as it takes."""
    return CONTROL_FLOW[node.op_type](node, inputs, run)


def _run_body(body: Graph, inputs: Sequence[Value], captured: Mapping[str, Value]) -> list[Value]:
    """Outputs for inputs in order; the body's own names hide those of the graph around it."""
    values = {**captured, **dict(zip((info.name for info in body.inputs), inputs))}
    return _values_of(body, values, [info.name for info in body.outputs])


def check_supported(node: Node, opsets: Mapping[str, int]) -> None:
    """Raises UnsupportedOperatorError when evaluate() could not compute the node, or one in its bodies."""
    if node.op_type in CONTROL_FLOW and not node.domain:
        for body in node.bodies.values():
            for inner in body.nodes:
                check_supported(inner, opsets)
    elif _direct(node) is None:
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


def infer_outputs(node: Node, inputs: Sequence[Types | None], values: Mapping[str, np.ndarray],
                  opsets: Mapping[str, int]) -> list[Types | None]:
    """(dtype, shape) of each output for concrete input types, None where it depends on data (or is omitted).

    inputs  (dtype, shape) one a node input; None where it is omitted or unknown
    values  known input values by name: shapes, axes, pads, scales
    Raises ShapeError naming the node when the inputs do not fit the operator.
    """
    arity = onnx_arity(node)
    unknown: list[Types | None] = [None] * len(node.outputs)
    if any(v and t is None for v, t in zip(node.inputs[:arity], inputs)):
        return unknown
    if node.domain and (node.domain, node.op_type) in CONTRIB:
        return _types_of_zeros(node, inputs, values)
    if not node.domain and node.op_type in _OWN_SHAPES and inputs[0] is not None:
        own = _OWN_SHAPES[node.op_type](node, inputs, values)
        if own is not None:
            return own
    import onnx
    from onnx import helper, numpy_helper, shape_inference

    from fastcnn.onnx_proto.to_proto import node_proto
    try:
        schema = onnx.defs.get_schema(node.op_type, node.version, node.domain)
    except onnx.defs.SchemaError:
        return unknown
    types = {v: tensor_type(element_name(t[0]), t[1]) for v, t in zip(node.inputs[:arity], inputs) if v and t}
    data = {
        v: numpy_helper.from_array(np.ascontiguousarray(values[v]).reshape(values[v].shape), v)
        for v in types
        if v in values
    }
    imports = [helper.make_opsetid(d, v) for d, v in {**opsets, node.domain: node.version}.items()]
    try:
        found = shape_inference.infer_node_outputs(schema, node_proto(node, node.inputs[:arity]), types, data,
                                                   opset_imports=imports)
    except shape_inference.InferenceError as error:
        raise ShapeError(f"{node.where()}: {_shown(inputs)}: {error}") from None
    except Exception:                    # no inference function, or one that gave up
        return unknown
    return [_concrete(found[v]) if v and v in found else None for v in node.outputs]


def _shown(inputs: Sequence[Types | None]) -> str:
    return "inputs " + ", ".join("none" if t is None else f"{t[0]}{list(t[1])}" for t in inputs)


def _concrete(proto: TypeProto) -> Types | None:
    element, shape = element_of(type_string(proto)), type_shape(proto)
    sizes = tuple(d for d in shape or () if isinstance(d, int))
    if element is None or shape is None or len(sizes) < len(shape):
        return None
    return numpy_type(element), sizes


def _types_of_zeros(node: Node, inputs: Sequence[Types | None], values: Mapping[str, np.ndarray]) -> list[Types | None]:
    """Contributed operators have no schema here: their shapes are those of a run on zeros."""
    arrays = [
        None if t is None else values[v] if v in values else np.zeros(t[1], t[0]) for v, t in zip(node.inputs, inputs)
    ]
    try:
        return [(y.dtype, y.shape) for y in evaluate(node, arrays)]
    except ExecutionError as error:
        raise ShapeError(str(error)) from error


def _pool_types(node: Node, inputs: Sequence[Types | None], values: Values) -> list[Types | None] | None:
    dtype, shape = inputs[0] or (np.dtype(np.float32), ())
    kernel = node.attrs.get("kernel_shape", [])
    if not node.attrs.get("ceil_mode", 0) or len(kernel) != len(shape) - 2:
        return None
    strides, dilations, before, after = spatial(node, shape[2:], kernel)
    extents = pool_extents(shape[2:], kernel, strides, dilations, before, after, ceil_mode=True)
    types: list[Types | None] = [(dtype, (*shape[:2], *extents)), (np.dtype(np.int64), (*shape[:2], *extents))]
    return [t if v else None for t, v in zip(types, node.outputs)]


def _same_type(node: Node, inputs: Sequence[Types | None], values: Values) -> list[Types | None]:
    return [inputs[0]]


def _compared_type(node: Node, inputs: Sequence[Types | None], values: Values) -> list[Types | None]:
    return [(np.dtype(np.bool_), np.broadcast_shapes(*(t[1] for t in inputs if t)))]


def _resized_type(node: Node, inputs: Sequence[Types | None], values: Values) -> list[Types | None] | None:
    """By the reader of the node's scales and sizes that evaluate() goes by, where they are known."""
    wanted = [v for v in node.inputs[1:] if v]
    if inputs[0] is None or any(v not in values for v in wanted):
        return None
    x = np.broadcast_to(np.zeros((), inputs[0][0]), inputs[0][1])
    axes = axes_of(node, [x, *(values[v] if v else None for v in node.inputs[1:])])
    return [(x.dtype, tuple(axis.out for axis in axes))]


# Operators whose schema infers nothing (it gives a function body instead), or the wrong size.
_OWN_SHAPES: dict[str, Callable[[Node, Sequence[Types | None], Values], list[Types | None] | None]] = {
    "AveragePool": _pool_types,          # ceil_mode: onnx counts windows that start in the padding
    "MaxPool": _pool_types,
    "LpPool": _pool_types,
    "Resize": _resized_type,             # size * scale, rounded down: onnx multiplies in double, onnxruntime in float32
    "Upsample": _resized_type,
    "GreaterOrEqual": _compared_type,
    "LessOrEqual": _compared_type,
    "GroupNormalization": _same_type,
    "MeanVarianceNormalization": _same_type,
}
