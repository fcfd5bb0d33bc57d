"""Tap tables of Resize: which input elements an output element of an axis reads, and their weights.

Coordinates are float32 as onnxruntime computes them: a nearest neighbour hangs on their last bit.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

F = np.float32


@dataclass(frozen=True)
class Axis:
    """One axis to resize: extents, output elements per input element, region of tf_crop_and_resize in shares of it."""

    size: int
    out: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)

    @property
    def idle(self) -> bool:
        return self.size == self.out and self.scale == 1.0 and self.region == (0.0, 1.0)


@dataclass(frozen=True)
class Sampling:
    """How coordinates become weights: the attributes of Resize, with the defaults of its opset."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


def sampling(attrs: Mapping[str, Any], version: int) -> Sampling:
    """Sampling of a Resize node of an opset (Upsample: 10)."""
    old = version < 11
    return Sampling(attrs.get("mode", "nearest"),
                    attrs.get("coordinate_transformation_mode", "asymmetric" if old else "half_pixel"),
                    attrs.get("nearest_mode", "simple" if old else "round_prefer_floor"),
                    attrs.get("cubic_coeff_a", -0.75), bool(attrs.get("exclude_outside", 0)),
                    bool(attrs.get("antialias", 0)), attrs.get("extrapolation_value", 0.0))


def taps(axis: Axis, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """(index int32, weight float32), both (out, taps): y[i] = sum_k weight[i, k] * x[index[i, k]].

    The indices of one row span less than taps. Where tf_crop_and_resize leaves the input, all weights are zero.
    """
    if axis.idle:
        return np.arange(axis.out, dtype=np.int32)[:, None], np.ones((axis.out, 1), F)
    at = coordinates(axis, how.coordinates)
    if how.mode == "nearest":
        first, weights = _nearest(axis, at, how), np.ones((axis.out, 1))
    elif how.antialias and axis.scale < 1:
        first, weights = _filtered(axis, at, how)
    elif how.mode == "linear":
        at_clamped = np.clip(at, 0, axis.size - 1)
        first = np.floor(at_clamped)
        ratio = (at_clamped - first).astype(np.float64)
        weights = np.stack([1 - ratio, ratio], 1)
    else:
        first = np.floor(at) - 1
        weights = _cubic(np.abs((at - np.floor(at)).astype(np.float64)[:, None] - np.arange(-1, 3)), how.cubic_a)
    index = first.astype(np.int64)[:, None] + np.arange(weights.shape[1])
    if how.mode != "nearest" and how.exclude_outside:
        weights = np.where((index < 0) | (index >= axis.size), 0.0, weights)
        weights = weights / weights.sum(1, keepdims=True)
    if how.coordinates == "tf_crop_and_resize":
        weights = np.where(outside(axis, how)[:, None], 0.0, weights)
    return np.clip(index, 0, axis.size - 1).astype(np.int32), np.ascontiguousarray(weights, F)


def outside(axis: Axis, how: Sampling) -> np.ndarray:
    """Which output elements lie beyond the first or the last element of x."""
    at = coordinates(axis, how.coordinates)
    return (at < 0) | (at > axis.size - 1) if not axis.idle else np.zeros(axis.out, bool)


def coordinates(axis: Axis, mode: str) -> np.ndarray:
    """Where in x each output element lies, float32."""
    i, scale, size, out = np.arange(axis.out, dtype=F), F(axis.scale), axis.size, axis.out
    if mode == "asymmetric":
        return i / scale
    if mode == "tf_half_pixel_for_nn":
        return (i + F(0.5)) / scale
    if mode == "align_corners":
        return i * F(size - 1) / F(out - 1) if out > 1 else np.zeros(out, F)
    if mode == "tf_crop_and_resize":
        start, end = (F(share) for share in axis.region)
        if out == 1:
            return np.array([F(0.5) * (start + end) * F(size - 1)], F)
        return start * F(size - 1) + i * (end - start) * F(size - 1) / F(out - 1)
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(out, F)
    half = (i + F(0.5)) / scale - F(0.5)
    if mode == "half_pixel_symmetric":
        return F(size) / F(2) * (F(1) - F(out) / (scale * F(size))) + half
    return half


MODES = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
               "tf_crop_and_resize", "tf_half_pixel_for_nn")


def _nearest(axis: Axis, at: np.ndarray, how: Sampling) -> np.ndarray:
    """Index of the neighbour; "simple" is what came before opset 11: down when enlarging, up when shrinking."""
    if how.nearest == "round_prefer_floor":
        return np.ceil(at - F(0.5))
    if how.nearest == "round_prefer_ceil":
        return np.floor(at + F(0.5))
    up = how.nearest == "ceil" or (how.nearest == "simple" and axis.scale < 1)
    return np.ceil(at) if up else np.floor(at)


def _cubic(d: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel at distances d >= 0 (IEEE ASSP 1981)."""
    near = (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
    far = a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _filtered(axis: Axis, at: np.ndarray, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Antialiasing: the kernel is widened by the factor of the shrinking, its weights sum to one."""
    support = (1 if how.mode == "linear" else 2) / axis.scale
    count = 2 * math.ceil(support) + 1
    first = np.floor(at) - math.ceil(support)
    d = np.abs(first[:, None] + np.arange(count) - at[:, None].astype(np.float64)) * axis.scale
    weights = np.maximum(1 - d, 0) if how.mode == "linear" else _cubic(d, how.cubic_a)
    return first, weights / weights.sum(1, keepdims=True)
