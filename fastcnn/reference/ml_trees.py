"""Ensembles of decision trees of ai.onnx.ml: all rows go down all trees together, a level at a time."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.reference.ml_scores import both_classes, labels_of, regressed, rows_of, transformed

Inputs = Sequence[Any]
Comparison = Callable[[np.ndarray, np.ndarray], np.ndarray]
# In the order of the numbers that TreeEnsemble-5 gives them; after them comes the membership in a set.
COMPARISONS: dict[str, Comparison] = {
    "BRANCH_LEQ": np.less_equal, "BRANCH_LT": np.less, "BRANCH_GTE": np.greater_equal, "BRANCH_GT": np.greater, "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal}
MODES = list(COMPARISONS)
MEMBER, LEAF = len(MODES), -1
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORM_NAMES = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees in one list, by place.

    mode         of COMPARISONS, MEMBER or LEAF
    on_true      place of the node to go to, on_false likewise
    missing      whether NaN goes to on_true
    members      values of a MEMBER node, by place
    """

    roots: np.ndarray
    mode: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    on_true: np.ndarray
    on_false: np.ndarray
    missing: np.ndarray
    members: Mapping[int, np.ndarray]

    def leaves(self, x: np.ndarray) -> np.ndarray:
        """(rows, trees): the place of the leaf that each row ends in."""
        at = np.broadcast_to(self.roots, (len(x), len(self.roots))).copy()
        row = np.arange(len(x))[:, None]
        for _ in range(len(self.mode) + 1):
            mode = self.mode[at]
            if (mode == LEAF).all():
                return at
            value = x[row, self.feature[at]]
            onward = np.isnan(value) & self.missing[at]
            for number in np.unique(mode[mode != LEAF]):
                here = mode == number
                if number == MEMBER:
                    onward[here] |= [v in self.members[place] for v, place in zip(value[here], at[here])]
                else:
                    onward[here] |= COMPARISONS[MODES[number]](value[here], self.value[at[here]])
            at = np.where(mode == LEAF, at, np.where(onward, self.on_true[at], self.on_false[at]))
        raise ValueError("a tree has a cycle")


def _floats(node: Node, name: str) -> np.ndarray:
    """Numbers in an attribute or in its tensor."""
    tensor = node.attrs.get(f"{name}_as_tensor")
    return np.asarray(node.attrs.get(name) or (), np.float32) if tensor is None else tensor.reshape(-1)


def _forest(node: Node) -> tuple[Forest, dict[tuple[int, int], int]]:
    """The trees of TreeEnsembleClassifier and TreeEnsembleRegressor, and the place of (tree, node)."""
    attrs = node.attrs
    trees, ids = attrs["nodes_treeids"], attrs["nodes_nodeids"]
    places = {key: place for place, key in enumerate(zip(trees, ids))}
    roots: dict[int, int] = {}
    for place, tree in enumerate(trees):
        roots.setdefault(tree, place)
    def targets(name: str) -> np.ndarray:
        return np.array([places.get(key, 0) for key in zip(trees, attrs[name])], np.int64)
    mode = np.array([MODES.index(name) if name in COMPARISONS else LEAF for name in attrs["nodes_modes"]], np.int64)
    missing = np.array(attrs.get("nodes_missing_value_tracks_true") or [0] * len(ids), bool)
    return Forest(np.array(list(roots.values())), mode, np.array(attrs["nodes_featureids"]), _floats(node, "nodes_values"),
                  targets("nodes_truenodeids"), targets("nodes_falsenodeids"), missing, {}), places


def _features(x: np.ndarray) -> np.ndarray:
    return rows_of(x if x.dtype.kind == "f" else x.astype(np.float32))


def _weights(node: Node, places: Mapping[tuple[int, int], int], kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, count): the weight of each node for each class or target, and whether it has one."""
    weights, given = np.zeros((len(places), count)), np.zeros((len(places), count), bool)
    keys = zip(node.attrs[f"{kind}_treeids"], node.attrs[f"{kind}_nodeids"])
    for key, target, weight in zip(keys, node.attrs[f"{kind}_ids"], _floats(node, f"{kind}_weights")):
        weights[places[key], target] += weight
        given[places[key], target] = True
    return weights, given


def aggregated(weights: np.ndarray, given: np.ndarray, how: str, trees: int) -> np.ndarray:
    """(rows, targets) of (rows, trees, targets)."""
    if how in ("SUM", "AVERAGE"):
        return weights.sum(1) / (trees if how == "AVERAGE" else 1)
    least, worst = (np.min, np.inf) if how == "MIN" else (np.max, -np.inf)
    best = least(np.where(given, weights, worst), 1)
    return np.where(given.any(1), best, 0)


def tree_regressor(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The weights of the leaves that a row ends in, added up (or their mean, least, largest), and base_values."""
    attrs, x = node.attrs, _features(inputs[0])
    forest, places = _forest(node)
    weights, given = _weights(node, places, "target", attrs["n_targets"])
    leaves, base = forest.leaves(x), _floats(node, "base_values")
    y = aggregated(weights[leaves], given[leaves], attrs.get("aggregate_function", "SUM"), len(forest.roots))
    y = (y + base if base.size else y).astype(np.float32)
    return [regressed(y, attrs.get("post_transform", "NONE"))]


def tree_classifier(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(label, scores): the class of the largest sum of weights of the leaves that a row ends in, and the sums, transformed.

    A class without a weight in any of the leaves is not chosen. Where only one of two classes has weights they are of the second:
    probabilities if all are positive, else scores around zero.
    """
    attrs, x, labels = node.attrs, _features(inputs[0]), labels_of(node)
    if labels is None:
        raise ValueError("no classlabels")
    forest, places = _forest(node)
    weights, given = _weights(node, places, "class", max(len(labels), max(attrs["class_ids"]) + 1))
    leaves, base, transform = forest.leaves(x), _floats(node, "base_values"), attrs.get("post_transform", "NONE")
    scores = weights[leaves].sum(1)
    if len(labels) == 2 and len(set(attrs["class_ids"])) == 1:
        score = (scores[:, attrs["class_ids"][:1]] + (base[-1] if base.size else 0)).astype(np.float32)
        positive = min(_floats(node, "class_weights")) >= 0
        best = labels[(score[:, 0] > (0.5 if positive else 0)).astype(np.int64)]
        return [best, both_classes(score, transform, positive)]
    scores = (scores + base if base.size else scores).astype(np.float32)
    chosen = np.where(given[leaves].any(1) | bool(base.size), scores, -np.inf).argmax(1)
    return [labels[chosen], transformed(scores, transform)]


def tree_ensemble(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """TreeEnsemble-5: inner nodes and leaves in lists of their own, numbers for modes and transforms."""
    attrs, x = node.attrs, rows_of(inputs[0])
    inner, weights = len(attrs["nodes_modes"].reshape(-1)), attrs["leaf_weights"].reshape(-1)
    def targets(side: str) -> np.ndarray:
        leaf = np.array(attrs[f"nodes_{side}leafs"], bool)
        return np.where(leaf, inner, 0) + np.array(attrs[f"nodes_{side}nodeids"])
    none = np.zeros(len(weights), np.int64)
    modes = np.concatenate([attrs["nodes_modes"].reshape(-1).astype(np.int64), none + LEAF])
    tracks = np.array(attrs.get("nodes_missing_value_tracks_true") or [0] * inner)
    forest = Forest(np.array(attrs["tree_roots"]), modes, np.concatenate([attrs["nodes_featureids"], none]),
                    np.concatenate([attrs["nodes_splits"].reshape(-1), none.astype(x.dtype)]), np.concatenate([targets("true"), none]),
                    np.concatenate([targets("false"), none]), np.concatenate([tracks, none]).astype(bool), _members(node, modes))
    table, given = (np.zeros((inner + len(weights), attrs["n_targets"]), kind) for kind in (np.float64, bool))
    at = np.arange(len(weights)) + inner
    table[at, attrs["leaf_targetids"]], given[at, attrs["leaf_targetids"]] = weights, True
    leaves = forest.leaves(x)
    y = aggregated(table[leaves], given[leaves], AGGREGATES[attrs.get("aggregate_function", 1)], len(forest.roots)).astype(x.dtype)
    return [regressed(y, TRANSFORM_NAMES[attrs.get("post_transform", 0)])]


def _members(node: Node, modes: np.ndarray) -> dict[int, np.ndarray]:
    """The sets of MEMBER nodes, which stand one after another, each ended by NaN."""
    places = np.flatnonzero(modes == MEMBER)
    values = node.attrs.get("membership_values")
    if not places.size or values is None:
        return {}
    ends = np.flatnonzero(np.isnan(values.reshape(-1)))
    starts = np.concatenate([[0], ends[:-1] + 1])
    return {int(place): values.reshape(-1)[start:end] for place, start, end in zip(places, starts, ends)}
