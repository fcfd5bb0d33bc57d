"""MaxUnpool: the inverse of a MaxPool that kept its indices."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.spec import F32, Args, bad_shape
from fastcnn.ir.tensor import Tensor, is_dense
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.image import four_strides, is_image, planes, volume

OUTPUT_SHAPE, EXTENTS = 2, 3       # inputs
MAX_PIXELS = 2 ** 31               # of a plane: the step divides 32-bit numbers


class MaxUnpool(Op):
    """y = 0, then y[index[i]] = x[i], indices counting elements of the shape that kernel_shape, strides and pads give.

    x, index (int64): (N, C, spatial...) of one to three axes. output_shape, when given, puts that result into the corner of a
    larger one; behind a MaxPool of that very shape (input 3, passes/standardise/unpool_extents.py) the indices count in it, as the
    partial inverse of that MaxPool has to. ONNX MaxUnpool-9, 11, 22. An index outside raises ExecutionError.
    """

    def native(self, args: Args) -> bool:
        x, index = args.spec(0), args.spec(1)
        if x.dtype != F32 or index.dtype != np.int64 or not is_image(x, (3, 4, 5)):
            return False
        return math.prod((args.ints(OUTPUT_SHAPE) or ())[2:] or _inner(args)) < MAX_PIXELS

    def lower(self, low: Lowering) -> None:
        if is_dense(low.read(0).shape, low.read(0).strides) and is_dense(low.read(1).shape, low.read(1).strides) and low.dense_output():
            x, index, y = (planes(t) for t in (low.read(0), low.read(1), low.write(0, "dense")))
            _emit(low, y, x, index)
            return
        x, index, y = (volume(t) for t in (low.read(0, "channels_last"), low.read(1, "channels_last"), low.write(0, "channels_last")))
        _emit(low, y, x, index)


def _emit(low: Lowering, y: Tensor, x: Tensor, index: Tensor) -> None:
    inner = _inner(low.args)
    low.emit("max_unpool", [y, x, index], y.size, n=x.shape[0], c=x.shape[1], shape=x.shape[2:], out=y.shape[2:],
             inner=(*(1,) * (3 - len(inner)), *inner), y_strides=four_strides(y), x_strides=four_strides(x), i_strides=four_strides(index))


def _inner(args: Args) -> tuple[int, ...]:
    """Spatial extents that the indices count in: (in - 1)*stride + kernel - pads, or output_shape where that is what was pooled."""
    attrs, spatial = args.node.attrs, args.spec(0).shape[2:]
    rank, kernel = len(spatial), args.node.attrs.get("kernel_shape") or []
    strides, pads = attrs.get("strides") or [1] * rank, attrs.get("pads") or [0] * 2 * rank
    if len(kernel) != rank or len(strides) != rank or len(pads) != 2 * rank:
        raise bad_shape(args, f"kernel_shape={kernel}, strides={strides}, pads={pads} for {rank} spatial axes")
    given = args.ints(OUTPUT_SHAPE)
    if given is not None and given == args.ints(EXTENTS):
        return tuple(given[2:])
    return tuple((n - 1) * s + k - b - a for n, s, k, b, a in zip(spatial, strides, kernel, pads, pads[rank:]))


OPERATORS: dict[str, Op] = {"MaxUnpool": MaxUnpool()}
