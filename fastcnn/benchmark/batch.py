"""Changes the batch size of a model."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def rebatch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The model with `batch` as the first axis of its inputs, in place. Symbolic axes stay.

    Exporters write the batch size also into the targets of Reshape: a leading number that is the old batch size becomes ONNX's 0,
    "as in the input". Raises ValueError when inputs have different batch sizes.
    """
    graph = model.graph
    first = _batch_axes(graph)
    old = {dim.dim_value for dim in first if dim.dim_value}
    if len(old) > 1:
        raise ValueError(f"inputs with batch sizes {sorted(old)}")
    if not old or old == {batch}:
        return model
    for dim in first:
        dim.dim_value = batch
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    _open_reshapes(graph, old.pop())
    return onnx.shape_inference.infer_shapes(model)


def _batch_axes(graph: onnx.GraphProto) -> list[onnx.TensorShapeProto.Dimension]:
    weights = {tensor.name for tensor in graph.initializer}
    shapes = [value.type.tensor_type.shape.dim for value in graph.input if value.name not in weights]
    return [dims[0] for dims in shapes if dims]


def _open_reshapes(graph: onnx.GraphProto, old: int) -> None:
    constants = {node.output[0]: node.attribute[0].t for node in graph.node
                 if node.op_type == "Constant" and node.attribute[0].name == "value"}
    constants |= {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        target = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is not None:
            shape = numpy_helper.to_array(target).copy()
            if shape.size > 1 and shape[0] == old:
                shape[0] = 0
                target.CopyFrom(numpy_helper.from_array(shape.astype(np.int64), target.name))


def save_with_batch(path: Path, batch: int, folder: Path) -> Path:
    """The file itself where its batch size is that or symbolic, else a copy of it in `folder`."""
    graph = onnx.load(str(path), load_external_data=False).graph
    if {dim.dim_value for dim in _batch_axes(graph)} <= {0, batch}:
        return path
    copy = folder / "network.onnx"
    onnx.save(rebatch(onnx.load(str(path)), batch), str(copy))
    return copy
