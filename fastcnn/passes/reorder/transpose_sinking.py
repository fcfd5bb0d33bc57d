"""Arithmetic behind a MatMul's Transpose moves before it, where the MatMul can take it in: op(x^T, z) = op(x, z^-T)^T.

ConvNeXt ends its blocks so: MatMul, Transpose to channels first, Mul by the layer scale, Add of the skip connection.
"""
from __future__ import annotations

import numpy as np

from fastcnn.expansion import add_constant, shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import affine, is_float, replace_by_several, sole_reader
from fastcnn.passes.fuse.residual_fusion import takes_residual
from fastcnn.passes.rewrite import describe, same_shape


def transpose_sinking(graph: Graph) -> bool:
    """Moves every elementwise node that alone reads a Transpose, which alone reads a MatMul, to between the two."""
    consumers, outputs = graph.consumers(), graph.output_names()
    new: dict[int, list[Node]] = {}
    for node in graph.nodes:
        transpose = sole_reader(node, consumers, outputs) if node.op_type == "MatMul" and takes_residual(graph, node) else None
        if transpose is None or transpose.op_type != "Transpose" or transpose.domain or not transpose.attrs.get("perm"):
            continue
        reader = sole_reader(transpose, consumers, outputs)
        moved = _moved(graph, node, transpose, reader) if reader is not None and id(reader) not in new else None
        if moved is not None:
            new[id(transpose)], new[id(reader)] = [], moved
    return replace_by_several(graph, new)


def _moved(graph: Graph, matmul: Node, transpose: Node, reader: Node) -> list[Node] | None:
    """The nodes in place of the Transpose and its reader; None where the MatMul could not take them in."""
    source, value = matmul.outputs[0], transpose.outputs[0]
    shape, perm = shape_of(graph, source), transpose.attrs["perm"]
    if shape is None or len(perm) != len(shape) or not is_float(graph, source) or len(reader.inputs) != 2 or reader.domain:
        return None
    side = 1 if reader.inputs[0] == value else 0
    other, inverse = reader.inputs[side], [int(k) for k in np.argsort(perm)]
    before: list[Node] = []
    if other in graph.constants:
        channels = graph.constants[matmul.inputs[1]].shape[1]
        if affine(graph, reader, value, len(shape), channels, perm.index(len(shape) - 1)) is None:
            return None
        array = graph.constants[other]
        array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape).transpose(inverse)
        argument = add_constant(graph, f"{other}.transposed", np.ascontiguousarray(array))
    else:
        if reader.op_type != "Add" or not same_shape(shape_of(graph, value), shape_of(graph, other)):
            return None
        argument = graph.fresh_name(f"{value}.residual")
        describe(graph, argument, source)
        before.append(transpose.but(inputs=(other,), outputs=(argument,), attrs={"perm": inverse}))
    result = graph.fresh_name(f"{reader.outputs[0]}.before")
    describe(graph, result, source)
    inputs = (source, argument) if side == 1 else (argument, source)
    return [*before, reader.but(inputs=inputs, outputs=(result,)), transpose.but(inputs=(result,), outputs=reader.outputs)]
