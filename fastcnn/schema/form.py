"""Checks nodes against ONNX's operator schemas: the operator exists, its inputs and attributes are there and of the right kind."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.attributes import Kind
from fastcnn.onnx_proto.types import attribute_type, message_name
from fastcnn.schema.ranges import check_ranges
from fastcnn.schema.signatures import NEWEST_OPSET, OLDEST_OPSET, SIGNATURES, Signature, parsed

# Domains whose operators onnx defines; nodes of other domains pass unchecked.
CHECKED_DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")

# No schema, but attributes of the same names and meanings.
CONTRIBUTED = ("com.microsoft", "com.ms.internal.nhwc")

_PYTHON_TYPES: dict[int, type] = {Kind.FLOAT: float, Kind.INT: int, Kind.STRING: str, Kind.TENSOR: np.ndarray, Kind.GRAPH: Graph}
_ELEMENT_TYPES: dict[int, type] = {Kind.FLOATS: float, Kind.INTS: int, Kind.STRINGS: str, Kind.TENSORS: np.ndarray, Kind.GRAPHS: Graph}
_MESSAGES: dict[int, str] = {Kind.TYPE_PROTO: "TypeProto", Kind.SPARSE_TENSOR: "SparseTensorProto"}
_LISTED_MESSAGES: dict[int, str] = {Kind.TYPE_PROTOS: "TypeProto", Kind.SPARSE_TENSORS: "SparseTensorProto"}


@cache
def signature(op_type: str, version: int, domain: str) -> Signature | None:
    """The operator as of an opset version; None when there is none."""
    versions = SIGNATURES.get(op_type) if not domain and OLDEST_OPSET <= version <= NEWEST_OPSET else None
    if versions is not None:
        since = max((v for v in versions if v <= version), default=0)
        return parsed(versions[since], since) if since else None
    return _signature_of_schema(op_type, version, domain)


def _signature_of_schema(op_type: str, version: int, domain: str) -> Signature | None:
    import onnx
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    return Signature(
        schema.min_input, schema.max_input, schema.max_output,
        tuple(i for i, formal in enumerate(schema.inputs) if formal.option == single and i < schema.min_input),
        tuple(formal.name for formal in schema.inputs),
        {name: (Kind(attribute_type(a)), bool(a.required)) for name, a in schema.attributes.items()},
        schema.since_version if schema.deprecated else 0)


def newest_opset(asked: int = NEWEST_OPSET + 1) -> int:
    """The newest opset that is known: that of the table, or of the installed onnx where `asked` is newer than the table."""
    if asked <= NEWEST_OPSET:
        return NEWEST_OPSET
    import onnx
    return max(NEWEST_OPSET, onnx.defs.onnx_opset_version())


def onnx_version() -> str:
    """The version of the installed onnx."""
    import onnx
    return onnx.__version__


# Experimental until opset 9 or 10, without a schema by now, and one that onnxruntime writes here: passes know what they mean.
EXPERIMENTAL = frozenset({"Affine", "ConstantFill", "Crop", "DynamicSlice", "GivenTensorFill", "ImageScaler", "MeanVarianceNormalization",
                          "ParametricSoftplus", "Scale", "ScaledTanh", "SimplifiedLayerNormalization", "ThresholdedRelu"})
# Withdrawn in hindsight (18, for a corrected 21): models carry it and onnxruntime runs it.
STILL_RUN = {"GroupNormalization"}
# BatchNormalization-1 requires it; it means nothing.
UNUSED = "consumed_inputs"


def check_schema(node: Node) -> None:
    """Raises ModelError naming the node when ONNX's definition of its operator does not allow it."""
    if node.domain in CONTRIBUTED:
        check_ranges(node)
    if node.domain not in CHECKED_DOMAINS:
        return
    found = signature(node.op_type, node.version, node.domain)
    if found is None and node.op_type in EXPERIMENTAL and not node.domain:
        check_ranges(node)
        return
    if found is None:
        raise ModelError(f"{node.where()}: no such operator in domain {node.domain or 'ai.onnx'!r}")
    if found.deprecated_since and node.op_type not in STILL_RUN:
        raise ModelError(f"{node.where()}: the operator is withdrawn since opset {found.deprecated_since}, "
                         f"the model says opset {node.version}")
    check_form(node, found)


def check_form(node: Node, found: Signature) -> None:
    """Raises ModelError when the node's inputs, outputs or attributes are not those of the signature."""
    _check_arity(node, found)
    _check_attributes(node, found)
    if not node.domain:
        check_ranges(node)


def _check_arity(node: Node, found: Signature) -> None:
    count = len(node.inputs)
    if not found.min_inputs <= count <= found.max_inputs:
        limits = (
            str(found.min_inputs)
            if found.min_inputs == found.max_inputs
            else f"{found.min_inputs} to {found.max_inputs}"
        )
        raise ModelError(f"{node.where()}: {count} inputs, the operator takes {limits}")
    if len(node.outputs) > found.max_outputs:
        raise ModelError(f"{node.where()}: {len(node.outputs)} outputs, the operator makes at most {found.max_outputs}")
    for i in found.required_inputs:
        if not node.inputs[i]:
            raise ModelError(f"{node.where()}: required input {found.input_names[i]!r} is missing")


def _check_attributes(node: Node, found: Signature) -> None:
    for name, value in node.attrs.items():
        if name not in found.attributes:
            if name.startswith("__"):       # left to tools by onnx.checker
                continue
            raise ModelError(f"{node.where()}: unknown attribute {name!r}")
        kind = found.attributes[name][0]
        if not _is_kind(value, kind):
            raise ModelError(f"{node.where()}: attribute {name!r} should be {Kind(kind).name}, "
                             f"it is {_shown(value)}")
    for name, (_, required) in found.attributes.items():
        if required and name not in node.attrs and name != UNUSED:
            raise ModelError(f"{node.where()}: required attribute {name!r} is missing")


def _is_kind(value: Any, kind: int) -> bool:
    if kind in _PYTHON_TYPES:
        return isinstance(value, _PYTHON_TYPES[kind])
    if kind in _MESSAGES:
        return message_name(value) == _MESSAGES[kind]
    if not isinstance(value, list):
        return False
    if kind in _LISTED_MESSAGES:
        return all(message_name(v) == _LISTED_MESSAGES[kind] for v in value)
    return all(isinstance(v, _ELEMENT_TYPES[kind]) for v in value)


def _shown(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) < 80 else text[:77] + "..."
