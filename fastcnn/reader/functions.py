"""Inlines model-local functions: calls are replaced by the functions' bodies, without copying weights."""
from __future__ import annotations

from collections.abc import Iterable

import onnx.inliner
from onnx import ModelProto, NodeProto, TensorProto

from fastcnn.budget import MOST_NODES
from fastcnn.ir.errors import LimitError, ModelError
from fastcnn.onnx_proto.types import normal_domain

Key = tuple[str, str]


def inline(proto: ModelProto) -> ModelProto:
    """A copy of the model without its functions and without the data of its initializers.

    Raises ModelError for functions that call themselves or cannot be inlined.
    """
    _refuse_recursion(proto)
    _refuse_explosion(proto)
    try:
        light = _without_weights(proto)
        for convert in (False, True):        # True: a function of another opset is converted to the model's
            inlined = onnx.inliner.inline_local_functions(light, convert)
            if not inlined.functions:
                return inlined
    except Exception as error:
        raise ModelError(f"functions of the model cannot be inlined: {error}") from error
    left = ", ".join(sorted(f"{f.domain}::{f.name}" for f in inlined.functions)[:8])
    raise ModelError(f"functions of the model cannot be inlined: {left}")


def _refuse_explosion(proto: ModelProto) -> None:
    """Raises LimitError naming the function that makes too many nodes of itself and what it calls."""
    bodies = {(normal_domain(f.domain), f.name): f.node for f in proto.functions}
    counts: dict[Key, int] = {}

    def count(nodes: Iterable[NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (normal_domain(node.domain), node.op_type)
            if key in bodies and key not in counts:
                counts[key] = count(bodies[key])
                if counts[key] > MOST_NODES:
                    raise LimitError(f"function {key[0]}::{key[1]} expands to {counts[key]} nodes, at most {MOST_NODES} are possible")
            total += counts.get(key, 1)
            for attribute in node.attribute:
                for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                    total += count(body.node)
        return total

    total = count(proto.graph.node)
    if total > MOST_NODES:
        raise LimitError(f"graph {proto.graph.name!r}: expands to {total} nodes, at most {MOST_NODES} are possible")


def _without_weights(proto: ModelProto) -> ModelProto:
    light = ModelProto(ir_version=proto.ir_version)
    light.opset_import.extend(proto.opset_import)
    light.functions.extend(proto.functions)
    for name in ("node", "input", "output", "value_info"):
        getattr(light.graph, name).extend(getattr(proto.graph, name))
    light.graph.name = proto.graph.name
    light.graph.initializer.extend(
        TensorProto(name=t.name, data_type=t.data_type, dims=t.dims) for t in proto.graph.initializer)
    return light


def _calls(nodes: Iterable[NodeProto], names: set[Key], depth: int = 0) -> set[Key]:
    """Functions that nodes call, bodies of control flow included."""
    if depth > 64:
        raise ModelError("bodies nested more than 64 deep in a function")
    found = set()
    for node in nodes:
        key = (normal_domain(node.domain), node.op_type)
        if key in names:
            found.add(key)
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                found |= _calls(body.node, names, depth + 1)
    return found


def _refuse_recursion(proto: ModelProto) -> None:
    names = {(normal_domain(f.domain), f.name) for f in proto.functions}
    calls = {(normal_domain(f.domain), f.name): _calls(f.node, names) for f in proto.functions}
    while True:                              # drop functions that call none that is left
        done = {key for key, callees in calls.items() if not callees & calls.keys()}
        if not done:
            break
        calls = {key: callees for key, callees in calls.items() if key not in done}
    if calls:
        domain, name = sorted(calls)[0]
        raise ModelError(f"function {domain}::{name} calls itself")
