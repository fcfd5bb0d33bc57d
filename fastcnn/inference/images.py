"""Shape rules of operators that sample images: Resize, Upsample, GridSample, AffineGrid."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastcnn.inference.site import MAX_ELEMENTS, Mismatch, Outputs, Site, differ
from fastcnn.inference.sizes import function
from fastcnn.ir.graph import Dim


def resize(site: Site) -> Outputs:
    """Resize, Upsample: floor(size * scale) in float32, as onnxruntime rounds, or the given sizes."""
    from fastcnn.resample import is_old  # here and below: fractions, and with them decimal: 6 ms
    x = site.shape(0)
    if x is None:
        return [None]
    if is_old(site.node):
        return [_scaled(x, list(range(len(x))), _scales(site, 1))]
    given = site.attrs.get("axes")
    axes = list(range(len(x))) if not given else site.axes(list(given), len(x))
    sizes = site.shape(3)
    if site.given(3) and sizes != (0,):
        return [_sized(site, x, axes)]
    return [_scaled(x, axes, _scales(site, 2))]


def _scales(site: Site, i: int) -> np.ndarray | None:
    """The scales input where it is known and not empty (an empty one stands for an omitted input)."""
    if "scales" in site.attrs and not site.given(i):
        return np.asarray(site.attrs["scales"], np.float32)
    array = site.array(i)
    return array.reshape(-1) if array is not None and array.size else None


def _scaled(x: Sequence[Dim], axes: list[int], scales: np.ndarray | None) -> list[Dim]:
    if scales is not None and len(scales) != len(axes):
        raise Mismatch(f"{len(scales)} scales for {len(axes)} axes")
    sizes = list(x)
    for k, axis in enumerate(axes):
        sizes[axis] = _scaled_size(x[axis], None if scales is None else float(scales[k]))
    return sizes


def _scaled_size(size: Dim, scale: float | None) -> Dim:
    from fastcnn.resample import scaled_extent
    if scale is None or not math.isfinite(scale) or scale < 0:
        return None
    if not isinstance(size, int):
        return size if scale == 1 else function("scaled", size, repr(scale))
    try:
        return scaled_extent(size, scale)
    except ValueError as error:
        raise Mismatch(str(error)) from None


def _sized(site: Site, x: Sequence[Dim], axes: list[int]) -> list[Dim]:
    """The given sizes; with keep_aspect_ratio_policy, the largest image that fits into them or the smallest that covers them."""
    from fastcnn.resample import kept_ratio
    wanted = site.dims(3)
    found = list(x)
    if wanted is not None and len(wanted) != len(axes):
        raise Mismatch(f"{len(wanted)} sizes for {len(axes)} axes")
    policy = site.attrs.get("keep_aspect_ratio_policy", "stretch")
    if wanted is not None and policy != "stretch":
        pairs = [(x[a], n) for a, n in zip(axes, wanted)]
        numbers = [(size, n) for size, n in pairs if isinstance(size, int) and isinstance(n, int) and size > 0]
        known = len(numbers) == len(pairs)
        wanted = tuple(kept_ratio(policy, [size for size, _ in numbers], [n for _, n in numbers])[0]) if known else None
    for k, axis in enumerate(axes):
        found[axis] = None if wanted is None else wanted[k]
    return found


def grid_sample(site: Site) -> Outputs:
    """GridSample: (N, C, spatial extents of the grid)."""
    x, grid = site.shape(0), site.shape(1)
    if grid is None or x is None:
        return [None if x is None else [*x[:2], *[None] * (len(x) - 2)]]
    if len(grid) != len(x) or len(x) < 3 or differ(grid[0], x[0]) or differ(grid[-1], len(x) - 2):
        raise Mismatch(f"the grid must be ({x[0] if x else '?'}, ..., {len(x) - 2})")
    return [[x[0], x[1], *grid[1:-1]]]


def affine_grid(site: Site) -> Outputs:
    """AffineGrid: (N, extents, number of extents) for size = (N, C, extents)."""
    size = site.dims(1)
    if size is None:
        count = site.shape(1)
        rank = count[0] if count and isinstance(count[0], int) and count[0] <= MAX_ELEMENTS else None
        return [[None] * (rank - 1) + [rank - 2] if rank is not None and rank > 2 else None]
    if len(size) not in (4, 5) or any(isinstance(n, int) and n < 1 for n in size):
        raise Mismatch(f"size={list(size)}")
    site.expect(0, [size[0], len(size) - 2, len(size) - 1], f"size={list(size)}")
    return [[size[0], *size[2:], len(size) - 2]]
