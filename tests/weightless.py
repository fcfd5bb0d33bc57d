"""Networks of real size for what reads no weights: each is one number, which takes no memory and no time to draw."""
from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

import models

SMALL = 64          # elements: shapes, scales and the like are kept


def weightless(name: str, **options: object) -> onnx.ModelProto:
    """The network of that name whose weights are ConstantOfShape nodes."""
    proto = models.build(name, weights=False, **options)
    nodes, kept = [], []
    for tensor in proto.graph.initializer:
        held = tensor.raw_data or tensor.int64_data or tensor.float_data
        if held and int(np.prod(tensor.dims)) <= SMALL:
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(np.array(list(tensor.dims), np.int64), f"{tensor.name}.shape"))
        value = helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.01])
        nodes.append(helper.make_node("ConstantOfShape", [f"{tensor.name}.shape"], [tensor.name], value=value))
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    nodes += proto.graph.node
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto
