"""fastcnn.compare(): the results of two engines, or of two models, side by side for each layer."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.analysis.compare import TOLERANCE, Comparison, by_reference
from fastcnn.analysis.compare import compare as compared
from fastcnn.ir.errors import ConfigurationError, InputError
from fastcnn.loading import load
from fastcnn.model import Model

REFERENCE, ONNXRUNTIME = "reference", "onnxruntime"


def compare(model: Model | str | os.PathLike[str], feeds: Mapping[str, Any], against: str | Model = REFERENCE, *,
            tolerance: float = TOLERANCE) -> Comparison:
    """Compares the output of every layer, and the outputs of an ordinary run, with those of another engine or model.

    against    "reference": numpy, operator by operator; "onnxruntime", unoptimised, for models loaded from a path; or a Model, whose values
               of the same names are compared: another accuracy, another precision, another file
    tolerance  largest difference over the largest value of the reference that still agrees
    The result's `first` is where they part; print() shows a table. Raises ConfigurationError, InputError and what run() raises.
    """
    net = model if isinstance(model, Model) else load(model)
    name = against if isinstance(against, str) else "the other model"

    def ours(names: Sequence[str]) -> Sequence[Any]:
        return net.run(list(names) or None, feeds)

    engine = net._default
    if engine is None:
        raise InputError("the model is closed")
    return compared(net._graph, engine, ours, _other(net, feeds, against), name, tolerance)


def _other(net: Model, feeds: Mapping[str, Any], against: str | Model) -> Callable[[Sequence[str]], Mapping[str, Any]]:
    if isinstance(against, Model):
        return lambda names: _values(against, feeds, names)
    if against == REFERENCE:
        return by_reference(net._graph, {name: np.asarray(value) for name, value in feeds.items()})
    if against == ONNXRUNTIME:
        return lambda names: _onnxruntime(net, feeds, names)
    raise ConfigurationError(f"against={against!r}: expected {REFERENCE!r}, {ONNXRUNTIME!r} or a Model")


def _values(other: Model, feeds: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """Values that the other model has under these names."""
    graph = other._graph
    known = {name for node in graph.nodes for name in node.outputs}
    names = [name for name in names if name in known]
    return dict(zip(names, other.run(names, feeds)))


def _onnxruntime(net: Model, feeds: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """Values inside of an unoptimised session."""
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ConfigurationError("against onnxruntime: pip install onnxruntime") from None
    if net._source is None:
        raise ConfigurationError("against onnxruntime: for models that were loaded from a path")
    proto = onnx.load(net._source)
    there = {info.name for info in proto.graph.output}
    made = {name for node in proto.graph.node for name in node.output}
    wanted = [name for name in names if name in made]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(wanted, session.run(wanted, dict(feeds))))
    except Exception as error:
        raise ConfigurationError(f"against onnxruntime: it refuses the model: {error}") from None
