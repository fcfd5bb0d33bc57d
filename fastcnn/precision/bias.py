"""Bias correction: rounding weights shifts the mean of a product's output; its bias is corrected by that shift."""
from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.precision.products import CONVOLUTIONS, WEIGHT, output_axis, rows
from fastcnn.precision.scales import Memo, Scale, stored_rows, weight_scales


def shift(graph: Graph, node: Node, at: Scale, mean: np.ndarray, per_channel: bool) -> np.ndarray | None:
    """sum over what an output reads of (w - stored w) * mean of x: what stored weights lack of the output's mean, (outputs,) float32.

    mean  of the product's input, a channel each (Conv, ConvTranspose), or an element of a row (Gemm, MatMul). Padding counts as if it
          were that too. An output of ConvTranspose reads one tap in as many as there are positions in a stride: the mean over these.
    After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2.
    """
    w = graph.constants[node.inputs[WEIGHT]]
    flat = rows(node, w).astype(np.float64)
    bias = graph.constants.get(node.input(2))
    scales = weight_scales(flat, bias, float(at.scale), per_channel)
    lost = flat - stored_rows(flat, scales) * scales[:, None].astype(np.float64)
    group, outputs = node.attrs.get("group", 1), flat.shape[0]
    if node.op_type not in CONVOLUTIONS:
        return (lost @ mean).astype(np.float32) if mean.size == lost.shape[1] else None
    each = w.shape[1 - output_axis(node)]
    positions = math.prod(node.attrs.get("strides", ())) if node.op_type == "ConvTranspose" else 1
    if mean.size != group * each:
        return None
    by_channel = lost.reshape(group, outputs // group, each, -1).sum(3) / positions
    return np.einsum("gok,gk->go", by_channel, mean.reshape(group, each)).reshape(-1).astype(np.float32)


def shifts(graph: Graph, products: list[Node], scales: Mapping[str, Scale], means: Mapping[str, np.ndarray],
           per_channel: bool, memo: Memo | None = None) -> dict[str, np.ndarray]:
    """Product, by its output -> what to add to its bias. memo: keeps them, for other graphs of the same products."""
    memo, found = Memo() if memo is None else memo, dict[str, "np.ndarray | None"]()
    for node in products:
        if node.op_type == "MatMul":                        # it has no bias
            continue
        name, at = node.outputs[0], scales[node.inputs[0]]
        key = ("shift", name, float(at.scale))
        if key not in memo:
            memo[key] = shift(graph, node, at, means[node.inputs[0]], per_channel)
        found[name] = memo[key]
    return {name: value for name, value in found.items() if value is not None}
