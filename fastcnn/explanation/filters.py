"""The filters of the convolution that reads the image."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.graph import Graph

PASSED = ("Transpose", "Cast", "Identity", "Pad", "Sub", "Div", "Mul", "Add", "BatchNormalization", "Clip", "QuantizeLinear",
          "DequantizeLinear")


def first_filters(graph: Graph, image: str) -> tuple[str, np.ndarray] | None:
    """Name of the convolution that reads the image and its weights (M, C / groups, KH, KW); None where there is none."""
    seen = {image}
    for node in graph.nodes:
        if not node.inputs or node.inputs[0] not in seen:
            continue
        w = graph.constants.get(node.inputs[1]) if node.op_type == "Conv" and len(node.inputs) > 1 else None
        if w is not None and np.asarray(w).ndim == 4:
            return node.name, np.asarray(w, np.float32)
        if node.op_type in PASSED:
            seen.update(node.outputs)
    return None
