"""Types and shapes of one node's outputs when those of its inputs are numbers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastcnn.inference.infer import ODD, infer_graph, outputs_of, rule_of
from fastcnn.inference.site import Known, Mismatch, Site
from fastcnn.ir.errors import ShapeError
from fastcnn.ir.graph import Node
from fastcnn.onnx_proto.types import element_name, element_of, numpy_type
from fastcnn.operators.epilogue import onnx_arity

Types = tuple[np.dtype, tuple[int, ...]]


def infer_outputs(node: Node, inputs: Sequence[Types | None], values: Mapping[str, np.ndarray]) -> list[Types | None]:
    """(dtype, shape) of each output, None where it depends on data (or is omitted).

    inputs  (dtype, shape) one a node input; None where it is omitted or unknown
    values  known input values by name: shapes, axes, pads, scales
    Raises ShapeError naming the node when the inputs do not fit the operator.
    """
    arity = onnx_arity(node)
    if any(v and t is None for v, t in zip(node.inputs[:arity], inputs)):
        return [None] * len(node.outputs)
    known = Known(constants=values)
    for name, kind in zip(node.inputs, inputs):
        if name and kind is not None:
            known.types[name], known.shapes[name] = f"tensor({element_name(kind[0])})", kind[1]
    try:
        kinds, shapes = outputs_of(Site(node, known, infer_graph), rule_of(node))
    except ODD as error:
        why = error if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
        raise ShapeError(f"{node.where()}: {why} ({_shown(inputs)})") from None
    concrete = [_concrete(kind, shape) if name and kind else None for name, kind, shape in zip(node.outputs, kinds, shapes)]
    return [*concrete, *[None] * (len(node.outputs) - len(concrete))]


def _shown(inputs: Sequence[Types | None]) -> str:
    return "inputs: " + ", ".join(f"{t[0]}{list(t[1])}" for t in inputs if t is not None)


def _concrete(kind: str, shape: Sequence[int | str | None] | None) -> Types | None:
    element = element_of(kind)
    sizes = tuple(d for d in shape or () if isinstance(d, int))
    if element is None or shape is None or len(sizes) < len(shape):
        return None
    return numpy_type(element), sizes
