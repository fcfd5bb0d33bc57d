"""Operators of ai.onnx.ml around a classifier: features before it, labels and scores after it.

Where ONNX's text leaves something open, results are as in onnxruntime, with which tests compare.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.reference.ml_scores import both_classes, labels_of, regressed, rows_of, transformed
from fastcnn.reference.ml_svm import svm_classifier, svm_regressor
from fastcnn.reference.ml_trees import tree_classifier, tree_ensemble, tree_regressor

Inputs = Sequence[Any]
DOMAIN = "ai.onnx.ml"


def _strings(values: Sequence[str]) -> np.ndarray:
    return np.array(values, object)


def _float32(values: Sequence[float]) -> np.ndarray:
    return np.array(values, np.float32)


def zip_map(node: Node, inputs: Inputs) -> list[Any]:
    """For each row of scores a dict of label to score, in the order of the labels."""
    x, labels = rows_of(inputs[0]), labels_of(node)
    if labels is None or x.shape[-1] != len(labels):
        raise ValueError(f"{x.shape[-1]} scores for {0 if labels is None else len(labels)} labels")
    order = np.argsort(labels, kind="stable")
    keys = labels[order].tolist()
    return [[dict(zip(keys, row)) for row in x[:, order].tolist()]]


def array_feature_extractor(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x[..., indices]."""
    x, indices = rows_of(inputs[0]), inputs[1].reshape(-1)
    if not indices.size or indices.min() < 0 or indices.max() >= x.shape[-1]:
        raise IndexError(f"indices {indices.tolist()} of {x.shape[-1]} features")
    return [x[..., indices]]


def normalizer(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Each row over its largest element (MAX), the sum of its absolute values (L1) or its length (L2), unless that is zero."""
    x = inputs[0].astype(np.float32)
    norm = node.attrs.get("norm", "MAX")
    by = {"MAX": lambda: x.max(-1, keepdims=True), "L1": lambda: np.abs(x).sum(-1, keepdims=True),
          "L2": lambda: np.sqrt(np.square(x).sum(-1, keepdims=True))}[norm]()
    return [np.divide(x, by, out=x.copy(), where=by != 0)]


def scaler(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(x - offset) * scale, numbers for all features or one each."""
    offset, scale = (_float32(node.attrs.get(name) or [default]) for name, default in (("offset", 0.0), ("scale", 1.0)))
    return [((inputs[0].astype(np.float32) - offset) * scale).astype(np.float32)]


def binarizer(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """1 where x > threshold, else 0."""
    return [(inputs[0] > np.float32(node.attrs.get("threshold", 0.0))).astype(inputs[0].dtype)]


def imputer(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """imputed_value, one for all features or one each, where x is replaced_value (NaN too)."""
    x = inputs[0]
    kind, form = ("float", "imputed_value_floats") if x.dtype.kind == "f" else ("int64", "imputed_value_int64s")
    replaced, imputed = node.attrs.get(f"replaced_value_{kind}", 0), np.asarray(node.attrs[form]).astype(x.dtype)
    return [np.where(np.isnan(x) if np.isnan(replaced) else x == np.asarray(replaced, x.dtype), imputed, x).astype(x.dtype)]


def feature_vectorizer(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Inputs side by side, each cut or filled with zeros to the number of columns that inputdimensions says."""
    columns = []
    rows = rows_of(inputs[0]).shape[0]
    for x, wanted in zip(inputs, node.attrs["inputdimensions"], strict=True):
        x = x.reshape(rows, -1).astype(np.float32)[:, :wanted]
        columns.append(np.pad(x, ((0, 0), (0, wanted - x.shape[1]))))
    return [np.concatenate(columns, 1)]


def _mapped(x: np.ndarray, keys: Sequence[Any], values: Sequence[Any], default: Any, dtype: Any) -> np.ndarray:
    """The value of each element's key; a key given twice has its last value, NaN is one key."""
    table = {_key(k): v for k, v in zip(keys, values)}
    return np.array([table.get(_key(v), default) for v in x.reshape(-1).tolist()], dtype).reshape(x.shape)


def _key(value: Any) -> Any:
    return "nan" if isinstance(value, float) and value != value else value.decode() if isinstance(value, bytes) else value


# Attributes of LabelEncoder by the type in their names.
KINDS: dict[str, Any] = {"strings": object, "int64s": np.int64, "floats": np.float32}
DEFAULTS: dict[str, tuple[str, Any]] = {"strings": ("default_string", "_Unused"), "int64s": ("default_int64", -1),
                                        "floats": ("default_float", -0.0)}


def label_encoder(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The value at the place of each element among the keys, a default where it is none of them."""
    x, attrs = inputs[0], node.attrs
    if "classes_strings" in attrs:
        return _by_place(x, attrs["classes_strings"], range(len(attrs["classes_strings"])), attrs)
    keys: Any = attrs.get("keys_tensor")
    if keys is None:
        keys = next(np.array(attrs[f"keys_{kind}"], KINDS[kind]) for kind in KINDS if f"keys_{kind}" in attrs)
    if "values_tensor" in attrs:
        values = attrs["values_tensor"]
        default = attrs["default_tensor"].reshape(-1)[0] if "default_tensor" in attrs else -1 if values.dtype.kind == "i" else -0.0
        return [_mapped(x, keys.reshape(-1).tolist(), values.reshape(-1).tolist(), default, values.dtype)]
    kind = next(kind for kind in KINDS if f"values_{kind}" in attrs)
    name, default = DEFAULTS[kind]
    return [_mapped(x, keys.reshape(-1).tolist(), attrs[f"values_{kind}"], attrs.get(name, default), KINDS[kind])]


def category_mapper(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Strings as the integers at their places, integers as the strings."""
    return _by_place(inputs[0], node.attrs["cats_strings"], node.attrs["cats_int64s"], node.attrs)


def _by_place(x: np.ndarray, names: Sequence[str], numbers: Sequence[int], attrs: Mapping[str, Any]) -> list[np.ndarray]:
    if x.dtype.kind == "i":
        return [_mapped(x, numbers, names, attrs.get("default_string", "_Unused"), object)]
    return [_mapped(x, names, numbers, attrs.get("default_int64", -1), np.int64)]


def one_hot_encoder(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """A new last axis with a one at the place of the category; all zeros for another, unless zeros=0."""
    x, named = inputs[0], node.attrs.get("cats_strings")
    keys: Sequence[Any] = named or node.attrs["cats_int64s"]
    places = _mapped(x if named else x.astype(np.int64), keys, range(len(keys)), -1, np.int64)
    if not node.attrs.get("zeros", 1) and (places < 0).any():
        raise ValueError(f"{x[places < 0].reshape(-1)[0]!r} is none of the categories")
    return [(places[..., None] == np.arange(len(keys))).astype(np.float32)]


def cast_map(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The values of a map by rising key; with map_form=SPARSE each at the place of its key, zeros between."""
    given: dict[int, Any] = inputs[0]
    places = sorted(given) if node.attrs.get("map_form", "DENSE") == "DENSE" else range(node.attrs["max_map"])
    text = node.attrs.get("cast_to", "TO_FLOAT") == "TO_STRING"
    empty = "0" if text else 0
    found = [given.get(place, empty) for place in places]
    if text:
        return [_strings([v if isinstance(v, str) else f"{v:f}" for v in found]).reshape(1, -1)]
    dtype = np.int64 if node.attrs.get("cast_to", "TO_FLOAT") == "TO_INT64" else np.float32
    return [np.array([float(v) for v in found], np.float64).astype(dtype).reshape(1, -1)]


def dict_vectorizer(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The values of a map in the order of the vocabulary, zeros where it has none."""
    given: dict[Any, Any] = inputs[0]
    vocabulary = node.attrs.get("string_vocabulary") or node.attrs.get("int64_vocabulary") or []
    if any(isinstance(v, str) for v in given.values()):
        return [_strings([given.get(word, "") for word in vocabulary]).reshape(1, -1)]
    dtype = np.result_type(*given.values()) if given else np.float32
    return [np.array([given.get(word, 0) for word in vocabulary], dtype).reshape(1, -1)]


def linear_regressor(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x coefficients' + intercepts, transformed."""
    x, targets = rows_of(inputs[0]).astype(np.float32), node.attrs.get("targets", 1)
    y = x @ _float32(node.attrs["coefficients"]).reshape(targets, -1).T + _float32(node.attrs.get("intercepts") or [0.0])
    return [regressed(y, node.attrs.get("post_transform", "NONE"))]


def linear_classifier(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The label of the largest score of x coefficients' + intercepts, and the scores, transformed.

    One score is that of the second of two labels, if it is positive.
    """
    x, attrs, labels = rows_of(inputs[0]).astype(np.float32), node.attrs, labels_of(node)
    count = len(attrs.get("intercepts") or ()) or (len(attrs["coefficients"]) // x.shape[1])
    scores = x @ _float32(attrs["coefficients"]).reshape(count, -1).T + _float32(attrs.get("intercepts") or [0.0])
    transform = attrs.get("post_transform", "NONE")
    if count > 1:
        best = scores.argmax(1)
        return [best if labels is None else labels[best], transformed(scores, transform)]
    if labels is None or len(labels) != 2:
        raise ValueError("one score for other than two classlabels")
    return [labels[(scores[:, 0] > 0).astype(np.int64)], both_classes(scores, transform, True)]


ML: dict[tuple[str, str], Callable[[Node, Inputs], list[Any]]] = {
    (DOMAIN, "ArrayFeatureExtractor"): array_feature_extractor,
    (DOMAIN, "Binarizer"): binarizer,
    (DOMAIN, "CastMap"): cast_map,
    (DOMAIN, "CategoryMapper"): category_mapper,
    (DOMAIN, "DictVectorizer"): dict_vectorizer,
    (DOMAIN, "FeatureVectorizer"): feature_vectorizer,
    (DOMAIN, "Imputer"): imputer,
    (DOMAIN, "LabelEncoder"): label_encoder,
    (DOMAIN, "LinearClassifier"): linear_classifier,
    (DOMAIN, "LinearRegressor"): linear_regressor,
    (DOMAIN, "Normalizer"): normalizer,
    (DOMAIN, "OneHotEncoder"): one_hot_encoder,
    (DOMAIN, "SVMClassifier"): svm_classifier,
    (DOMAIN, "SVMRegressor"): svm_regressor,
    (DOMAIN, "Scaler"): scaler,
    (DOMAIN, "TreeEnsemble"): tree_ensemble,
    (DOMAIN, "TreeEnsembleClassifier"): tree_classifier,
    (DOMAIN, "TreeEnsembleRegressor"): tree_regressor,
    (DOMAIN, "ZipMap"): zip_map,
}
