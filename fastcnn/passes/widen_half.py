"""float16 and bfloat16 arithmetic in float32: weights widened at load, casts to half turned into casts to float32.

Exact for the weights. Results keep more digits than half precision would; the graph's inputs and outputs keep their types,
Model converts them at the border.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastcnn.graph import Graph

HALF_TYPES, FLOAT_TYPE = ("tensor(float16)", "tensor(bfloat16)"), "tensor(float)"
# TensorProto.DataType: FLOAT16 and BFLOAT16, and FLOAT in their stead. The attributes that name an element type:
HALF_CODES, FLOAT_CODE = (10, 16), 1
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")


def widen_half(graph: Graph) -> bool:
    """Every half-precision constant, element type attribute and tensor attribute as float32; True when there was one."""
    changed = False
    for name, array in graph.constants.items():
        if _is_half(array.dtype):
            graph.constants[name] = array.astype(np.float32)
            changed = True
    for k, node in enumerate(graph.nodes):
        widened = {key: _widened(key, value) for key, value in node.attrs.items()}
        if any(widened[key] is not value for key, value in node.attrs.items()):
            graph.nodes[k] = replace(node, attrs=widened)
            changed = True
    types = graph.metadata.get("types", {})
    if any(kind in HALF_TYPES for kind in types.values()):
        graph.metadata["types"] = {name: "tensor(float)" if kind in HALF_TYPES else kind for name, kind in types.items()}
        changed = True
    return changed


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
    wide = replace(body, nodes=list(body.nodes), constants=dict(body.constants), inputs=inputs, outputs=outputs, metadata={})
    return wide if widen_half(wide) or (inputs, outputs) != (body.inputs, body.outputs) else body
