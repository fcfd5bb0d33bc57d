"""Rewrites experimental operators of opsets before 10, which old converters wrote, into standard operators.

Their texts are in onnx 1.2 to 1.4; onnxruntime still runs all but GivenTensorFill and ConstantFill.
"""
from __future__ import annotations

import math

import numpy as np

from fastcnn.expansion import Expansion, Rule, expand_nodes
from fastcnn.ir.graph import Graph
from fastcnn.onnx_proto.types import ELEMENT_NAMES, numpy_type

INT_MAX = 2**31 - 1


def experimental_forms(graph: Graph) -> bool:
    """Rewrites the nodes of EXPERIMENTAL."""
    return expand_nodes(graph, EXPERIMENTAL)


def _affine(e: Expansion) -> tuple[str, ...]:
    """alpha * x + beta."""
    scaled = e.add("Mul", e.input(0), e.constant(e.attr("alpha", 1.0)))
    return e.add("Add", scaled, e.constant(e.attr("beta", 0.0))),


def _scale(e: Expansion) -> tuple[str, ...]:
    """scale * x."""
    return e.add("Mul", e.input(0), e.constant(e.attr("scale", 1.0))),


def _image_scaler(e: Expansion) -> tuple[str, ...]:
    """scale * x[n,c] + bias[c]."""
    scaled = e.add("Mul", e.input(0), e.constant(e.attr("scale", 1.0)))
    return e.add("Add", scaled, e.constant(np.reshape(e.attr("bias", [0.0]), (-1, 1, 1)))),


def _parametric_softplus(e: Expansion) -> tuple[str, ...]:
    """alpha * ln(1 + exp(beta * x))."""
    inner = e.add("Softplus", e.add("Mul", e.input(0), e.constant(e.attr("beta", 1.0))))
    return e.add("Mul", inner, e.constant(e.attr("alpha", 1.0))),


def _scaled_tanh(e: Expansion) -> tuple[str, ...]:
    """alpha * tanh(beta * x)."""
    inner = e.add("Tanh", e.add("Mul", e.input(0), e.constant(e.attr("beta", 1.0))))
    return e.add("Mul", inner, e.constant(e.attr("alpha", 1.0))),


def _thresholded_relu(e: Expansion) -> tuple[str, ...] | None:
    """x where x > alpha, else 0: what opset 10 made of it."""
    return (e.add("ThresholdedRelu", e.input(0), version=10, alpha=e.attr("alpha", 1.0)),) if e.node.version < 10 else None


def _crop(e: Expansion) -> tuple[str, ...]:
    """x without border = (left, top, right, bottom); with scale = (height, width): so much from the left and top borders on."""
    left, top, right, bottom = e.attr("border", [0, 0, 0, 0])
    scale = e.attr("scale")
    ends = [top + scale[0], left + scale[1]] if scale else [-bottom if bottom else INT_MAX, -right if right else INT_MAX]
    return e.slice(e.input(0), [top, left], ends, [2, 3]),


def _mean_variance(e: Expansion) -> tuple[str, ...] | None:
    """x less its mean, over the standard deviation with normalize_variance, over (N, H, W) or, across channels, everything."""
    if e.node.version >= 9:
        return None
    axes = [0, 1, 2, 3] if e.attr("across_channels", 0) else [0, 2, 3]
    if e.attr("normalize_variance", 1):
        return e.add("MeanVarianceNormalization", e.input(0), version=9, axes=axes),
    return e.add("Sub", e.input(0), e.add("ReduceMean", e.input(0), axes=axes, keepdims=1)),


def _dynamic_slice(e: Expansion) -> tuple[str, ...]:
    """Slice as opset 10 made it, from (data, starts, ends, axes)."""
    return e.add("Slice", *e.node.inputs, version=max(10, e.opset)),


def _given_tensor_fill(e: Expansion) -> tuple[str, ...] | None:
    """The tensor of `values`, of the shape of the attribute, or by the input as ConstantFill's; None where they do not fill it."""
    shape, values = _filled_shape(e), e.attr("values", [])
    if shape is None or min(shape, default=0) < 0 or math.prod(shape) != len(values):
        return None
    return e.constant(np.reshape(values, shape), np.float32),


def _constant_fill(e: Expansion) -> tuple[str, ...] | None:
    """A tensor of one value."""
    dtype = numpy_type(ELEMENT_NAMES[e.attr("dtype", 1)])
    value, shape = np.array([e.attr("value", 0.0)]).astype(dtype), _filled_shape(e)
    if shape is not None:
        sizes = e.constant(shape, np.int64)
    else:
        sizes = e.input(0) if e.attr("input_as_shape", 0) else e.add("Shape", e.input(0))
        more = e.attr("extra_shape")
        sizes = e.add("Concat", sizes, e.constant(more, np.int64), axis=0) if more else sizes
    return e.add("ConstantOfShape", sizes, version=max(9, e.opset), value=value),


def _filled_shape(e: Expansion) -> tuple[int, ...] | None:
    """`shape`, or extra_shape after the elements (input_as_shape=1) or the sizes of the input; None when they are not known."""
    if not e.input(0):
        return tuple(e.attr("shape", ()))
    x = e.value(0)
    if x is None or x.dtype.kind not in "iu":
        return None
    return (*((int(d) for d in x.reshape(-1)) if e.attr("input_as_shape", 0) else x.shape), *e.attr("extra_shape", ()))


EXPERIMENTAL: dict[tuple[str, str], Rule] = {
    ("", "Affine"): _affine,
    ("", "ConstantFill"): _constant_fill,
    ("", "Crop"): _crop,
    ("", "DynamicSlice"): _dynamic_slice,
    ("", "GivenTensorFill"): _given_tensor_fill,
    ("", "ImageScaler"): _image_scaler,
    ("", "MeanVarianceNormalization"): _mean_variance,
    ("", "ParametricSoftplus"): _parametric_softplus,
    ("", "Scale"): _scale,
    ("", "ScaledTanh"): _scaled_tanh,
    ("", "ThresholdedRelu"): _thresholded_relu,
}
