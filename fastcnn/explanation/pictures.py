"""Draws patches, filters, maps and evidence as pictures: arrays (H, W, 3) of uint8."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastcnn.preprocess import opened

CELL, GAP = 64, 2               # pixels of a tile at most where it is shrunk and at least where it is enlarged; between tiles
WHITE, BLUE = (255, 255, 255), (120, 160, 230)      # what is between tiles
STRENGTH = 0.75                 # of the colour of the strongest evidence


def coloured(pixels: np.ndarray) -> np.ndarray:
    """An image (H, W, 1) or (H, W, 3) as (H, W, 3)."""
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def fitted(pixels: np.ndarray, cell: int = CELL) -> np.ndarray:
    """Enlarged by whole pixels up to a side of `cell`, or shrunk to it."""
    side = max(pixels.shape[:2])
    if side <= cell:
        factor = max(cell // side, 1)
        return coloured(pixels).repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = (max(round(extent * cell / side), 1) for extent in pixels.shape[:2])
    return np.asarray(opened(np.ascontiguousarray(coloured(pixels))).resize((width, height), resample=4))


def grid(tiles: Sequence[np.ndarray], columns: int, gap: int = GAP, colour: tuple[int, int, int] = WHITE) -> np.ndarray:
    """Tiles in rows, each in a cell of the largest one's size."""
    if not tiles:
        return np.full((1, 1, 3), colour, np.uint8)
    high, wide = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    out = np.full((rows * (high + gap) - gap, columns * (wide + gap) - gap, 3), colour, np.uint8)
    for k, tile in enumerate(tiles):
        y, x = k // columns * (high + gap), k % columns * (wide + gap)
        out[y:y + tile.shape[0], x:x + tile.shape[1]] = coloured(tile)
    return out


def filter_tiles(weights: np.ndarray, bgr: bool = False) -> list[np.ndarray]:
    """A tile a filter (M, C, KH, KW): grey is 0, the largest |weight| of the filter black or white; in colour where C is 3, else a
    tile for every filter and input channel."""
    m, c, kh, kw = weights.shape
    planes = weights.transpose(0, 2, 3, 1) if c == 3 else weights.reshape(m * c, kh, kw, 1)
    planes = planes[..., ::-1] if c == 3 and bgr else planes
    most = np.abs(planes).max(axis=(1, 2, 3), keepdims=True)
    scaled = 127.5 + 127.5 * planes / np.where(most > 0, most, 1)
    return [fitted(np.rint(tile).astype(np.uint8)) for tile in scaled]


def map_tile(plane: np.ndarray, cell: int = 2 * CELL) -> np.ndarray:
    """A feature map (H, W): black its least value, white its largest."""
    plane = np.where(np.isfinite(plane), plane, 0).astype(np.float64)
    low, high = plane.min(), plane.max()
    return fitted(np.rint(255 * (plane - low) / (high - low if high > low else 1)).astype(np.uint8)[..., None], cell)


def overlay(pixels: np.ndarray, heat: np.ndarray, cell: int = 4 * CELL) -> np.ndarray:
    """An image in grey with evidence (h, w) over it: red speaks for the class, blue against it."""
    base = fitted(np.rint(coloured(pixels).mean(axis=2, keepdims=True)).astype(np.uint8), cell).astype(np.float64)
    signs = heat / max(float(np.abs(heat).max()), 1e-30)
    level = np.rint(127.5 + 127.5 * signs).astype(np.uint8)
    size = (base.shape[1], base.shape[0])
    share = (np.asarray(opened(level).resize(size, resample=2)).astype(np.float64) - 127.5)[..., None] / 127.5
    colour = np.where(share > 0, np.array([230.0, 30, 30]), np.array([30.0, 70, 230]))
    alpha = STRENGTH * np.abs(share)
    return np.rint(base * (1 - alpha) + colour * alpha).astype(np.uint8)
