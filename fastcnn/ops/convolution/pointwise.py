"""1x1 convolutions on row-major planes: y[m][pixel] = W[m][c] x[c][pixel], a matrix product without a change of layout."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.convolve.conv import best_nv
from fastcnn.ir.tensor import Tensor, is_dense, pitch
from fastcnn.ops.base import Lowering
from fastcnn.ops.convolution.conv_emit import epilogue, vector_of
from fastcnn.ops.window import Window

SHORTEST_PLANE = 96          # pixels: on shorter planes the last vectors are too empty
MOST_GROUPS = 8              # a step each


def keeps_planes(low: Lowering, window: Window, group: int) -> bool:
    """Whether a Conv is pointwise, its weights constant, and both its input and its output row-major anyway."""
    pointwise = set(window.kernel) | set(window.strides) == {1} and not any((*window.before, *window.after))
    if not pointwise or low.args.values[1] is None or low.args.has(3) or low.args.has(4) or group > MOST_GROUPS:
        return False
    x = low.read(0)
    return is_dense(x.shape, x.strides) and math.prod(x.shape[2:]) >= SHORTEST_PLANE and low.dense_output()


def lower_planes(low: Lowering, group: int) -> None:
    """One matmul step a group, the images of the batch its batch."""
    x, y = low.read(0), low.write(0, "dense")
    if y.size == 0:
        return
    pixels, images = math.prod(x.shape[2:]), x.shape[0]
    m, k = y.shape[1] // group, x.shape[1] // group
    bias = vector_of(low, 2, y.shape[1])
    w, ld = low.args.constant(1), pitch(k)
    rows = low.packed((low.node.input(1), "rows"), lambda: np.pad(w.reshape(-1, k), ((0, 0), (0, ld - k))).ravel())
    for g in range(group):
        weights = Tensor(rows.buffer, (m, k), (ld, 1), rows.offset + g * m * ld)
        part = bias and bias.slice(0, g * m, m)
        low.emit("matmul", [y.slice(1, g * m, m), weights, x.slice(1, g * k, k), part], images * m * k * pixels,
                 ndim=1, shape=(images,), y_strides=(y.strides[0],), a_strides=(0,), b_strides=(x.strides[0],), m=m, n=pixels, k=k,
                 a_m=ld, a_k=1, b_k=pixels, b_n=1, y_m=pixels, nv=best_nv(pixels, m, k), row_bias=1, **epilogue(low.node.activation))
