"""Removes nodes whose output equals their input."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastcnn.expansion import shape_of, type_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS, element_of
from fastcnn.passes.rewrite import Bypass, constant, same_shape, scalar


def identity_removal(graph: Graph) -> bool:
    """Takes out every node of NO_OPS whose rule holds."""
    consumers, outputs = graph.consumers(), graph.output_names()
    bypass = Bypass(graph)
    for node in graph.nodes:
        rule = NO_OPS.get(node.op_type)
        if rule is None or node.domain or node.activation is not None or (
                len(node.outputs) > 1 and any([v in consumers or v in outputs for v in node.outputs[1:]])):
            continue
        source = rule(graph, node)
        if source:
            bypass.take_out(node, source)
    return bypass.apply()


def _always(graph: Graph, node: Node) -> str:
    return node.inputs[0]


def _only_input(graph: Graph, node: Node) -> str:
    return node.inputs[0] if len(node.inputs) == 1 else ""


def _dropout(graph: Graph, node: Node) -> str:
    """Inference unless training_mode (opset 12) is given and not false."""
    if node.input(2):
        mode = constant(graph, node, 2)
        if mode is None or mode.any():
            return ""
    return node.inputs[0]


def _cast(graph: Graph, node: Node) -> str:
    element = element_of(type_of(graph, node.inputs[0]) or "")
    return node.inputs[0] if element and ELEMENT_NUMBERS[element] == node.attrs["to"] else ""


def _same_sizes(graph: Graph, node: Node) -> str:
    x, y = (shape_of(graph, v) for v in (node.inputs[0], node.outputs[0]))
    return node.inputs[0] if same_shape(x, y) else ""


def _transpose(graph: Graph, node: Node) -> str:
    perm = node.attrs.get("perm")
    return node.inputs[0] if perm is not None and perm == sorted(perm) else ""


def _pad(graph: Graph, node: Node) -> str:
    pads = node.attrs.get("pads") if node.version < 11 else constant(graph, node, 1)
    return node.inputs[0] if pads is not None and not np.any(pads) else ""


def _slice(graph: Graph, node: Node) -> str:
    """A slice as long as its input, forwards, is its input."""
    steps = constant(graph, node, 4)
    if node.input(4) and (steps is None or (steps < 0).any()):
        return ""
    return _same_sizes(graph, node)


def _tile(graph: Graph, node: Node) -> str:
    repeats = constant(graph, node, 1)
    return node.inputs[0] if repeats is not None and (repeats == 1).all() else ""


def _pool(graph: Graph, node: Node) -> str:
    """A window of one element moved by one."""
    ones = [*node.attrs.get("kernel_shape", [0]), *node.attrs.get("strides", [])]
    return node.inputs[0] if set(ones) == {1} and not any(node.attrs.get("pads", [])) else ""


def _neutral(element: float, sides: tuple[int, ...]) -> Callable[[Graph, Node], str]:
    """x op element, where the constant does not add axes or sizes."""
    def rule(graph: Graph, node: Node) -> str:
        for side in sides:
            x = node.inputs[1 - side]
            array, shape = constant(graph, node, side), shape_of(graph, x)
            if (
                array is not None
                and shape is not None
                and scalar(graph, node, side) == element
                and array.ndim <= len(shape)
            ):
                return x
        return ""
    return rule


# Operator -> the input it hands on, "" where it does something.
NO_OPS: dict[str, Callable[[Graph, Node], str]] = {
    "Identity": _always,
    "Dropout": _dropout,
    "Cast": _cast,
    "Reshape": _same_sizes,
    "Flatten": _same_sizes,
    "Squeeze": _same_sizes,
    "Unsqueeze": _same_sizes,
    "Expand": _same_sizes,
    "Transpose": _transpose,
    "Pad": _pad,
    "Slice": _slice,
    "Tile": _tile,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Sum": _only_input,
    "Mean": _only_input,
    "Max": _only_input,
    "Min": _only_input,
    "Concat": _only_input,
    "Add": _neutral(0.0, (0, 1)),
    "Sub": _neutral(0.0, (1,)),
    "Mul": _neutral(1.0, (0, 1)),
    "Div": _neutral(1.0, (1,)),
}
