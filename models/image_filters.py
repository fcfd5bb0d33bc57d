"""Image filters as a network of fixed convolutions (`python -m models.filters` shows what they make of a photograph).

Input (N, 3, H, W) RGB in 0..1, edges continued; an output (N, 3, H, W) for every filter: box 5x5, Gaussian 7x7 (sigma 1.5), sharpening
(the image minus its Laplacian), differences [-1 1] along rows and columns, Sobel (1968) along both and their magnitude; and (N, 3, H / 8,
W / 8) for pooling over 8x8: plain averages, and averages over 16x16 weighted by 1 / (1 + distance to the centre).  Everything is a
depthwise convolution with a constant kernel, except AveragePool and the magnitude.
"""
from __future__ import annotations

import numpy as np

from models.writer import Writer

POOL = 8                    # pixels of a plain average, and from one average to the next
WEIGHTED_POOL = 16          # pixels of a weighted one, around the same centre
SIGMA = 1.5
GAUSSIAN_RADIUS = 3
OUTPUTS = ("box", "gaussian", "sharpened", "columns", "rows", "sobel_columns", "sobel_rows", "sobel", "average", "weighted")


def gaussian(sigma: float, radius: int) -> np.ndarray:
    """k[i, j] ~ exp(-(i^2 + j^2) / (2 sigma^2)), sum 1.  (2 radius + 1, 2 radius + 1)."""
    line = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * sigma**2))
    return np.outer(line, line) / line.sum() ** 2


def distance_weights(extent: int) -> np.ndarray:
    """k[i, j] ~ 1 / (1 + distance of (i, j) to the centre), sum 1.  (extent, extent)."""
    offset = np.arange(extent) - (extent - 1) / 2
    weights = 1 / (1 + np.hypot(*np.meshgrid(offset, offset)))
    return weights / weights.sum()


SOBEL = np.outer([1, 2, 1], [-1, 0, 1]) / 4
KERNELS = {
    "box":           np.full((5, 5), 1 / 25),
    "gaussian":      gaussian(SIGMA, GAUSSIAN_RADIUS),
    "sharpened":     np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "columns":       np.array([[-1, 1]]),
    "rows":          np.array([[-1], [1]]),
    "sobel_columns": SOBEL,
    "sobel_rows":    SOBEL.T,
}


def depthwise(net: Writer, name: str, x: str, kernel: np.ndarray, *, stride: int = 1) -> str:
    """y[n,c,i,j] = sum of kernel[a,b] x[n,c,stride i + a - h, stride j + b - w], (h, w) = (kernel - stride) // 2; edges continued."""
    c = net.channels[x]
    (kh, kw), stored = kernel.shape, np.tile(kernel, (c, 1, 1, 1)).astype(np.float32)
    before = (kh - stride) // 2, (kw - stride) // 2
    after = kh - stride - before[0], kw - stride - before[1]
    padded = net.node("Pad", [x, net.ints(0, 0, *before, 0, 0, *after)], c, f"{name}.padded", mode="edge")
    return net.node("Conv", [padded, net.constant(f"{name}.kernel", stored)], c, f"{name}.filtered", kernel_shape=[kh, kw],
                    strides=[stride] * 2, group=c)


def distance_weighted_pool(net: Writer, name: str, x: str, extent: int, stride: int) -> str:
    """y = averages over extent x extent windows weighted by 1 / (1 + distance to the centre), every `stride` <= extent pixels."""
    return depthwise(net, name, x, distance_weights(extent), stride=stride)


def image_filters(net: Writer, x: str) -> None:
    """(N, 3, H, W) -> an output for every filter, named as in OUTPUTS."""
    batch = net.graph.input[0].type.tensor_type.shape.dim[0]
    height, width = net.extents()
    whole = (batch.dim_param or batch.dim_value, net.channels[x], height, width)
    filtered = {name: depthwise(net, name, x, kernel) for name, kernel in KERNELS.items()}
    for name, y in filtered.items():
        net.output(y, name, whole)
    squares = [net.node("Mul", [filtered[name]] * 2, whole[1]) for name in ("sobel_columns", "sobel_rows")]
    net.output(net.node("Sqrt", [net.add(*squares)], whole[1]), "sobel", whole)
    pooled = (*whole[:2], height // POOL, width // POOL)
    net.output(net.avg_pool(x, POOL, POOL), "average", pooled)
    net.output(distance_weighted_pool(net, "weighted", x, WEIGHTED_POOL, POOL), "weighted", pooled)
