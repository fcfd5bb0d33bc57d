"""Counts parameters and multiply-accumulates of an ONNX model.

Parameters: elements of weights and biases of convolutions, matrix products, embeddings and recurrent layers, and scale and bias of
normalizations; running statistics and constants (Clip bounds, Resize scales, anchors) are not counted.  This is torch's
`sum(p.numel() for p in model.parameters())`.
MACs: one per product of a convolution, matrix product or recurrent layer, in a Loop as often as it turns; biases and everything else
are free.  This is what torchvision publishes as GFLOPS.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper, numpy_helper, shape_inference

# operator -> positions of its learnt inputs
PARAMETER_INPUTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
    "DeformConv": (1, 3),
    "LSTM": (1, 2, 3),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "Einsum": (1,),
    "Gather": (0,),
    "Add": (0, 1),
    "Mul": (0, 1),
    "Reshape": (0,),
    "Transpose": (0,),
}
NAMED_PARAMETERS = ("Gather", "Add", "Mul", "Reshape", "Transpose")  # read fixed tensors as well: what is learnt has a name such as ...
LEARNT_ENDINGS = ("weight", "bias", "layer_scale")                   # ... conv1.bias or backbone.scale_weight
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

CONSTANT_ELEMENTS = 16  # initializers up to this size may steer shape inference (Resize scales, Reshape targets) and are kept


@dataclass(frozen=True)
class Count:
    """Parameters and multiply-accumulates of one inference."""

    params: int
    macs: int


def count(model: onnx.ModelProto, *, batch: int = 1, dynamic: int = 1) -> Count:
    """Parameters and MACs; symbolic extents of the first axis are taken as `batch`, any other symbolic extent is a ValueError.

    dynamic  stands for every extent that the data decides, the number of proposed regions for instance
    """
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    learnt = {name for node in _all_nodes(model.graph) for name in _learnt_inputs(node) if name in weights}
    return Count(params=sum(prod(weights[name]) for name in learnt),
                 macs=_graph_macs(model, _inputs(model.graph, batch), dynamic))


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the bodies inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _all_nodes(attribute.g)


def _learnt_inputs(node: onnx.NodeProto) -> list[str]:
    """Names of the inputs of a node that hold learnt values if they are initializers."""
    positions = PARAMETER_INPUTS.get(node.op_type, ())
    names = [name for i, name in enumerate(node.input) if i in positions]
    return [name for name in names if node.op_type not in NAMED_PARAMETERS or name.endswith(LEARNT_ENDINGS)]


def _inputs(graph: onnx.GraphProto, batch: int) -> list[onnx.ValueInfoProto]:
    """The inputs of a graph with numbers for extents."""
    inputs = []
    for value in graph.input:
        dims = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim]
        if dims and isinstance(dims[0], str):
            dims[0] = batch
        if any(isinstance(d, str) for d in dims):
            raise ValueError(f"input {value.name!r} has symbolic extents {dims}: the MACs depend on them")
        inputs.append(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, dims))
    return inputs


def _graph_macs(model: onnx.ModelProto, inputs: list[onnx.ValueInfoProto], dynamic: int) -> int:
    """MACs of a graph whose inputs have these shapes, with the bodies of its loops."""
    known = _values(model, inputs)
    shapes = {name: tuple(d.dim_value if d.HasField("dim_value") else dynamic for d in value.type.tensor_type.shape.dim)
              for name, value in known.items()}
    constants = {t.name: t for t in model.graph.initializer if _is_small(t)}
    total = 0
    for node in model.graph.node:
        total += _macs(node, shapes)
        if node.op_type == "Loop":
            turns = int(numpy_helper.to_array(constants[node.input[0]]))
            total += turns * _body_macs(model, node, known, dynamic)
    return total


def _body_macs(model: onnx.ModelProto, loop: onnx.NodeProto, known: Mapping[str, onnx.ValueInfoProto], dynamic: int) -> int:
    """MACs of one turn: the state has the shape it starts with, values of the graph around are inputs as well."""
    body = next(a.g for a in loop.attribute if a.name == "body")
    outer = [known[name] for name in dict.fromkeys(name for node in body.node for name in node.input) if name in known]
    state = [_renamed(known[name], value.name) for name, value in zip(loop.input[2:], body.input[2:])]
    constants = [t for t in model.graph.initializer if _is_small(t)]
    inner = helper.make_model(helper.make_graph(body.node, body.name, [], body.output, [*body.initializer, *constants]),
                              opset_imports=model.opset_import, ir_version=model.ir_version)
    return _graph_macs(inner, [*body.input[:2], *state, *outer], dynamic)


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    copy.name = name
    return copy


def _is_small(tensor: onnx.TensorProto) -> bool:
    """Whether it is a constant that may steer shape inference, and holds its values."""
    held = any(getattr(tensor, field) for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"))
    return held and prod(tensor.dims) <= CONSTANT_ELEMENTS


def _values(model: onnx.ModelProto, inputs: list[onnx.ValueInfoProto]) -> dict[str, onnx.ValueInfoProto]:
    """Value name -> type and shape, by ONNX shape inference on a copy whose large weights are declared and absent."""
    graph = model.graph
    kept = [t for t in graph.initializer if _is_small(t)]
    small = {t.name for t in kept}
    declared = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializer]
    given = {v.name for v in inputs}
    absent = [v for v in declared if v.name not in small | given]
    outputs = [helper.make_tensor_value_info(v.name, v.type.tensor_type.elem_type, None) for v in graph.output]
    light = helper.make_model(helper.make_graph(graph.node, graph.name, [v for v in inputs if v.name not in small] + absent, outputs, kept),
                              opset_imports=model.opset_import, ir_version=model.ir_version)
    inferred = shape_inference.infer_shapes(light, strict_mode=True).graph
    return {v.name: v for values in (declared, inferred.input, inferred.value_info, inferred.output) for v in values}


def _macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Products one node computes; 0 for everything that is not a convolution, a matrix product or a recurrent layer."""
    if node.op_type in ("Conv", "DeformConv"):  # each output sees ic / group * kh * kw products
        return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":  # each input feeds oc / group * kh * kw products
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]
    if node.op_type == "MatMul":
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    if node.op_type == "Einsum":  # one product for every combination of the letters
        equation = next(a.s.decode() for a in node.attribute if a.name == "equation").replace(" ", "").split("->")[0]
        return prod({letter: extent for term, name in zip(equation.split(","), node.input)
                     for letter, extent in zip(term, shapes[name])}.values())
    if node.op_type in GATES:  # (steps, batch, features); w: (directions, gates * hidden, features)
        steps, batch, features = shapes[node.input[0]]
        directions, rows, _ = shapes[node.input[1]]
        return steps * batch * directions * rows * (features + rows // GATES[node.op_type])
    return 0
