"""Copies of a graph with other inputs: symbolic sizes fixed, constants replaced, or constants made inputs."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from fastcnn.inference.types import infer_types
from fastcnn.ir.errors import InputError
from fastcnn.ir.graph import Graph, ValueInfo
from fastcnn.onnx_proto.types import tensor_of


def with_sizes(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with these symbolic sizes of inputs and outputs replaced by numbers."""
    if not sizes:
        return graph
    def fixed(info: ValueInfo) -> ValueInfo:
        shape = info.shape and tuple(sizes.get(d, d) if isinstance(d, str) else d for d in info.shape)
        return replace(info, shape=shape)
    return _inferred(replace(graph, inputs=[fixed(i) for i in graph.inputs], outputs=[fixed(o) for o in graph.outputs]))


def with_constants(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Graph:
    """The graph with constants replaced by arrays of the same type and shape. Raises InputError for others."""
    if not arrays:
        return graph
    for name, array in arrays.items():
        kept = graph.constants.get(name)
        if kept is None:
            raise InputError(f"initializer {name!r}: the model has none of this name")
        if array.dtype != kept.dtype or array.shape != kept.shape:
            raise InputError(f"initializer {name!r}: expected {kept.dtype}{list(kept.shape)}, got {array.dtype}{list(array.shape)}")
    return _inferred(replace(graph, constants={**graph.constants, **arrays}))


def with_inputs(graph: Graph, names: Collection[str]) -> Graph:
    """The graph with these constants as further inputs."""
    infos = [constant_info(graph, name) for name in names]
    constants = {name: array for name, array in graph.constants.items() if name not in names}
    return _inferred(replace(graph, inputs=[*graph.inputs, *infos], constants=constants))


def constant_info(graph: Graph, name: str) -> ValueInfo:
    """The ValueInfo of a constant."""
    array = graph.constants[name]
    return ValueInfo(name, tensor_of(array.dtype), array.shape)


def _inferred(graph: Graph) -> Graph:
    """The graph with types and shapes inferred again."""
    graph = replace(graph, types={}, shapes={})
    return replace(graph, **infer_types(graph).facts())
