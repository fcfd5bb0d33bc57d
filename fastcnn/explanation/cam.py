"""Class activation maps: how much each place of the last map adds to the score of a class.

Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning deep features for discriminative localization (CVPR 2016). A network that ends in
score[k] = bias[k] + sum over c of weight[k, c] * mean over i, j of map[c, i, j] has, for class k, the map of
sum over c of weight[k, c] * map[c, i, j], whose mean is the score without its bias.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fastcnn.ir.graph import Graph, Node

PASSED = ("Softmax", "LogSoftmax", "Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Cast")
MEANS = ("GlobalAveragePool", "ReduceMean", "AveragePool")


@dataclass(frozen=True)
class Ending:
    """map: the value (N, C, H, W) that is averaged; weight: (K, C), None where its channels are the classes."""

    map: str
    weight: np.ndarray | None

    def evidence(self, maps: np.ndarray, k: int) -> np.ndarray:
        """(H, W) for class k of a map (C, H, W)."""
        return maps[k] if self.weight is None else np.tensordot(self.weight[k].astype(np.float64), maps.astype(np.float64), 1)


def ending(graph: Graph, output: str) -> Ending | None:
    """The Ending of a graph: global average pooling, then at most one linear layer; None for other graphs."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    weight, name = None, output
    for _ in range(len(graph.nodes)):
        node = makers.get(name)
        if node is None:
            return None
        if node.op_type in MEANS:
            return Ending(node.inputs[0], weight) if _is_global(node, graph.constants) else None
        if node.op_type == "Add":
            given = [other for other in node.inputs if other not in graph.constants]
            if len(given) != 1:
                return None
            name = given[0]
        elif node.op_type in PASSED:
            name = node.inputs[0]
        elif weight is None and (found := _linear(node, graph.constants)) is not None:
            weight, name = found, node.inputs[0]
        else:
            return None
    return None


def _linear(node: Node, constants: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The weights (K, C) of a linear layer."""
    w = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if w is None or node.attrs.get("transA"):
        return None
    w = np.asarray(w)
    if node.op_type == "Gemm" and w.ndim == 2:
        return (w if node.attrs.get("transB") else w.T) * np.float32(node.attrs.get("alpha", 1.0))
    if node.op_type == "MatMul" and w.ndim == 2:
        return w.T
    if node.op_type == "Conv" and w.ndim == 4 and w.shape[2:] == (1, 1) and node.attrs.get("group", 1) == 1:
        return w[:, :, 0, 0]
    return None


def _is_global(node: Node, constants: Mapping[str, np.ndarray]) -> bool:
    """Whether a mean is over all places of (N, C, H, W)."""
    if node.op_type == "ReduceMean":
        axes = node.attrs.get("axes")
        if axes is None and len(node.inputs) > 1 and node.inputs[1] in constants:
            axes = np.asarray(constants[node.inputs[1]]).tolist()
        return axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]
    return node.op_type == "GlobalAveragePool"
