"""Merges nodes on bytes with the nodes behind them: tables, limits, sums."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from fastcnn.expansion import shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.passes.facts import limits_of, replace_nodes, sole_reader
from fastcnn.passes.rewrite import same_shape
from fastcnn.passes.simplify.dead_code import dead_code

PRODUCTS = ("QConv", "QConvTranspose", "QMatMul")
FLOAT = ELEMENT_NUMBERS["float"]
MATRIX_MOVES, DEEPEST = ("Reshape", "Transpose", "Squeeze", "Unsqueeze"), 8         # and how many of them in a row
RESIDUAL, TABLE = 4, 5          # inputs of a product
ZEROS = {"x_zero": 0, "a_zero": 0, "b_zero": 1, "r_zero": RESIDUAL, "zero": 0}       # attribute -> the input whose zero point it is


def absorbed(graph: Graph) -> None:
    """Tables of tables become one; limits, a sum with another value and a table behind a product become its own."""
    dead_code(graph)
    while _tables(graph):
        pass
    while _sums(graph):
        pass
    while _tables(graph):
        pass
    _floats(graph)
    _limits_of_floats(graph)
    _rows(graph)


def _rows(graph: Graph) -> None:
    """Bytes that only products of computed matrices read, moved or not, are to lie as the floats do: rows are read, not pixels."""
    consumers, outputs = graph.consumers(), graph.output_names()

    def is_matrix(value: str, depth: int = 0) -> bool:
        readers = consumers.get(value, [])
        return bool(readers) and value not in outputs and depth < DEEPEST and all(
            (node.op_type == "QBatchMatMul" and node.domain == OWN_DOMAIN)
            or (node.op_type in MATRIX_MOVES and not node.domain and is_matrix(node.outputs[0], depth + 1)) for node in readers)
    changed: dict[int, Node | None] = {
        id(node): replace(node, attrs={**node.attrs, "rows": 1}) for node in graph.nodes
        if node.op_type == "QuantizeBytes" and node.domain == OWN_DOMAIN and not node.attrs.get("rows", 0) and is_matrix(node.outputs[0])}
    replace_nodes(graph, changed)


def _floats(graph: Graph) -> None:
    """A product whose bytes are only dequantised makes floats itself."""
    consumers, outputs = graph.consumers(), graph.output_names()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.domain == OWN_DOMAIN and node.op_type in PRODUCTS and node.attrs["to"] == "int32":
            cast = sole_reader(node, consumers, outputs)
            if cast is not None and cast.op_type == "Cast" and cast.attrs["to"] == FLOAT:
                changed[id(node)], changed[id(cast)] = replace(node, attrs={**node.attrs, "to": "float"}, outputs=cast.outputs), None
        reader = sole_reader(node, consumers, outputs) if _takes_sum(graph, node) else None
        if reader is not None and reader.op_type == "DequantizeBytes" and reader.domain == OWN_DOMAIN:
            attrs = {**node.attrs, **_first(node), "first_factor": reader.attrs["scale"], "y_zero": 0, "lo": -inf, "hi": inf, "to": "float"}
            changed[id(node)], changed[id(reader)] = replace(node, attrs=attrs, outputs=reader.outputs), None
    replace_nodes(graph, changed)


def _limits_of_floats(graph: Graph) -> None:
    """A Relu or Clip behind a product that makes floats becomes its limits."""
    consumers, outputs = graph.consumers(), graph.output_names()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.domain != OWN_DOMAIN or node.op_type not in PRODUCTS or node.attrs["to"] != "float":
            continue
        reader = sole_reader(node, consumers, outputs)
        limits = limits_of(graph, reader) if reader is not None else None
        if reader is None or limits is None:
            continue
        lo, hi = (min(max(node.attrs[name], limits[0]), limits[1]) for name in ("lo", "hi"))
        changed[id(node)], changed[id(reader)] = replace(node, attrs={**node.attrs, "lo": lo, "hi": hi}, outputs=reader.outputs), None
    replace_nodes(graph, changed)


def _first(product: Node) -> dict[str, Any]:
    """Attributes for the first rounding of a product's sums, before a residual is added."""
    return {f"first_{name}": product.attrs[key] for name, key in (("zero", "y_zero"), ("lo", "lo"), ("hi", "hi"))}


def _tables(graph: Graph) -> bool:
    """A table whose only reader is another, or that only limits what a node before it makes."""
    consumers, outputs = graph.consumers(), graph.output_names()
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.domain != OWN_DOMAIN or id(node) in changed:
            continue
        reader = sole_reader(node, consumers, outputs)
        if reader is None or id(reader) in changed or reader.op_type != "ByteTable" or reader.domain != OWN_DOMAIN:
            continue
        table = graph.constants[reader.inputs[1]]
        if node.op_type == "ByteTable":
            merged: Node | None = _composed(graph, node, reader, table)
        else:
            told = _zeros(consumers, reader.outputs[0]) <= {node.attrs.get("y_zero")}
            merged = (_limited(node, reader, table) if told else None) or _looked_up(node, reader, table)
        if merged is not None:
            changed[id(node)], changed[id(reader)] = merged, None
    return replace_nodes(graph, changed)


def _zeros(consumers: Mapping[str, Sequence[Node]], value: str) -> set[int]:
    """The zero points by which bytes are read, moved or not: what a table makes may have another than what it reads."""
    found: set[int] = set()
    for node in consumers.get(value, ()):
        if node.domain == OWN_DOMAIN:
            found.update(node.attrs[name] for name, place in ZEROS.items() if name in node.attrs and node.input(place) == value)
        else:
            found.update(zero for moved in node.outputs if moved for zero in _zeros(consumers, moved))
    return found


def _composed(graph: Graph, first: Node, second: Node, table: np.ndarray) -> Node:
    name = graph.fresh_name(f"{second.inputs[1]}/composed")
    graph.constants[name] = table[graph.constants[first.inputs[1]].view(np.uint8)]
    return replace(first, inputs=(first.inputs[0], name), outputs=second.outputs, name=second.name)


def _limited(node: Node, reader: Node, table: np.ndarray) -> Node | None:
    """The node with the limits of a table that is min(max(u, low), high)."""
    if node.attrs.get("to") != "uint8" or node.input(TABLE) or table.dtype != np.uint8:
        return None
    low, high = int(table[0]), int(table[255])
    if low > high or not np.array_equal(table, np.clip(np.arange(256), low, high)):
        return None
    lo, hi = (min(max(node.attrs[name], low), high) for name in ("lo", "hi"))
    return replace(node, attrs={**node.attrs, "lo": lo, "hi": hi}, outputs=reader.outputs)


def _looked_up(node: Node, reader: Node, table: np.ndarray) -> Node | None:
    """The product with a table applied to its result."""
    if node.op_type not in PRODUCTS or node.attrs["to"] != "uint8" or node.input(TABLE) or table.dtype != np.uint8:
        return None
    inputs = (*node.inputs, *[""] * (TABLE - len(node.inputs)), reader.inputs[1])
    return replace(node, inputs=inputs, outputs=reader.outputs)


def _sums(graph: Graph) -> bool:
    """A QAdd of two values of one shape becomes part of the product that makes one of them, the later one where both are products."""
    consumers, outputs, producers = graph.consumers(), graph.output_names(), graph.producers()
    place = {id(node): k for k, node in enumerate(graph.nodes)}
    changed: dict[int, Node | None] = {}
    for node in graph.nodes:
        if node.op_type != "QAdd" or node.domain != OWN_DOMAIN or node.inputs[0] == node.inputs[1]:
            continue
        if not same_shape(*(shape_of(graph, v) for v in node.inputs)):
            continue
        makers = [(place[id(made)], side) for side in (0, 1) if (made := producers.get(node.inputs[side])) is not None
                  and id(made) not in changed and _takes_sum(graph, made) and sole_reader(made, consumers, outputs) is node]
        if makers:
            side = max(makers)[1]
            product = producers[node.inputs[side]]
            changed[id(product)], changed[id(node)] = None, _summed(product, node, side)
    return replace_nodes(graph, changed)


def _takes_sum(graph: Graph, node: Node) -> bool:
    if node.domain != OWN_DOMAIN or node.op_type not in PRODUCTS or node.input(RESIDUAL) or node.input(TABLE):
        return False
    w, group = graph.constants[node.inputs[1]], node.attrs.get("group", 1)
    depthwise = group > 1 and (w.shape[:2] == (group, 1) if node.op_type == "QConvTranspose" else w.shape[1] == 1)
    return node.attrs["to"] == "uint8" and not depthwise


def _summed(product: Node, add: Node, side: int) -> Node:
    """The product where the sum stood: what it made is bytes at a scale of its own still."""
    own, other = ("a", "b") if side == 0 else ("b", "a")
    attrs = {**product.attrs, **_first(product), "first_factor": add.attrs[f"{own}_factor"], "r_factor": add.attrs[f"{other}_factor"],
             "r_zero": add.attrs[f"{other}_zero"], **{key: add.attrs[key] for key in ("y_zero", "lo", "hi")}}
    inputs = (*product.inputs, *[""] * (RESIDUAL - len(product.inputs)), add.inputs[1 - side])
    return replace(product, inputs=inputs, attrs=attrs, outputs=add.outputs)
