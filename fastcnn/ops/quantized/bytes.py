"""Helpers of all operators on bytes: limits of results, layouts, operands that kernels may read past their end."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import Strides, Tensor, channels_last_strides, is_channels_last, is_dense, walk
from fastcnn.ops.base import Lowering
from fastcnn.ops.layout import elementwise_strides

LAST = 255              # the largest byte
U8, I8 = np.dtype(np.uint8), np.dtype(np.int8)


def are_bytes(args: Args, *inputs: int) -> bool:
    """Whether these inputs are unsigned bytes of few dimensions."""
    return all(args.spec(i).dtype == U8 and args.spec(i).rank <= _native.MAX_DIMS for i in inputs)


def write_like(low: Lowering, inputs: Sequence[int]) -> Tensor:
    """Memory for output 0 where elementwise inputs suggest it."""
    spec = low.output_spec(0)
    strides = elementwise_strides([low.read(i) for i in inputs], spec.shape)
    if len(spec.shape) >= 3 and is_channels_last(spec.shape, strides) and not is_dense(spec.shape, strides):
        strides = channels_last_strides(spec.shape, spec.dtype.itemsize)
    return low.write(0, strides)


def walk_fields(y: Tensor, **operands: Tensor) -> dict[str, Any]:
    """Step fields of a walk over y and operands of its shape."""
    shape, (y_strides, *others) = walk(y.shape, y.strides, *(t.strides for t in operands.values()))
    strides: dict[str, Strides] = {f"{name}_strides": s for name, s in zip(operands, others)}
    return {"ndim": len(shape), "shape": shape, "y_strides": y_strides, **strides}


def emit_limits(low: Lowering, y: Tensor, x: Tensor) -> None:
    """y = x within the node's limits, for steps that have none."""
    table = low.constant(np.clip(np.arange(LAST + 1), low.node.attrs["lo"], low.node.attrs["hi"]).astype(np.uint8))
    low.emit("table", [y, x, table], y.size, **walk_fields(y, x=x))


def past_the_end(low: Lowering, x: Tensor, channels: int, layout: str = "channels_last") -> Tensor:
    """x where the bytes after its last pixel may be read: words of four are, whatever the number of channels."""
    if channels % 4 == 0 or (x.buffer.io is None and x.buffer.array is None):
        return x
    own = low.temp(x.shape, x.dtype, layout)
    low.copy(own, x)
    return own
