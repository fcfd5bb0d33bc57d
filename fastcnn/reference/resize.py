"""Resize of every opset and Upsample in numpy, axis by axis.

onnx.reference has no Resize-10 and no linear Upsample, lets coordinates before the first element wrap around, and lacks
tf_half_pixel_for_nn; its align_corners uses the unrounded output size. Coordinates are float32 as in onnxruntime.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcnn.graph import Node


@dataclass(frozen=True)
class Axis:
    """One axis to resize: sizes, output elements per input element, region (start, end) as a share of the axis."""

    axis: int
    size: int
    out: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)


def upsample(node: Node, inputs: Sequence[Any]) -> list[np.ndarray] | None:
    """y[i] = x at i / scale, nearest or linear."""
    scales = node.attrs["scales"] if node.version < 9 else inputs[1]
    return resize(
        Node("Resize", node.inputs, node.outputs, {"mode": node.attrs.get("mode", "nearest")}, node.name, "", 10),
        [inputs[0], np.asarray(scales, np.float32)],
    )


def resize(node: Node, inputs: Sequence[Any]) -> list[np.ndarray] | None:
    """y = x sampled where coordinate_transformation_mode says; antialiased ones are left to onnx.reference."""
    if node.attrs.get("antialias", 0):
        return None
    x, mode = inputs[0], node.attrs.get("mode", "nearest")
    coordinates = node.attrs.get("coordinate_transformation_mode", "half_pixel" if node.version > 10 else "asymmetric")
    y = x
    for axis in resized_axes(node, inputs):
        if axis.size == axis.out and axis.scale == 1 and coordinates != "tf_crop_and_resize":
            continue
        at = _coordinates(axis, coordinates)
        y = _nearest(y, axis, at, node) if mode == "nearest" else _weighted(y, axis, at, node, mode)
        if coordinates == "tf_crop_and_resize":
            outside = (at < 0) | (at > axis.size - 1)
            y[(slice(None),) * axis.axis + (outside,)] = node.attrs.get("extrapolation_value", 0.0)
    return [y.astype(x.dtype, copy=False)]


def resized_axes(node: Node, inputs: Sequence[Any]) -> list[Axis]:
    """The axes a Resize works on, with their sizes before and after."""
    x = inputs[0]
    if node.version < 11:
        roi, scales, sizes = None, inputs[1], None
    else:
        roi, scales, sizes = (*inputs[1:], None, None, None)[:3]
    axes = [int(a) % x.ndim for a in node.attrs.get("axes") or range(x.ndim)]
    region = [(0.0, 1.0)] * len(axes) if roi is None or not roi.size else list(zip(roi[:len(axes)], roi[len(axes):]))
    if scales is not None and scales.size:
        outs = [int(np.float32(x.shape[a]) * np.float32(s)) for a, s in zip(axes, scales)]
    elif sizes is not None:
        outs, scales = _kept_ratio(node, [x.shape[a] for a in axes], [int(s) for s in sizes])
    else:
        raise ValueError("neither scales nor sizes")
    return [Axis(a, x.shape[a], o, float(s), r) for a, o, s, r in zip(axes, outs, scales, region)]


def _kept_ratio(node: Node, sizes: list[int], outs: list[int]) -> tuple[list[int], list[float]]:
    policy = node.attrs.get("keep_aspect_ratio_policy", "stretch")
    scales = [float(np.float32(o) / np.float32(s)) for o, s in zip(outs, sizes)]
    if policy == "stretch":
        return outs, scales
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [math.floor(scale * s + 0.5) for s in sizes], [scale] * len(sizes)


def _coordinates(axis: Axis, mode: str) -> np.ndarray:
    """Where in x each output element lies, float32."""
    i, scale, size = np.arange(axis.out, dtype=np.float32), np.float32(axis.scale), axis.size
    if mode == "asymmetric":
        return i / scale
    if mode == "tf_half_pixel_for_nn":
        return (i + np.float32(0.5)) / scale
    if mode == "align_corners":
        return i * np.float32(size - 1) / np.float32(axis.out - 1) if axis.out > 1 else np.zeros(1, np.float32)
    if mode == "tf_crop_and_resize":
        start, end = (np.float32(v) for v in axis.region)
        if axis.out == 1:
            return np.array([0.5 * (start + end) * (size - 1)], np.float32)
        return (start * (size - 1) + i * (end - start) * (size - 1) / (axis.out - 1)).astype(np.float32)
    if mode == "half_pixel_symmetric":
        adjustment = np.float32(axis.out) / (scale * np.float32(size))
        offset = np.float32(size) / np.float32(2) * (np.float32(1) - adjustment)
        return offset + (i + np.float32(0.5)) / scale - np.float32(0.5)
    half = (i + np.float32(0.5)) / scale - np.float32(0.5)
    if mode == "pytorch_half_pixel" and axis.out == 1:
        return np.zeros(1, np.float32)
    if mode not in ("half_pixel", "pytorch_half_pixel"):
        raise ValueError(f"coordinate_transformation_mode={mode!r}")
    return half


def _nearest(x: np.ndarray, axis: Axis, at: np.ndarray, node: Node) -> np.ndarray:
    rounding = node.attrs.get("nearest_mode", "round_prefer_floor" if node.version > 10 else "simple")
    if rounding == "simple":                 # before opset 11, as onnxruntime: up when shrinking
        rounding = "ceil" if axis.scale < 1 else "floor"
    index = {"round_prefer_floor": lambda: np.ceil(at - np.float32(0.5)), "floor": lambda: np.floor(at),
             "round_prefer_ceil": lambda: np.floor(at + np.float32(0.5)), "ceil": lambda: np.ceil(at)}[rounding]()
    return np.take(x, np.clip(index, 0, axis.size - 1).astype(np.int64), axis.axis)


def _weighted(x: np.ndarray, axis: Axis, at: np.ndarray, node: Node, mode: str) -> np.ndarray:
    """x times a matrix (out, size) of 2 (linear) or 4 (cubic) weights a row."""
    matrix = np.zeros((axis.out, axis.size))
    rows = np.arange(axis.out)
    for tap, weight in _linear_taps(axis, at) if mode == "linear" else _cubic_taps(axis, at, node):
        np.add.at(matrix, (rows, np.clip(tap, 0, axis.size - 1).astype(np.int64)), weight)
    moved = np.moveaxis(x.astype(np.float64), axis.axis, -1) @ matrix.T
    return np.ascontiguousarray(np.moveaxis(moved, -1, axis.axis))


def _linear_taps(axis: Axis, at: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    at = np.clip(at, 0, axis.size - 1)
    low = np.floor(at)
    return [(low, 1 - (at - low)), (low + 1, at - low)]


def _cubic_taps(axis: Axis, at: np.ndarray, node: Node) -> list[tuple[np.ndarray, np.ndarray]]:
    """Keys' kernel with a = cubic_coeff_a (IEEE ASSP 1981)."""
    a, low = node.attrs.get("cubic_coeff_a", -0.75), np.floor(at)
    taps = []
    for offset in (-1, 0, 1, 2):
        d = np.abs((at - low).astype(np.float64) - offset)
        near = (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
        far = a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a
        taps.append((low + offset, np.where(d <= 1, near, far)))
    if node.attrs.get("exclude_outside", 0):
        taps = [(tap, np.where((tap < 0) | (tap >= axis.size), 0, weight)) for tap, weight in taps]
        total = sum(weight for _, weight in taps)
        taps = [(tap, weight / total) for tap, weight in taps]
    return taps
