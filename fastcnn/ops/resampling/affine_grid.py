"""AffineGrid: the coordinates at which GridSample reads an image that is turned, moved and scaled."""
from __future__ import annotations

import math

import numpy as np

from fastcnn.ir.spec import F32, Args
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import own_output
from fastcnn.ops.products.linear import emit_matmul


class AffineGrid(Op):
    """y[n, i, j] = theta[n] (x_j, y_i, 1): the coordinates that GridSample takes, in two or three dimensions.

    theta: (N, 2, 3) or (N, 3, 4) float32; input 1: (N, C, H, W) or (N, C, D, H, W). Pixels lie at their centres, or with align_corners
    the outer ones on the border. ONNX AffineGrid-20. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        return args.spec(0).dtype == F32

    def lower(self, low: Lowering) -> None:
        y, theta = own_output(low, 0), low.read(0)
        n, *extents, axes = y.shape
        corners = low.node.attrs.get("align_corners", 0)
        lines = [self._line(extent, bool(corners)) for extent in extents]
        grid = np.meshgrid(*lines, indexing="ij")
        points = low.constant(np.stack([*reversed(grid), np.ones_like(grid[0])], -1).reshape(-1, axes + 1).astype(F32))
        emit_matmul(low, y.view((n, math.prod(extents), axes)), points, theta.transpose((0, 2, 1)))

    def _line(self, extent: int, corners: bool) -> np.ndarray:
        """Coordinates of the pixels of one axis in [-1, 1]."""
        if corners:
            return np.linspace(-1.0, 1.0, extent)
        return (2 * np.arange(extent) + 1) / extent - 1


OPERATORS: dict[str, Op] = {"AffineGrid": AffineGrid()}
