"""Writes a Graph as an ONNX model, and converts ONNX models to a later opset. It imports onnx, so it is itself imported only when used."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, helper, version_converter

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.to_proto import graph_proto

LARGEST = 2 ** 31 - 1           # bytes of a message; weights of larger models are in a file of their own
PRODUCER = "fastcnn"


def model_proto(graph: Graph, version: str) -> ModelProto:
    """The model of a graph of standard operators. Raises ModelError for a node that the graph's opset has in another form."""
    for node in graph.nodes:
        _check(node, graph.opsets)
    imports = [helper.make_opsetid(domain, number) for domain, number in graph.opsets.items()]
    least = helper.find_min_ir_version_for(imports, ignore_unknown=True)
    said = graph.metadata
    proto = helper.make_model(graph_proto(graph), opset_imports=imports, ir_version=max(int(said.get("ir_version") or 0), least),
                              producer_name=PRODUCER, producer_version=version, doc_string=said.get("doc_string") or "")
    proto.graph.doc_string = said.get("graph_description") or ""
    helper.set_model_props(proto, {str(k): str(v) for k, v in (said.get("custom_metadata_map") or {}).items()})
    return proto


def _check(node: Node, opsets: dict[str, int]) -> None:
    """Raises ModelError for a node whose operator has another form in the opset of the file."""
    if node.activation is not None or node.domain not in opsets:
        raise ModelError(f"{node.where()}: is no operator of the file's opsets")
    if not onnx.defs.has(node.op_type, node.domain):
        return
    try:
        own, file = (onnx.defs.get_schema(node.op_type, version, node.domain).since_version
                     for version in (max(node.version, 1), opsets[node.domain]))
    except onnx.defs.SchemaError:
        raise ModelError(f"{node.where()}: opset {opsets[node.domain]} of {node.domain or 'ONNX'} does not have it") from None
    if own != file:
        raise ModelError(f"{node.where()}: is written in opset {node.version}, where it means something else than in {opsets[node.domain]}")


def raised(model: Any, opset: int) -> Any:
    """The model in `opset` or a later one, converted by onnx; unchanged where it is. Raises ModelError where onnx cannot convert it."""
    proto = model if isinstance(model, ModelProto) else _parsed(model)
    found = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if not found or found[0] >= opset:
        return model
    try:
        if not isinstance(model, (bytes, ModelProto)):
            proto = onnx.load(os.fspath(model))
        return version_converter.convert_version(proto, opset)
    except Exception as error:
        raise ModelError(f"a model of opset {found[0]}, which onnx does not convert to {opset}: {error}") from error


def _parsed(model: Any) -> ModelProto:
    """The message, without external data. Raises ModelError."""
    try:
        return ModelProto.FromString(model) if isinstance(model, bytes) else onnx.load(os.fspath(model), load_external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise ModelError(f"is no ONNX model: {error}") from error


def save(proto: ModelProto, path: str | os.PathLike[str]) -> None:
    """Writes the model: to a temporary file that is renamed, so that readers of an old file are not disturbed.

    A model too large for one protobuf message is written in place, its weights as external data beside it.
    """
    target = Path(path)
    if proto.ByteSize() > LARGEST:
        onnx.save(proto, str(target), save_as_external_data=True, location=f"{target.name}.data")
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(proto.SerializeToString())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
