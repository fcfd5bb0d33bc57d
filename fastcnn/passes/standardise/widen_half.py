"""Turns float16 and bfloat16 arithmetic into float32: widens weights, and makes casts to half precision roundings of floats.

Exact for the weights. Results of arithmetic keep more digits than half precision would; a Cast or CastLike asks for the rounding and gets
it, up to infinity. The graph's inputs and outputs keep their types: passes/half_border.py casts float16 there, Model converts bfloat16.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import is_not
from typing import Any

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.types import element_name
from fastcnn.operators.elementwise import OWN_DOMAIN, ROUNDINGS

HALF_TYPES, FLOAT_TYPE = frozenset({"tensor(float16)", "tensor(bfloat16)"}), "tensor(float)"
# TensorProto.DataType: FLOAT16 and BFLOAT16, and FLOAT in their stead. The attributes that name an element type:
HALF_CODES, FLOAT_CODE = {10: "tensor(float16)", 16: "tensor(bfloat16)"}, 1
CASTS = ("Cast", "CastLike")
TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})
HOLDERS = frozenset({np.ndarray, Graph})        # attributes of these types have elements of a type of their own


def widen_half(graph: Graph) -> bool:
    """Every half-precision constant, element type attribute and tensor attribute as float32; True when there was one."""
    halves = [name for name, array in graph.constants.items() if array.dtype.itemsize == 2 and _is_half(array.dtype)]
    changed = bool(halves)
    if not graph.operators().isdisjoint(CASTS):
        changed |= _round_casts(graph, halves)
    for name in halves:
        graph.constants[name] = graph.constants[name].astype(np.float32)
    attributes = {id(node.attrs): node.attrs for node in graph.nodes}           # which nodes alike share
    odd = {key for key, attrs in attributes.items()
           if attrs and not (TYPE_ATTRIBUTES.isdisjoint(attrs) and HOLDERS.isdisjoint(map(type, attrs.values())))}
    wide = {id(node): made for node in graph.nodes if odd and id(node.attrs) in odd and (made := _with_wide_attributes(node)) is not node}
    if wide:
        graph.nodes, changed = [wide.get(id(node), node) for node in graph.nodes], True
    known = graph.types
    if not HALF_TYPES.isdisjoint(known.values()):
        graph.types = {name: FLOAT_TYPE if kind in HALF_TYPES else kind for name, kind in known.items()}
        changed = True
    return changed


def _round_casts(graph: Graph, halves: Iterable[str]) -> bool:
    types = dict(graph.types)
    types.update((info.name, info.type) for info in graph.inputs if info.type)
    types.update((name, f"tensor({element_name(graph.constants[name].dtype)})") for name in halves)
    nodes = [made for node in graph.nodes for made in _rounded(graph, node, types)]
    changed = len(nodes) != len(graph.nodes) or any(map(is_not, nodes, graph.nodes))
    if changed:
        graph.nodes = nodes
    return changed


def _with_wide_attributes(node: Node) -> Node:
    """The node without attributes of half types; the same object where there are none."""
    widened = {key: _widened(key, value) for key, value in node.attrs.items()}
    return node.but(attrs=widened) if any(widened[key] is not value for key, value in node.attrs.items()) else node


def _rounded(graph: Graph, node: Node, types: Mapping[str, str]) -> list[Node]:
    """A cast to a half type as the rounding of floats, with a cast to float before it where x is not known to be one.

    Doubles are rounded twice so. What is of that type already is left alone.
    """
    if node.domain or node.op_type not in CASTS:
        return [node]
    source = types.get(node.inputs[0], "")
    target = HALF_CODES.get(node.attrs.get("to", 0), "") if node.op_type == "Cast" else types.get(node.inputs[1], "")
    if target not in ROUNDINGS or target == source:
        return [node]
    before, x = [], node.inputs[0]
    if source not in (FLOAT_TYPE, *HALF_TYPES):
        x = graph.fresh_name(f"{node.outputs[0]}.float")
        before = [Node("Cast", node.inputs[:1], (x,), {"to": FLOAT_CODE}, f"{node.name}/float", "", node.version)]
    return [*before, Node(ROUNDINGS[target], (x,), node.outputs, {}, node.name, OWN_DOMAIN, 1)]


def _is_half(dtype: np.dtype) -> bool:
    return dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")


def _widened(key: str, value: Any) -> Any:
    if key in TYPE_ATTRIBUTES and isinstance(value, int) and value in HALF_CODES:
        return FLOAT_CODE
    if isinstance(value, np.ndarray) and _is_half(value.dtype):
        return value.astype(np.float32)
    return _widened_body(value) if isinstance(value, Graph) else value


def _widened_body(body: Graph) -> Graph:
    """The body with its types and constants widened; the same object where there is nothing to widen."""
    inputs, outputs = ([replace(info, type=FLOAT_TYPE) if info.type in HALF_TYPES else info for info in infos]
                       for infos in (body.inputs, body.outputs))
    wide = replace(body.forgetful(), nodes=list(body.nodes), constants=dict(body.constants), inputs=inputs, outputs=outputs)
    return wide if widen_half(wide) or (inputs, outputs) != (body.inputs, body.outputs) else body
