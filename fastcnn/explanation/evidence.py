"""Evidence for a class: how much its score falls when a part of the image is covered, and class activation maps."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

COVERED = 8                     # a square covers one in so many pixels of the shorter side
MOVES = 2                       # and moves by its side over this


@dataclass(frozen=True)
class Evidence:
    """For one image and class.

    source     the image                 class_, score  what was looked at; by default the class of the highest score
    pixels     (H, W, C) uint8, as the network saw it
    occlusion  (H, W): mean fall of the score over the squares that covered a pixel: positive where the image speaks for the class
    cam        (h, w) of the last map, None where the network does not end in global average pooling and a linear layer
    """

    source: str
    class_: int
    score: float
    pixels: np.ndarray
    occlusion: np.ndarray
    cam: np.ndarray | None


def squares(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    """(top, left, side) of the squares that cover an image, in rows; the last ones end at the border."""
    side = max(min(height, width) // COVERED, 1)
    side = max(side, 2) if min(height, width) > 2 else side
    step = max(side // MOVES, 1)
    for top in _starts(height, side, step):
        for left in _starts(width, side, step):
            yield top, left, side


def _starts(extent: int, side: int, step: int) -> list[int]:
    return sorted({*range(0, extent - side + 1, step), max(extent - side, 0)})


def occlusion(pixels: np.ndarray, k: int, scores: Callable[[list[np.ndarray]], np.ndarray], batch: int) -> np.ndarray:
    """(H, W): by how much the score of class k falls, on average over the squares that cover a pixel.

    pixels: (H, W, C) uint8; scores: images -> (N, K). What is covered gets the median colour of the image: its background.
    After Zeiler and Fergus (ECCV 2014).
    """
    height, width = pixels.shape[:2]
    background = np.median(pixels.reshape(-1, pixels.shape[2]), axis=0).astype(np.uint8)
    falls, counts = np.zeros((height, width)), np.zeros((height, width))
    full = float(scores([pixels])[0, k])
    places = list(squares(height, width))
    for first in range(0, len(places), batch):
        some, covered = places[first:first + batch], list[np.ndarray]()
        for top, left, side in some:
            image = pixels.copy()
            image[top:top + side, left:left + side] = background
            covered.append(image)
        for (top, left, side), score in zip(some, scores(covered)[:, k]):
            falls[top:top + side, left:left + side] += full - float(score)
            counts[top:top + side, left:left + side] += 1
    return falls / np.maximum(counts, 1)
