"""Converts a Graph to plain data for the header and back; a graph that comes back is checked like a model file."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn.budget import MOST_NODES
from fastcnn.ir.errors import ConfigurationError, ModelError
from fastcnn.ir.graph import Activation, Graph, Node, ValueInfo
from fastcnn.operators.cards import FORMULAS
from fastcnn.schema.form import check_schema, signature
from fastcnn.schema.weights import check_graph

# Inputs that passes give an operator beyond ONNX's (fastcnn.ir.graph.Node).
FUSED_INPUTS = {"Conv": 2, "ConvTranspose": 2, "MatMul": 2, "MaxUnpool": 1}
# Bodies of control flow in each other.
MAX_DEPTH = 64

Store = Callable[[np.ndarray], int]
Fetch = Callable[[int], np.ndarray]


def described(graph: Graph, store: Store) -> dict[str, Any]:
    """The graph as data for JSON. store: writes an array, returns its entry. Raises ConfigurationError for values that do not fit."""
    return {
        "name": graph.name, "opsets": graph.opsets, "inputs": _infos(graph.inputs), "outputs": _infos(graph.outputs),
        "constants": {name: store(array) for name, array in graph.constants.items()},
        "nodes": [[node.op_type, node.domain, node.version, node.name, node.inputs, node.outputs,
                   {name: _plain(node, name, value, store) for name, value in node.attrs.items()}, node.captures,
                   node.activation and [node.activation.name, node.activation.alpha, node.activation.beta]] for node in graph.nodes]}


def _infos(infos: Iterable[ValueInfo]) -> list[Any]:
    return [[info.name, info.type, info.shape] for info in infos]


def _plain(node: Node, name: str, value: Any, store: Store) -> Any:
    if isinstance(value, Graph):
        return {"graph": described(value, store)}
    if isinstance(value, np.ndarray):
        return {"array": store(value)}
    if isinstance(value, (list, tuple)) and all(type(item) in (int, float, str) for item in value):
        return list(value)
    if type(value) in (int, float, str):
        return value
    raise ConfigurationError(f"{node.where()}: {name} is a {type(value).__name__}, which a compiled file cannot hold")


def graph_of(data: Any, fetch: Fetch) -> Graph:
    """The graph that described() made this of. fetch: an array of the table.

    Raises ModelError for a graph that contradicts itself or ONNX's definitions, TypeError, ValueError and the like for what is no graph.
    """
    return _Reading(fetch).graph(data, frozenset())


class _Reading:
    """nodes: so many so far, bodies included."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch, self.nodes, self.depth = fetch, 0, 0

    def graph(self, data: Any, around: frozenset[str]) -> Graph:
        """around: names that a body may capture."""
        inputs, outputs = [_info(info) for info in data["inputs"]], [_info(info) for info in data["outputs"]]
        constants = {_text(name): self.fetch(_int(k)) for name, k in data["constants"].items()}
        graph = Graph([], inputs, outputs, constants, {_text(d): _int(v) for d, v in data["opsets"].items()}, _text(data["name"]))
        known = {info.name for info in inputs} | constants.keys()
        if len({info.name for info in inputs}) < len(inputs):
            raise ModelError("an input is listed twice")
        self.nodes += len(data["nodes"])
        if self.nodes > MOST_NODES:
            raise ModelError(f"{self.nodes} nodes, at most {MOST_NODES} are possible")
        nodes = []
        for values in data["nodes"]:
            node = self.node(values, frozenset(known) | around)
            for name in node.reads:
                if name not in known and name not in around:
                    raise ModelError(f"{node.where()}: no node before it makes {name!r}")
            for name in filter(None, node.outputs):
                if name in known:
                    raise ModelError(f"{node.where()}: value {name!r} is assigned twice")
                known.add(name)
            nodes.append(node)
        for info in outputs:
            if info.name not in known and info.name not in around:
                raise ModelError(f"output {info.name!r}: no node makes it")
        graph.nodes = nodes
        graph.shapes = {info.name: info.shape for info in inputs if info.shape is not None} | {n: a.shape for n, a in constants.items()}
        check_graph(graph)
        graph.shapes = {}
        return graph

    def node(self, values: Any, around: frozenset[str]) -> Node:
        op_type, domain, version, name, inputs, outputs, attrs, captures, activation = values
        node = Node(_text(op_type), tuple(map(_text, inputs)), tuple(map(_text, outputs)), {}, _text(name), _text(domain), _int(version),
                    tuple([(_text(inner), _text(outer)) for inner, outer in captures]), _activation(activation))
        node.attrs.update((_text(key), self.attribute(value, around)) for key, value in attrs.items())
        found, extra = signature(node.op_type, node.version, node.domain), FUSED_INPUTS.get(node.op_type, 0)
        own = len(node.inputs) if found is None or node.domain else int(min(found.max_inputs, len(node.inputs)))
        if len(node.inputs) - own > extra:
            raise ModelError(f"{node.where()}: {len(node.inputs)} inputs")
        check_schema(node if own == len(node.inputs) else node.but(inputs=node.inputs[:own]))
        return node

    def attribute(self, value: Any, around: frozenset[str]) -> Any:
        if isinstance(value, Mapping):
            if "array" in value:
                return self.fetch(_int(value["array"]))
            if self.depth == MAX_DEPTH:
                raise ModelError(f"bodies nested more than {MAX_DEPTH} deep")
            self.depth += 1
            body = self.graph(value["graph"], around)
            self.depth -= 1
            return body
        if isinstance(value, list) and all(type(item) in (int, float, str) for item in value):
            return value
        if type(value) not in (int, float, str):
            raise TypeError(f"an attribute is a {type(value).__name__}")
        return value


def _activation(values: Any) -> Activation | None:
    if values is None:
        return None
    name, alpha, beta = values
    if name not in FORMULAS:
        raise ModelError(f"no activation {name!r}")
    return Activation(name, float(alpha), float(beta))


def _info(values: Any) -> ValueInfo:
    name, kind, shape = values
    if shape is not None and not all(d is None or isinstance(d, str) or (_int(d) >= 0) for d in shape):
        raise ValueError(f"a shape {shape}")
    return ValueInfo(_text(name), _text(kind), None if shape is None else tuple(shape))


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return value


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value
