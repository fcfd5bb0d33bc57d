"""Resize of integers: nearest for every element type, linear and antialiased for bytes and int32 with onnxruntime's rounding.

The standard leaves open how a fraction becomes an integer; onnx.reference and onnxruntime cut it off. A constant image of 100 is then
99 where weights of float32 sum to less than one, so the numbers are onnxruntime's only with its order of products and sums: four terms
(eight in three dimensions) in float32, or weights of 10 bits for NHWC bytes. Antialiased bytes round, pass by pass, with 22 bits.
"""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.record import dataclass
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering
from fastcnn.ops.elementwise.elementwise import emit_unary
from fastcnn.ops.layout import DTYPE_CODES, cast, own_output
from fastcnn.ops.resampling.resize_steps import extrapolate, lower_dense, lower_nearest
from fastcnn.resample import Axis, Sampling, coordinates

F = np.float32
BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
INTEGERS = (*BYTES, np.dtype(np.int32))
TERM_BITS, FILTER_BITS = 10, 22


def lower_integer(low: Lowering, axes: list[Axis], how: Sampling) -> None:
    """Emit the steps for x of integers, or of any type when it is the nearest neighbour that counts."""
    dtype = low.args.spec(0).dtype
    terms = terms_of(axes, dtype) if how.mode == "linear" and not how.antialias else None
    if how.mode == "nearest":
        y = own_output(low, 0)
        lower_nearest(low, y, low.read(0, "dense"), axes, how)
    elif terms is not None:
        y = lower_terms(low, terms, how)
    elif how.antialias and dtype in BYTES and _summed_in_int32(axes, how):
        y = lower_filtered(low, axes, how)
    else:
        y = lower_as_floats(low, axes, how)
    extrapolate(low, y, axes, how)


def lower_as_floats(low: Lowering, axes: list[Axis], how: Sampling) -> Tensor:
    """In float32, cut off, or rounded when antialiased; what passes the type's range is its end. Returns the output."""
    x, y = low.read(0, "dense"), own_output(low, 0)
    wide, made = low.temp(x.shape), low.temp(y.shape)
    cast(low, wide, x)
    lower_dense(low, made, wide, axes, how)
    if how.antialias:
        emit_unary(low, made, made, "Round")
    limits = np.iinfo(x.dtype)
    emit_unary(low, made, made, "Clip", float(limits.min), float(np.nextafter(F(limits.max), F(0)) if limits.max > 1 << 24 else limits.max))
    cast(low, y, made)
    return y


def lower_filtered(low: Lowering, axes: list[Axis], how: Sampling) -> Tensor:
    """Antialiased bytes: one step an axis, the last first. Returns the output."""
    x, y = low.read(0, "dense"), own_output(low, 0)
    left = [k for k in reversed(range(len(axes))) if not axes[k].idle]
    for k in left:
        made = y if k == left[-1] else low.temp((*x.shape[:k], axes[k].out, *x.shape[k + 1:]), x.dtype)
        first, weights = filter_table(axes[k], how)
        low.emit("resize_fixed", [made, x, low.constant(first), low.constant(weights)], made.size * weights.shape[1],
                 outer=math.prod(x.shape[:k]), out=axes[k].out, inner=math.prod(x.shape[k + 1:]), taps=weights.shape[1],
                 dtype=DTYPE_CODES[x.dtype], **{"in": axes[k].size})
        x = made
    if not left:
        low.copy(y, x)
    return y


def filter_table(axis: Axis, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """(first element int32, weights int32 (out, taps) with FILTER_BITS behind the point): runs of x that lie inside of it.

    In float32, operation by operation as onnxruntime: rounding to bytes meets ties in every second pixel of a halved image.
    """
    stretch = F(1) / F(axis.scale)
    wide = stretch >= 1
    support = F(1 if how.mode == "linear" else 2) * (stretch if wide else F(1))
    centre = F(0.5) + (np.arange(axis.out, dtype=F) if axis.scale == 1 else coordinates(axis, how.coordinates))
    first, last = (np.floor(centre + end + F(0.5)).astype(np.int64) for end in (-support, support))
    element = first[:, None] + np.arange(2 * math.ceil(support) + 1)
    inside = (element >= 0) & (element < axis.size)
    weights = _kernel((element.astype(F) - centre[:, None] + F(0.5)) * (F(1) / stretch if wide else F(1)), how)
    weights[(element >= last[:, None]) | (how.exclude_outside & ~inside)] = 0
    total = np.zeros(axis.out, F)
    for column in weights.T:
        total += column
    start = np.clip(first, 0, max(axis.size - element.shape[1], 0))
    runs = np.zeros((axis.out, min(element.shape[1], axis.size)), F)
    for chosen in (inside, ~inside):                       # what lies outside is added to the border's own weight
        row, k = np.nonzero(chosen)
        np.add.at(runs, (row, np.clip(element[row, k], 0, axis.size - 1) - start[row]), weights[row, k])
    scaled = runs * (F(1) / np.where(total == 0, F(1), total))[:, None] * F(1 << FILTER_BITS)
    return start.astype(np.int32), (np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)).astype(np.int32)


def _summed_in_int32(axes: list[Axis], how: Sampling) -> bool:
    """Whether sums of bytes stay in 32 bits: any but those of a cubic that swings far beyond the usual ones."""
    weights = (filter_table(axis, how)[1] for axis in axes if not axis.idle)
    return all(np.abs(w.astype(np.int64)).sum(1).max() * 255 + (1 << FILTER_BITS) < 1 << 31 for w in weights)


def _kernel(x: np.ndarray, how: Sampling) -> np.ndarray:
    """The triangle, or Keys' cubic, float32."""
    x, a = np.abs(x), F(how.cubic_a)
    if how.mode == "linear":
        return np.maximum(F(1) - x, F(0))
    near = ((a + F(2)) * x - (a + F(3))) * x * x + F(1)
    far = (((x - F(5)) * x + F(8)) * x - F(4)) * a
    return np.where(x < 1, near, np.where(x < 2, far, F(0)))


@dataclass(frozen=True)
class Terms:
    """A tensor as planes of rows, for the step over both: weights of its columns are products where columns are of two axes."""

    planes: int
    rows: Axis
    columns: tuple[Axis, ...]
    inner: int = 1
    fixed: bool = False

    @property
    def extents(self) -> tuple[int, int, int, int]:
        """ih, iw, oh, ow."""
        size, out = (math.prod(getattr(axis, name) for axis in self.columns) * self.inner for name in ("size", "out"))
        return self.rows.size, size, self.rows.out, out


def terms_of(axes: list[Axis], dtype: np.dtype) -> Terms | None:
    """Which axes onnxruntime interpolates together: by rank, and by which scales are 1; None where it refuses."""
    still = [_still(axis) for axis in axes]
    if len(axes) == 2:
        return Terms(1, axes[0], (axes[1],))
    if len(axes) == 3:
        return Terms(1, axes[0], (axes[1], axes[2]))
    if len(axes) in (4, 5) and still[0] and still[1]:
        return Terms(axes[0].size * axes[1].size, axes[2], tuple(axes[3:]))
    if len(axes) == 4 and still[0] and still[3]:
        return Terms(axes[0].size, axes[1], (axes[2],), axes[3].size, dtype in BYTES)
    return None


def _still(axis: Axis) -> bool:
    return axis.scale == 1 and axis.size == axis.out


def lower_terms(low: Lowering, terms: Terms, how: Sampling) -> Tensor:
    """The step that sums them. Returns the output."""
    x, y = low.read(0, "dense"), own_output(low, 0)
    index, weights = column_table(terms, how)
    rows, row_weights = term_table(terms.rows, how, terms.fixed)
    operands = [low.constant(table) for table in (rows.T, row_weights.T, index, weights)]
    ih, iw, oh, ow = terms.extents
    low.emit("resize_terms", [y, x, *operands], y.size * 2 * len(index), planes=terms.planes, ih=ih, iw=iw, oh=oh, ow=ow, taps_w=len(index),
             dtype=DTYPE_CODES[x.dtype], fixed=int(terms.fixed))
    return y


def term_table(axis: Axis, how: Sampling, fixed: bool) -> tuple[np.ndarray, np.ndarray]:
    """(index int32, weight), both (2, out): the elements around each coordinate; both the same one, by halves, at the end."""
    at = np.arange(axis.out, dtype=F) if _still(axis) else coordinates(axis, how.coordinates)
    at = np.clip(at, F(0), F(axis.size - 1)).astype(F)
    low = at.astype(np.int32)
    high = np.minimum(low + 1, axis.size - 1).astype(np.int32)
    one = 1 << TERM_BITS if fixed else 1
    place = (at * F(one)).astype(np.int32) if fixed else at
    weights = [np.abs(place - end * place.dtype.type(one)) for end in (high, low)]
    return np.stack([low, high]), np.stack([np.where(low == high, place.dtype.type(one / 2), w) for w in weights]).astype(place.dtype)


def column_table(terms: Terms, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """(index, weight) of the terms of a row, (2 or 4, ow) each. With two axes, the last one's taps run fastest."""
    index, weights = term_table(terms.columns[-1], how, terms.fixed)
    if len(terms.columns) == 2:
        others, factors = term_table(terms.columns[0], how, terms.fixed)
        size = terms.columns[-1].size
        index = (others[:, None, :, None] * size + index[None, :, None, :]).reshape(4, -1)
        weights = (factors[:, None, :, None] * weights[None, :, None, :]).reshape(4, -1)
    channels = np.arange(terms.inner, dtype=np.int32)
    index = (index[:, :, None] * terms.inner + channels).reshape(len(index), -1)
    return index.astype(np.int32), np.repeat(weights, terms.inner, 1)
