"""Tap tables of Resize: which input elements an output element of an axis reads, and their weights.

The nearest neighbour depends on whether a coordinate is exactly a half or an integer. Where sizes are given, coordinates are exact
fractions of the extents. Where scales are given, they are computed as onnxruntime does: the standard's formulas in float32, and a
coordinate within TIE of a half counts as a half.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import Args
from fastcnn.ratio import Ratio

F = np.float32
HALF = Ratio(1, 2)
MODES = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
               "tf_crop_and_resize", "tf_half_pixel_for_nn")
# How far from a half onnxruntime takes a float32 coordinate for one.
TIE = 1e-6
# Numerators below this are computed in int64.
INT64_BOUND = 2 ** 62
EXTENTS_BELOW = 2.0 ** 63


@dataclass(frozen=True)
class Axis:
    """One axis to resize.

    size, out  extents
    scale      output elements per input element: a fraction where sizes are given, a float where scales are
    region     of tf_crop_and_resize, in shares of the axis
    """

    size: int
    out: int
    scale: Ratio | float = Ratio(1)
    region: tuple[float, float] = (0.0, 1.0)

    @property
    def idle(self) -> bool:
        return self.size == self.out and self.scale == 1 and self.region == (0.0, 1.0)


@dataclass(frozen=True)
class Sampling:
    """The attributes of a Resize that determine its weights, with the defaults of its opset."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


def sampling(node: Node) -> Sampling:
    """Sampling of a Resize or an Upsample."""
    attrs, old = node.attrs, is_old(node)
    mode = attrs.get("mode", "nearest")
    return Sampling("linear" if mode == "bilinear" else mode,
                    attrs.get("coordinate_transformation_mode", "asymmetric" if old else "half_pixel"),
                    attrs.get("nearest_mode", "simple" if old else "round_prefer_floor"),
                    attrs.get("cubic_coeff_a", -0.75), bool(attrs.get("exclude_outside", 0)),
                    bool(attrs.get("antialias", 0)), attrs.get("extrapolation_value", 0.0))


def is_old(node: Node) -> bool:
    """Whether a node has the form before opset 11: scales only, no coordinate modes."""
    return node.op_type == "Upsample" or node.version < 11


def axes_of(args: Args) -> list[Axis]:
    """Every axis of x with its output extent. Raises ValueError saying what does not fit, DataDependent."""
    node, old = args.node, is_old(args.node)
    scales = node.attrs.get("scales") if node.op_type == "Upsample" and node.version < 9 else args.value(1 if old else 2)
    roi, sizes = (None, None) if old else (args.value(1), args.value(3))
    return resized_axes(node, args.spec(0).shape, roi, scales, sizes)


def resized_axes(node: Node, shape: Sequence[int], roi: np.ndarray | None, scales: Sequence[float] | np.ndarray | None,
                 sizes: Sequence[int] | np.ndarray | None) -> list[Axis]:
    """Every axis of x with its output extent. Raises ValueError saying what does not fit."""
    if not shape:
        raise ValueError("x has no axes")
    roi, scales, sizes = (None if given is None else np.ravel(given) for given in (roi, scales, sizes))
    axes = [int(a) % len(shape) for a in node.attrs.get("axes") or range(len(shape))]
    old = [shape[a] for a in axes]
    if scales is not None and len(scales):
        factors = [F(scale) for scale in scales]
        if len(factors) != len(axes) or not all(0 < factor < np.inf for factor in factors):
            raise ValueError(f"scales {[float(f) for f in factors]} for {len(axes)} axes")
        new = [scaled_extent(n, factor) for n, factor in zip(old, factors)]
        ratios: Sequence[Ratio | float] = [float(factor) for factor in factors]
    elif sizes is not None and len(sizes) == len(axes):
        new, ratios = kept_ratio(node.attrs.get("keep_aspect_ratio_policy", "stretch"), old, [int(s) for s in sizes])
    else:
        raise ValueError(f"neither scales nor sizes for {len(axes)} axes")
    regions = [(0.0, 1.0)] * len(axes)
    if node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize" and roi is not None and len(roi):
        if len(roi) != 2 * len(axes) or not np.isfinite(roi).all():
            raise ValueError(f"roi {np.asarray(roi).tolist()} for {len(axes)} axes")
        shares = [float(share) for share in roi]
        regions = list(zip(shares[:len(axes)], shares[len(axes):]))
    result = [Axis(size, size) for size in shape]
    for a, n, m, ratio, region in zip(axes, old, new, ratios, regions):
        result[a] = Axis(n, m, ratio, region)
    return result


def scaled_extent(size: int, scale: float | np.float32) -> int:
    """floor(size*scale) in float32, as onnxruntime multiplies. Raises ValueError for what is no extent of an array."""
    with np.errstate(over="ignore"):
        extent = np.floor(F(size) * F(scale))
    if not extent < EXTENTS_BELOW:
        raise ValueError(f"scale {float(scale):g} of an axis of {size}")
    return int(extent)


def kept_ratio(policy: str, sizes: list[int], outs: list[int]) -> tuple[list[int], list[Ratio]]:
    """(extents, scales) by keep_aspect_ratio_policy: as given, or one scale for all axes, with extents rounded to nearest, halves up."""
    ratios = [Ratio(out, size) if size else Ratio(1) for out, size in zip(outs, sizes)]
    if policy == "stretch":
        return outs, [max(ratio, Ratio(0)) for ratio in ratios]
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return [math.floor(ratio * size + HALF) for size in sizes], [ratio] * len(sizes)


def taps(axis: Axis, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """(index int32, weight float32), both (out, taps): y[i] = sum_k weight[i, k] * x[index[i, k]].

    The indices of one row span less than taps. Where tf_crop_and_resize leaves the input, all weights are zero.
    """
    if axis.idle:
        return np.arange(axis.out, dtype=np.int32)[:, None], np.ones((axis.out, 1), F)
    index, weights = _whole_taps(axis, how)
    if how.mode != "nearest" and how.exclude_outside:
        weights = np.where((index < 0) | (index >= axis.size), 0.0, weights)
        weights = weights / weights.sum(1, keepdims=True)
    if how.coordinates == "tf_crop_and_resize":
        weights = np.where(outside(axis, how)[:, None], 0.0, weights)
    return np.clip(index, 0, axis.size - 1).astype(np.int32), np.ascontiguousarray(weights, F)


def _whole_taps(axis: Axis, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Taps without regard to the ends of the axis: indices may lie outside of x."""
    low, ratio = positions(axis, how.coordinates)
    if how.mode == "nearest":
        return (low + _goes_up(axis, ratio, how.nearest))[:, None], np.ones((axis.out, 1))
    filtered = how.antialias and axis.scale < 1
    if how.mode == "linear" and not filtered:
        ratio = np.where((low < 0) | (low >= axis.size - 1), 0.0, ratio)
        low = np.clip(low, 0, axis.size - 1)
    ratio = ratio[:, None]
    if filtered:
        before, weights = _filtered(axis, ratio, how)
    elif how.mode == "linear":
        before, weights = 0, np.concatenate([1 - ratio, ratio], 1)
    else:
        before, weights = 1, _cubic(np.abs(ratio - np.arange(-1, 3)), how.cubic_a)
    return low[:, None] - before + np.arange(weights.shape[1]), weights


def outside(axis: Axis, how: Sampling) -> np.ndarray:
    """Which output elements lie beyond the first or the last element of x."""
    if axis.idle:
        return np.zeros(axis.out, bool)
    low, ratio = positions(axis, how.coordinates)
    return (low < 0) | (low >= axis.size) | ((low == axis.size - 1) & (ratio > 0))


def positions(axis: Axis, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Where in x each output element lies: (the element before or at it, int64, how far beyond that, float64 in [0, 1))."""
    if is_rounded(axis, mode):
        at = coordinates(axis, mode).astype(np.float64)
        return np.floor(at).astype(np.int64), at - np.floor(at)
    first, step = _line(axis, mode)
    unit = math.lcm(first.denominator, step.denominator)
    start, stride = math.floor(first * unit), math.floor(step * unit)
    small = abs(start) + abs(stride) * axis.out < INT64_BOUND
    numerators = start + stride * np.arange(axis.out, dtype=np.int64 if small else object)
    return (numerators // unit).astype(np.int64), (numerators % unit / unit).astype(np.float64)


def is_rounded(axis: Axis, mode: str) -> bool:
    """Whether the positions depend on floats of the model (scales, a region), not on extents alone."""
    return axis.region != (0.0, 1.0) if mode == "tf_crop_and_resize" else mode != "align_corners" and not isinstance(axis.scale, Ratio)


def _line(axis: Axis, mode: str) -> tuple[Ratio, Ratio]:
    """(coordinate of output element 0, distance from one to the next)."""
    size, out = axis.size, axis.out
    if mode in ("align_corners", "tf_crop_and_resize"):
        centre = Ratio(size - 1, 2) if mode == "tf_crop_and_resize" else Ratio(0)
        return (Ratio(0), Ratio(size - 1, out - 1)) if out > 1 else (centre, Ratio(0))
    step = Ratio(1) / Ratio.of(axis.scale)
    if mode == "asymmetric":
        return Ratio(0), step
    if mode == "tf_half_pixel_for_nn":
        return step / 2, step
    if mode == "pytorch_half_pixel" and out == 1:
        return Ratio(0), Ratio(0)
    moved = (Ratio(size) - step * out) / 2 if mode == "half_pixel_symmetric" else Ratio(0)
    return moved + step / 2 - HALF, step


def coordinates(axis: Axis, mode: str) -> np.ndarray:
    """Where in x each output element lies, float32: each formula rounded where onnxruntime rounds it."""
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
    if mode == "half_pixel_symmetric":
        moved = F(size) / F(2) * (F(1) - F(out) / (scale * F(size)))
        return (np.float64(moved) + (i + 0.5) / np.float64(scale) - 0.5).astype(F)
    return (i + F(0.5)) / scale - F(0.5)


def _goes_up(axis: Axis, ratio: np.ndarray, nearest: str) -> np.ndarray:
    """Whether the neighbour is the element after; "simple" is what came before opset 11: down when enlarging, up when shrinking."""
    tie = 0.0 if isinstance(axis.scale, Ratio) else TIE
    if nearest == "round_prefer_floor":
        return ratio > 0.5 + tie
    if nearest == "round_prefer_ceil":
        return ratio >= 0.5 - tie
    up = nearest == "ceil" or (nearest == "simple" and axis.scale < 1)
    return ratio > 0 if up else np.zeros(axis.out, bool)


def _cubic(d: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel at distances d >= 0 (IEEE ASSP 1981)."""
    near = (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
    far = a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _filtered(axis: Axis, ratio: np.ndarray, how: Sampling) -> tuple[int, np.ndarray]:
    """Antialiasing: the kernel is widened by the factor of the shrinking, its weights sum to one. (taps before the element, weights)."""
    before = math.ceil(Ratio(1 if how.mode == "linear" else 2) / Ratio.of(axis.scale))
    d = np.abs(np.arange(-before, before + 1) - ratio) * float(axis.scale)
    weights = np.maximum(1 - d, 0) if how.mode == "linear" else _cubic(d, how.cubic_a)
    return before, weights / weights.sum(1, keepdims=True)
