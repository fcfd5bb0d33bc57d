"""Layouts of elementwise operators: choosing that of the output, and reading operands to fit it; codes of element types."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Spec
from fastcnn.ir.tensor import Strides, Tensor, channels_last_strides, dense_strides, is_channels_last, is_dense, strides_like, walk
from fastcnn.ops.base import Lowering

# fc_dtype of fastcnn.h
DTYPE_CODES = {np.dtype(name): code for name, code in _native.DTYPES.items()}
BOOL = np.dtype(bool)
INTEGERS: frozenset[np.dtype] = frozenset(dtype for dtype in DTYPE_CODES if dtype.kind in "iu")
# What plain loops compute with; half precision is widened before it comes here.
COMPUTED = frozenset(dtype for dtype in DTYPE_CODES if dtype != np.float16)


def movable(*specs: Spec | None) -> bool:
    """Whether copy steps can move a value: plain numbers of few dimensions."""
    return all(s is None or (s.dtype in DTYPE_CODES and s.rank <= _native.MAX_DIMS) for s in specs)


def elementwise_strides(tensors: Sequence[Tensor], shape: tuple[int, ...]) -> Strides:
    """Strides for an elementwise result: channels-last if an operand of its shape is, else those of the first such operand."""
    whole = [t for t in tensors if t.shape == shape and 0 not in t.strides]
    for t in whole:
        if len(shape) >= 3 and is_channels_last(shape, t.strides) and not is_dense(shape, t.strides):
            return channels_last_strides(shape)
    return strides_like(shape, whole[0].strides) if whole else dense_strides(shape)


def operand(low: Lowering, i: int, y: Tensor) -> Tensor:
    """Input i broadcast to y. Where y is channels-last, so is the result, or it is a vector of channels or one value per pixel."""
    t = low.read(i)
    aligned = aligned_to(t, len(y.shape))
    if not is_channels_last(y.shape, y.strides) or is_dense(y.shape, y.strides) or is_channels_last(aligned.shape, aligned.strides):
        return aligned.broadcast(y.shape)
    value = low.args.values[i]
    if value is not None:
        data = low.packed(("channels last", low.node.input(i), aligned.shape),
                          lambda: np.ascontiguousarray(np.moveaxis(value.reshape(aligned.shape), 1, -1)).ravel())
        dense = dense_strides((aligned.shape[0], *aligned.shape[2:], aligned.shape[1]))
        return Tensor(data.buffer, aligned.shape, (dense[0], dense[-1], *dense[1:-1]), data.offset).broadcast(y.shape)
    if len(t.shape) == len(y.shape):
        return low.read(i, "channels_last").broadcast(y.shape)
    copy = low.temp(aligned.shape, t.dtype, channels_last_strides(aligned.shape))
    low.copy(copy, aligned)
    return copy.broadcast(y.shape)


def aligned_to(t: Tensor, rank: int) -> Tensor:
    """A view with axes of extent 1 added in front."""
    lead = rank - len(t.shape)
    return Tensor(t.buffer, (1,) * lead + t.shape, (0,) * lead + t.strides, t.offset)


def scalar(low: Lowering, value: float, dtype: np.dtype = F32) -> Tensor:
    """A number as a tensor of rank 0."""
    t = low.constant(np.array([value], dtype))
    return Tensor(t.buffer, (), ())


def own_output(low: Lowering, i: int, strides: Strides | None = None) -> Tensor:
    """Memory for output i with exactly these strides (default row-major), never a slice of a Concat's output. Sets the output."""
    spec = low.output_spec(i)
    wanted = dense_strides(spec.shape) if strides is None else strides
    if low.dense_output(i):
        return low.write(i, wanted)
    y = low.temp(spec.shape, spec.dtype, wanted)
    low.alias(i, y)
    return y


def cast(low: Lowering, target: Tensor, source: Tensor) -> None:
    """target = source as another element type."""
    shape, (y, x) = walk(target.shape, target.strides, source.strides)
    low.emit("cast", [target, source], target.size, ndim=len(shape), shape=shape, y_strides=y, x_strides=x,
             x_dtype=DTYPE_CODES[source.dtype], y_dtype=DTYPE_CODES[target.dtype])
