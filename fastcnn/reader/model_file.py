"""ONNX file, bytes or ModelProto -> Graph: the only place that knows what a model looks like in protobuf.

Whatever contradicts itself is refused here with a ModelError that names the node, operator, attribute or value.
"""
from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.boundary import foreseen
from fastcnn.budget import MOST_NODES
from fastcnn.inference.types import infer_types
from fastcnn.ir.errors import FormatError, LimitError, ModelError, warn_user
from fastcnn.ir.graph import NODE_FIELDS, Graph, Node, ValueInfo
from fastcnn.ir.record import dataclass
from fastcnn.mapping import Mapping, mapped, open_regular
from fastcnn.onnx_proto.attributes import attribute_value
from fastcnn.onnx_proto.messages import Message, OddMessage, decode, form_of, node_like
from fastcnn.onnx_proto.tensor_data import dense_array, sparse_array
from fastcnn.onnx_proto.types import message_name, normal_domain, text, type_shape, type_string
from fastcnn.reader.early import early_warning, later_version
from fastcnn.reader.order import topological
from fastcnn.reader.type_check import check_types
from fastcnn.reader.upgrade import upgraded
from fastcnn.reader.wire import Weights, split
from fastcnn.schema.form import check_schema, newest_opset, onnx_version
from fastcnn.schema.weights import check_graph

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

# Types of attributes that are no messages.
PLAIN = frozenset({int, float, str, list, np.ndarray})
# Bodies of control flow in each other.
MAX_DEPTH = 64
# Before this IR version every initializer had to be an input too: that it is one says nothing.
INPUTS_APART = 4
# Before this IR version models named no opset: there was but one.
OPSETS_IMPORTED = 3


def read(model: str | os.PathLike[str] | bytes | ModelProto) -> Graph:
    """The Graph of a model, constants as numpy arrays in their own dtype, nodes in topological order.

    metadata has producer_name, producer_version, domain, model_version, doc_string, graph_name, graph_description,
    custom_metadata_map and ir_version; types, shapes and contents are what inference says of values.
    Raises ModelError for what is not ONNX or contradicts itself; external data is read only for a path. Warns once of operators
    that are newer than the model's opset.
    """
    with foreseen(ModelError):
        return _read(model)


def _read(model: str | os.PathLike[str] | bytes | ModelProto) -> Graph:
    proto, weights, beside = _load(model)
    opsets = _opsets(proto)
    nodes = _inlined_nodes(proto)
    build = _Build(opsets, beside)
    _read_tensors(build, proto.graph, weights)
    build.add_nodes(nodes)
    if build.early:
        warn_user(early_warning(opsets[""], build.early), UserWarning)
    graph = upgraded(_assemble(build, proto))
    types = check_types(graph)
    graph.memory = {}
    known = infer_types(graph, types, graph.memory)
    graph.types, graph.shapes, graph.contents = {**known.types, **types}, known.shapes, known.contents
    check_graph(graph)
    return graph


def _load(model: Any) -> tuple[ModelProto | Message, Weights, str | None]:
    """(ModelProto, data of initializers that were left out of it, path of the file, beside which external data may lie)."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return *_parse(bytes(model), "model bytes"), None
    if not isinstance(model, (str, os.PathLike)):
        from onnx import ModelProto
        if isinstance(model, ModelProto):
            return _not_empty(model, "ModelProto"), [], None
        raise ModelError(f"a model is a path, bytes or an onnx.ModelProto, not {type(model).__name__}")
    path = os.fsdecode(model)
    try:
        data = _content(path)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return *_parse(data, repr(path)), path


def _content(path: str) -> bytes | Mapping:
    """The bytes of a file, mapped. Raises OSError for anything but a regular file."""
    with open_regular(path) as stream:
        try:
            return mapped(stream, path)
        except (OSError, ValueError):         # an empty file, or a file system that maps nothing
            return stream.read()


def _parse(data: bytes | Mapping, what: str) -> tuple[ModelProto | Message, Weights]:
    if not len(data):
        raise FormatError(f"{what}: empty")
    if data[4:8] == b"ORTM":
        raise FormatError(f"{what}: onnxruntime's own ORT format; the .onnx file it was made from is needed")
    try:
        return _not_empty(decode(data), what), []
    except OddMessage:
        return _parsed_by_protobuf(data, what)


def _parsed_by_protobuf(data: bytes | Mapping, what: str) -> tuple[ModelProto, Weights]:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto
    weights: Weights = []
    try:
        message, weights = split(data)
    except OddMessage:
        message = data[:]
    try:
        proto = ModelProto.FromString(message)
    except (DecodeError, ValueError) as error:      # ValueError: too large for one message
        raise FormatError(f"{what}: not an ONNX model, or cut off ({error})") from None
    return _not_empty(proto, what), weights


def _not_empty(proto: Any, what: str) -> Any:
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise FormatError(f"{what}: not an ONNX model, or cut off (there is no graph in it)")
    return proto


def _opsets(proto: ModelProto | Message) -> dict[str, int]:
    """Opset version by domain, the highest where one is listed twice."""
    opsets: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = normal_domain(text(entry.domain, "domain of an opset"))
        opsets[domain] = max(opsets.get(domain, 0), int(entry.version))
    if not opsets and 1 <= proto.ir_version < OPSETS_IMPORTED:
        opsets[""] = 1
    if not opsets:
        raise ModelError("the model imports no opset: its operators mean nothing")
    if "" in opsets and not 1 <= opsets[""] <= newest_opset(opsets[""]):
        raise ModelError(f"opset {opsets['']} is not supported: 1 to {newest_opset()} are (onnx {onnx_version()})")
    return opsets


def _inlined_nodes(proto: Any) -> Iterable[NodeProto]:
    """The main graph's nodes with calls of model-local functions replaced by the functions' bodies."""
    if not proto.functions:
        return proto.graph.node
    from .functions import inline
    return inline(proto).graph.node


@dataclass
class _Build:
    """Collects constants and nodes while a graph is read, and checks that each value is defined once."""

    opsets: dict[str, int]
    beside: str | None
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    early: set[tuple[str, int]] = field(default_factory=set)
    depth: int = 0
    read: list[int] = field(default_factory=lambda: [0])        # nodes so far, bodies included
    forms: dict[Hashable, Node] = field(default_factory=dict)   # form_of() a node -> one of that form

    def constant(self, name: str, array: np.ndarray, where: str) -> None:
        if not text(name, where):
            raise ModelError(f"{where}: has no name")
        if name in self.constants:
            raise ModelError(f"{where}: value {name!r} is assigned twice")
        self.constants[name] = array

    def add_nodes(self, protos: Iterable[NodeProto]) -> None:
        protos = list(protos)
        self.read[0] += len(protos)
        if self.read[0] > MOST_NODES:
            raise LimitError(f"{self.read[0]} nodes, at most {MOST_NODES} are possible")
        self.taken, form = {p.name for p in protos}, None
        for index, proto in enumerate(protos):
            if isinstance(proto, Message):
                form = form_of(proto)
                like = self.forms.get(form)
                if like is not None:
                    name = proto.name or self._name(f"{like.op_type}_{index}")
                    self.nodes.append(node_like(like, NODE_FIELDS, proto, name))
                    continue
            node = self.node(proto, index)
            later = later_version(node, self.constants)
            if later is not None:
                self.early.add((node.op_type, later))
                node = node.but(version=later)
            check_schema(node)
            if node.op_type == "Constant" and not node.domain:
                self.constant(
                    node.outputs[0] if node.outputs else "", _constant_value(node, self.beside), node.where()
                )
            else:
                self.nodes.append(node)
                if form is not None and later is None and not node.bodies:
                    self.forms[form] = node

    def node(self, proto: NodeProto, index: int) -> Node:
        inputs, outputs, op_type, domain = tuple(proto.input), tuple(proto.output), proto.op_type, normal_domain(proto.domain)
        if not isinstance(proto, Message):                      # of which all strings are
            for value in (op_type, domain, proto.name, *inputs, *outputs):
                text(value, f"node {index}")
        attrs: dict[str, Any] = {}
        node = Node(op_type, inputs, outputs, attrs, proto.name or self._name(f"{op_type}_{index}"), domain, self.opsets.get(domain, 0))
        if domain not in self.opsets:
            raise ModelError(f"{node.where()}: the model imports no opset of domain {domain or 'ai.onnx'!r}")
        if not proto.attribute:
            return node
        where, graphs = node.where(), False
        for attribute in proto.attribute:
            name = attribute.name
            if name in attrs:
                raise ModelError(f"{where}: attribute {name!r} is given twice")
            value = attrs[name] = attribute_value(attribute, where, self.beside)
            graphs |= type(value) not in PLAIN and message_name(value) == "GraphProto"
        if not graphs:
            return node
        attrs.update((key, self.body(value)) for key, value in attrs.items() if message_name(value) == "GraphProto")
        captures = dict.fromkeys(name for body in node.bodies.values() for name in body.free_names())
        return node.but(captures=tuple((value, value) for value in captures)) if captures else node

    def body(self, graph: GraphProto) -> Graph:
        """A body of control flow: free names in it are values of the graphs around it."""
        if self.depth == MAX_DEPTH:
            raise ModelError(f"graph {graph.name!r}: bodies nested more than {MAX_DEPTH} deep")
        inner = _Build(self.opsets, self.beside, early=self.early, depth=self.depth + 1, read=self.read)
        _read_tensors(inner, graph, [])
        inner.add_nodes(graph.node)
        inputs = [_value_info(i, "input") for i in graph.input if i.name not in inner.constants]
        outputs = [_value_info(o, "output") for o in graph.output]
        body = Graph(inner.nodes, inputs, outputs, inner.constants, self.opsets, text(graph.name, "graph name"))
        body.nodes = topological(body.nodes, [*(i.name for i in inputs), *body.free_names()], body.constants)
        return body

    def _name(self, stem: str) -> str:
        while stem in self.taken:
            stem += "_"
        self.taken.add(stem)
        return stem


def _constant_value(node: Node, beside: str | None) -> np.ndarray:
    """The array of a Constant node: exactly one of its attributes says it."""
    forms = [name for name in node.attrs if not name.startswith("__")]
    if len(forms) != 1:
        raise ModelError(f"{node.where()}: needs exactly one value attribute, has {sorted(forms)}")
    value = node.attrs[forms[0]]
    if forms[0] == "sparse_value":
        return sparse_array(value, beside, node.where())
    if forms[0] == "value":
        return value
    dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return np.array(value, dtype.get(forms[0], object))


def _read_tensors(build: _Build, graph: Any, weights: Weights) -> None:
    """Initializers, dense and sparse."""
    for k, tensor in enumerate(graph.initializer):
        where = f"initializer {tensor.name!r}"
        build.constant(tensor.name, dense_array(tensor, build.beside, where, weights[k] if weights else None), where)
    for sparse in graph.sparse_initializer:
        where = f"sparse initializer {sparse.values.name!r}"
        build.constant(sparse.values.name, sparse_array(sparse, build.beside, where), where)


def _assemble(build: _Build, proto: Any) -> Graph:
    graph = proto.graph
    inputs = [_value_info(i, "input") for i in graph.input if i.name not in build.constants]
    overridable = [i.name for i in graph.input if i.name in build.constants] if proto.ir_version >= INPUTS_APART else []
    for info in inputs:
        if not info.type:
            raise ModelError(f"input {info.name!r}: has no type")
    nodes = topological(build.nodes, [i.name for i in inputs], build.constants)
    known = {i.name for i in inputs} | set(build.constants) | {v for n in nodes for v in n.outputs}
    outputs = [_value_info(o, "output") for o in graph.output]
    for info in outputs:
        if info.name not in known:
            raise ModelError(f"output {info.name!r}: no node makes it")
    if not outputs:
        raise ModelError(f"graph {graph.name!r}: has no outputs")
    return Graph(nodes, inputs, outputs, build.constants, build.opsets, graph.name, _metadata(proto), overridable=overridable)


def _value_info(info: ValueInfoProto, what: str) -> ValueInfo:
    if not text(info.name, f"name of a graph {what}"):
        raise ModelError(f"graph {what} without a name")
    return ValueInfo(info.name, type_string(info.type), type_shape(info.type))


def _metadata(proto: Any) -> dict[str, Any]:
    fields = ("producer_name", "producer_version", "domain", "model_version", "doc_string", "ir_version")
    return {**{name: getattr(proto, name) for name in fields}, "graph_name": text(proto.graph.name, "graph name"),
            "graph_description": proto.graph.doc_string,
            "custom_metadata_map": {entry.key: entry.value for entry in proto.metadata_props}}
