"""The image patches that activate a channel of a layer most, over any number of images, in bounded memory.

Zeiler, Fergus: Visualizing and understanding convolutional networks (ECCV 2014) show the nine strongest; here a patch is what the unit
sees, its receptive field, no more and no less.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcnn.analysis.records import ReceptiveField
from fastcnn.ir.errors import InputError

PATCHES = 9                     # a channel
PADDING = (205, 195, 235)       # a colour that grey images do not have
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Patch:
    """A place where a channel was strongly activated.

    source  the image          value   the activation          unit  (row, column) in the map, () where it has no places
    box     (top, left, bottom, right) of the receptive field in pixels of the image as the network saw it; parts may lie in the padding
    pixels  (bottom - top, right - left, 3) uint8, in the colour of PADDING where the box leaves the image
    """

    source: str
    value: float
    unit: tuple[int, ...]
    box: Box
    pixels: np.ndarray


class Strongest:
    """The `count` strongest activations of each channel so far: values, images and units, sorted from the strongest."""

    def __init__(self, channels: Sequence[int], count: int, apart: int, per_image: int):
        """apart: units of one image that both count are farther apart than that; per_image: at most so many of one image."""
        self.channels, self.count, self.apart, self.per_image = list(channels), count, apart, per_image
        self.values = np.full((len(self.channels), count), -np.inf)
        self.images = np.full((len(self.channels), count), -1)
        self.units = np.zeros((len(self.channels), count), np.int64)
        self.least = np.full(len(self.channels), np.inf)

    def add(self, y: np.ndarray, first: int) -> None:
        """Activations (N, C, ...) of the images numbered from `first` on."""
        maps = y[:, self.channels].astype(np.float64)
        finite = np.isfinite(maps)
        self.least = np.minimum(self.least, np.where(finite, maps, np.inf).min(axis=(0, *range(2, maps.ndim))))
        maps = np.where(finite, maps, -np.inf)
        flat = maps.reshape(*maps.shape[:2], -1)
        for _ in range(min(self.per_image, flat.shape[2])):
            at = flat.argmax(2)                                                     # (N, C)
            found = np.take_along_axis(flat, at[..., None], 2)[..., 0]
            self._merge(found.T, first + np.arange(len(y)), at.T)
            if self.per_image > 1:
                self._hide(maps, at)

    def _merge(self, values: np.ndarray, images: np.ndarray, units: np.ndarray) -> None:
        """values, units: (C, N)."""
        everything = [np.concatenate(pair, axis=1) for pair in ((self.values, values),
                                                                (self.images, np.broadcast_to(images, values.shape)), (self.units, units))]
        order = np.argsort(-everything[0], axis=1, kind="stable")[:, :self.count]
        self.values, self.images, self.units = (np.take_along_axis(part, order, 1) for part in everything)

    def _hide(self, maps: np.ndarray, at: np.ndarray) -> None:
        """Excludes activations near the units that were found."""
        shape = maps.shape[2:]
        for n, c in np.ndindex(*at.shape):
            unit = np.unravel_index(at[n, c], shape)
            maps[(n, c, *(slice(max(int(i) - self.apart, 0), int(i) + self.apart + 1) for i in unit))] = -np.inf

    def active(self, k: int) -> list[int]:
        """Which places of the k-th channel are taken by something that activates it: more than the least it ever was."""
        return [j for j in range(self.count) if self.values[k, j] > self.least[k]]


def box_of(unit: Sequence[int], fields: Sequence[ReceptiveField], size: tuple[int, int]) -> Box:
    """(top, left, bottom, right) of what a unit sees of an image of (height, width); the whole image along axes that it sees as a whole."""
    ends = []
    for k, extent in enumerate(size):
        field = fields[k] if k < len(fields) else None
        if field is None or field.size is None or k >= len(unit):
            ends.append((0, extent))
            continue
        start = math.floor(field.offset + field.stride * unit[k])
        ends.append((start, start + math.ceil(field.size)))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    """The box of an image (H, W, 1) or (H, W, 3) in colours, PADDING where it leaves it."""
    top, left, bottom, right = box
    out = np.full((bottom - top, right - left, 3), PADDING, np.uint8)
    inside = pixels[max(top, 0):max(bottom, 0), max(left, 0):max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    out[y:y + inside.shape[0], x:x + inside.shape[1]] = inside
    return out


def cut_all(tables: Sequence[tuple[Strongest, Sequence[ReceptiveField], Sequence[int]]], sources: Sequence[Any],
            opened: Callable[[Any], np.ndarray]) -> list[list[list[Patch]]]:
    """Patches for each table, channel and place. Every image that has one is opened once more, one at a time.

    tables: (activations, receptive fields, extents of the map); opened: source -> pixels (H, W, C).
    """
    wanted = dict[int, list[tuple[int, int, int]]]()
    for t, (table, _, _) in enumerate(tables):
        for k in range(len(table.channels)):
            for j in table.active(k):
                wanted.setdefault(int(table.images[k, j]), []).append((t, k, j))
    found: list[list[dict[int, Patch]]] = [[{} for _ in table.channels] for table, _, _ in tables]
    for image, places in wanted.items():
        pixels = opened(sources[image])
        for t, k, j in places:
            table, fields, extents = tables[t]
            unit = tuple(int(i) for i in np.unravel_index(int(table.units[k, j]), tuple(extents))) if extents else ()
            box = box_of(unit, fields, (pixels.shape[0], pixels.shape[1]))
            name = sources[image] if not isinstance(sources[image], np.ndarray) else f"image {image}"
            found[t][k][j] = Patch(str(name), float(table.values[k, j]), unit, box, cut(pixels, box))
    return [[[places[j] for j in sorted(places)] for places in channels] for channels in found]


def checked_channels(wanted: Sequence[int] | None, count: int, most: int, layer: str) -> list[int]:
    """The channels asked for, the first `most` by default. Raises InputError."""
    if wanted is None:
        return list(range(min(count, most)))
    missing = [channel for channel in wanted if not 0 <= channel < count]
    if missing:
        raise InputError(f"layer {layer!r} has channels 0 to {count - 1}, no {missing[0]}")
    return list(wanted)
