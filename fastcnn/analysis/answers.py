"""Reads meaning from outputs: the likeliest classes, pictures, or statistics of the numbers."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn.ir.errors import InputError

SURE = 1e-3                     # by which the sum of probabilities may differ from 1
PICTURE = 16                    # pixels of a side that a picture has at least


def probabilities(scores: np.ndarray) -> np.ndarray:
    """The scores (K,) if they are probabilities already, else their softmax."""
    scores = scores.astype(np.float64)
    if scores.min() >= 0 and abs(scores.sum() - 1) < SURE:
        return scores
    shifted = np.exp(scores - scores.max())
    return shifted / shifted.sum()


def is_scores(y: np.ndarray) -> bool:
    """Whether an output has a vector of class scores for each image."""
    return y.dtype.kind == "f" and y.ndim >= 2 and y.shape[1] > 1 and y[0].size == y.shape[1]


def top(y: np.ndarray, count: int, labels: Sequence[str] | None = None) -> list[list[dict[str, Any]]]:
    """For each image the likeliest classes: class, label, score, probability. y: (N, K), or with axes of 1 behind."""
    found = []
    for scores in y.reshape(len(y), -1):
        chances = probabilities(scores)
        best = np.argsort(-chances, kind="stable")[:count]
        found.append([{"class": int(k), "label": labels[k] if labels is not None and k < len(labels) else None, "score": float(scores[k]),
                       "probability": float(chances[k])} for k in best])
    return found


def is_picture(y: np.ndarray, layout: str) -> bool:
    """Whether an output has a picture for each image."""
    if y.ndim != 4 or y.dtype.kind not in "fu":
        return False
    channels, sides = (y.shape[1], y.shape[2:]) if layout == "NCHW" else (y.shape[3], y.shape[1:3])
    return channels in (1, 3) and min(sides) >= PICTURE


def statistics(name: str, y: Any) -> dict[str, Any]:
    """A dict of name, type and shape; for numbers also the least, the largest, the mean and how many are not finite."""
    if not isinstance(y, np.ndarray):
        return {"name": name, "type": type(y).__name__, "shape": [len(y)] if isinstance(y, (list, Mapping)) else []}
    found: dict[str, Any] = {"name": name, "type": str(y.dtype), "shape": list(y.shape)}
    if y.dtype.kind in "fiub" and y.size:
        values = y.astype(np.float64)
        finite = values[np.isfinite(values)]
        found |= {"not_finite": int(values.size - finite.size)}
        if finite.size:
            found |= {"min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean())}
    return found


def read_labels(path: str) -> list[str]:
    """The class names in a file: one per line, or JSON: a list, {"0": name} or {"0": [id, name]}. Raises InputError."""
    text = Path(path).read_text()
    if not text.lstrip().startswith(("[", "{")):
        return text.splitlines()
    try:
        found = json.loads(text)
        if isinstance(found, list):
            return [str(name) for name in found]
        count = 1 + max(int(key) for key in found)
        names = {int(key): value[-1] if isinstance(value, list) else value for key, value in found.items()}
    except (ValueError, TypeError) as error:
        raise InputError(f"labels {path!r}: neither a line a class nor a JSON list or object: {error}") from None
    return [str(names.get(k, k)) for k in range(count)]
