"""From scores of classifiers and regressors of ai.onnx.ml to outputs: post_transform, and one score as those of two classes."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastcnn.ir.graph import Node


def labels_of(node: Node) -> np.ndarray | None:
    """classlabels, strings or integers; None where the node names none."""
    if node.attrs.get("classlabels_strings"):
        return np.array(node.attrs["classlabels_strings"], object)
    numbers = node.attrs.get("classlabels_ints") or node.attrs.get("classlabels_int64s")
    return np.array(numbers, np.int64) if numbers else None


def rows_of(x: np.ndarray) -> np.ndarray:
    """A vector is one row."""
    return x.reshape(1, -1) if x.ndim == 1 else x


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x)."""
    return (1 / (1 + np.exp(-x))).astype(x.dtype)


def softmax(x: np.ndarray) -> np.ndarray:
    """e^x over its sum along each row."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(x.dtype)


def softmax_zero(x: np.ndarray) -> np.ndarray:
    """softmax of what is not zero; zeros, a missing score, stay zeros and count for nothing."""
    counts = np.abs(x) > 1e-7
    e = np.where(counts, np.exp(x - x.max(-1, keepdims=True)), 0)
    return (e / np.maximum(e.sum(-1, keepdims=True), np.finfo(np.float32).tiny)).astype(x.dtype)


def probit(x: np.ndarray) -> np.ndarray:
    """The quantile of the normal distribution at x, by Winitzki's approximation of the inverse error function."""
    y = 2 * x.astype(np.float64) - 1
    log = np.log((1 - y) * (1 + y))
    v = 2 / (np.pi * 0.147) + log / 2
    return (np.sqrt(2) * np.sign(y) * np.sqrt(np.sqrt(v * v - log / 0.147) - v)).astype(x.dtype)


TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "LOGISTIC": logistic, "NONE": lambda x: x, "PROBIT": probit, "SOFTMAX": softmax, "SOFTMAX_ZERO": softmax_zero}


def transformed(scores: np.ndarray, transform: str) -> np.ndarray:
    """post_transform of scores (N, classes)."""
    return TRANSFORMS[transform](scores)


def regressed(y: np.ndarray, transform: str) -> np.ndarray:
    """post_transform of targets (N, targets); a single one is transformed by PROBIT alone."""
    return y if y.shape[1] == 1 and transform != "PROBIT" else TRANSFORMS[transform](y)


def both_classes(score: np.ndarray, transform: str, probability: bool) -> np.ndarray:
    """The score (N, 1) of the second of two classes as those of both: that of the first is 1 - score, or -score if it is no probability.

    Of the transforms LOGISTIC alone applies: to -score and score.
    """
    if transform == "LOGISTIC":
        return logistic(np.concatenate([-score, score], 1))
    return np.concatenate([1 - score if probability else -score, score], 1)
