"""Counts parameters and multiply-accumulates of an ONNX model.

Parameters: elements of weights and biases of convolutions and matrix products, and scale and bias of BatchNormalization; running
statistics and constants (Clip bounds, Resize scales) are not counted.  This is torch's `sum(p.numel() for p in model.parameters())`.
MACs: one per product of a convolution or matrix product, biases and everything else free.  This is what torchvision publishes as GFLOPS.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper, shape_inference

# operator -> positions of its learnt inputs
PARAMETER_INPUTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "BatchNormalization": (1, 2),
    "PRelu": (1,),
}

CONSTANT_ELEMENTS = 16  # initializers up to this size may steer shape inference (Resize scales, Reshape targets) and are kept


@dataclass(frozen=True)
class Count:
    """Parameters and multiply-accumulates of one inference."""

    params: int
    macs: int


def count(model: onnx.ModelProto, *, batch: int = 1) -> Count:
    """Parameters and MACs; symbolic extents of the first axis are taken as `batch`, any other symbolic extent is a ValueError."""
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    learnt = {name for node in model.graph.node for i, name in enumerate(node.input)
              if i in PARAMETER_INPUTS.get(node.op_type, ()) and name in weights}
    shapes = _shapes(model, batch)
    return Count(params=sum(prod(weights[name]) for name in learnt),
                 macs=sum(_macs(node, shapes) for node in model.graph.node))


def _shapes(model: onnx.ModelProto, batch: int) -> dict[str, tuple[int, ...]]:
    """Value name -> shape, by ONNX shape inference on a copy whose large weights are declared and absent."""
    graph = model.graph
    inputs = []
    for value in graph.input:
        dims = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim]
        if isinstance(dims[0], str):
            dims[0] = batch
        if any(isinstance(d, str) for d in dims):
            raise ValueError(f"input {value.name!r} has symbolic extents {dims}: the MACs depend on them")
        inputs.append(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, dims))
    kept = [t for t in graph.initializer if prod(t.dims) <= CONSTANT_ELEMENTS]
    inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializer
               if prod(t.dims) > CONSTANT_ELEMENTS]
    outputs = [helper.make_tensor_value_info(v.name, v.type.tensor_type.elem_type, None) for v in graph.output]
    light = helper.make_model(helper.make_graph(graph.node, graph.name, inputs, outputs, kept),
                              opset_imports=model.opset_import, ir_version=model.ir_version)
    inferred = shape_inference.infer_shapes(light, strict_mode=True).graph
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
              for values in (inferred.input, inferred.value_info, inferred.output) for v in values}
    return shapes | {t.name: tuple(t.dims) for t in kept}


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Products one node computes; 0 for everything that is not a convolution or a matrix product."""
    if node.op_type == "Conv":  # each output sees ic / group * kh * kw products
        return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":  # each input feeds oc / group * kh * kw products
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]
    if node.op_type == "MatMul":
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 0
