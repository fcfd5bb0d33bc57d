"""Support vector machines of ai.onnx.ml: kernels of rows and support vectors, pairwise votes, coupled probabilities."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.reference.ml_scores import both_classes, labels_of, logistic, rows_of, transformed

Inputs = Sequence[Any]
# Iterations and tolerance of the coupling of pairwise probabilities, as in libsvm.
COUPLING_ROUNDS, COUPLING_TOLERANCE = 100, 0.005
SMALLEST_PROBABILITY = 1e-7


def _kernel(node: Node, x: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """k(x, v) of each row and vector: a product, and what kernel_type makes of it with gamma, coef0 and degree."""
    gamma, coef0, degree = (*node.attrs.get("kernel_params", ()), 0.0, 0.0, 0.0)[:3]
    kind = node.attrs.get("kernel_type", "LINEAR")
    if kind == "RBF":
        return np.exp(-gamma * np.square(x[:, None] - vectors[None]).sum(-1))
    product = x @ vectors.T
    if kind == "LINEAR":
        return product
    product = gamma * product + coef0
    return np.tanh(product) if kind == "SIGMOID" else product ** degree


def svm_regressor(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """sum of coefficients k(x, support vector) + rho; its sign with one_class. Without support vectors x coefficients + rho."""
    x, attrs = rows_of(inputs[0]).astype(np.float64), node.attrs
    weights, count = np.asarray(attrs["coefficients"], np.float64), attrs.get("n_supports", 0)
    kernels = _kernel(node, x, np.asarray(attrs["support_vectors"], np.float64).reshape(count, -1)) if count else x
    y = (kernels @ weights + attrs["rho"][0]).reshape(-1, 1)
    return [(np.where(y > 0, 1, -1) if attrs.get("one_class", 0) else y).astype(np.float32)]


def svm_classifier(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(label, scores): the class with most votes of pairs; its scores are those of the pairs, or probabilities with prob_a, prob_b."""
    x, attrs, labels = rows_of(inputs[0]).astype(np.float64), node.attrs, labels_of(node)
    if labels is None:
        raise ValueError("no classlabels")
    transform = attrs.get("post_transform", "NONE")
    if not sum(attrs.get("vectors_per_class") or [0]):
        scores = (x @ np.asarray(attrs["coefficients"], np.float64).reshape(len(labels), -1).T + attrs["rho"][0]).astype(np.float32)
        return [_linear_label(attrs["coefficients"], scores, labels), transformed(scores, transform)]
    scores, votes = _pairs(node, x, len(labels))
    best = labels[votes.argmax(1)]
    if attrs.get("prob_a"):
        return [best, transformed(_probabilities(node, scores, len(labels)).astype(np.float32), transform)]
    scores = scores.astype(np.float32)
    if len(labels) > 2:
        return [best, transformed(scores, transform)]
    return [best, both_classes(scores, transform, transform != "NONE")]


def _linear_label(weights: Sequence[float], scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """That of the largest score; of two classes the second where a score counts as positive."""
    best = scores.argmax(1)
    if len(labels) == 2:
        top = scores.max(1)
        best = np.where(top >= 0.5 if min(weights) >= 0 else top > 0, 1, best)
    return labels[best]


def _pairs(node: Node, x: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(scores of pairs of classes, votes for classes): a pair's first class has the vote where the score is positive."""
    counts = node.attrs["vectors_per_class"]
    ends = np.cumsum(counts)
    parts = [slice(end - count, end) for end, count in zip(ends, counts)]
    kernels = _kernel(node, x, np.asarray(node.attrs["support_vectors"], np.float64).reshape(ends[-1], -1))
    weights = np.asarray(node.attrs["coefficients"], np.float64).reshape(-1, ends[-1])
    scores, votes = [], np.zeros((len(x), classes), np.int64)
    for (i, j), rho in zip(combinations(range(classes), 2), node.attrs["rho"]):
        score = kernels[:, parts[i]] @ weights[j - 1, parts[i]] + kernels[:, parts[j]] @ weights[i, parts[j]] + rho
        scores.append(score)
        votes[np.arange(len(x)), np.where(score > 0, i, j)] += 1
    return np.stack(scores, 1), votes


def _probabilities(node: Node, scores: np.ndarray, classes: int) -> np.ndarray:
    """Of the classes, from those of pairs, 1 / (1 + e^(a score + b)): Wu, Lin, Weng, JMLR 2004, algorithm 2."""
    pairwise = 1 - logistic(scores * node.attrs["prob_a"] + node.attrs["prob_b"])
    pairwise = pairwise.clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.stack([_coupled(row, classes) for row in pairwise])


def _coupled(pairwise: np.ndarray, classes: int) -> np.ndarray:
    r = np.zeros((classes, classes))
    for (i, j), p in zip(combinations(range(classes), 2), pairwise):
        r[i, j], r[j, i] = p, 1 - p
    q = -r.T * r
    np.fill_diagonal(q, np.square(r).sum(0))
    p = np.full(classes, 1 / classes)
    for _ in range(COUPLING_ROUNDS):
        qp = q @ p
        pqp = p @ qp
        if np.abs(qp - pqp).max() < COUPLING_TOLERANCE / classes:
            break
        for i in range(classes):
            step = (pqp - qp[i]) / q[i, i]
            p[i] += step
            pqp = (pqp + step * (step * q[i, i] + 2 * qp[i])) / (1 + step) ** 2
            qp = (qp + step * q[i]) / (1 + step)
            p /= 1 + step
    return p
