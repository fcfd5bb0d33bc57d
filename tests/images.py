"""Channels-last images in guarded buffers: gaps between pixels hold NaN in inputs and must stay as they are in outputs."""
from __future__ import annotations

import numpy as np
from step_helper import POISON, Guarded, run_step

from fastcnn import _native

CHANNELS = [1, 3, 8, 15, 16, 17, 33, 70]      # around the vectors of every instruction set, groups of vectors, a prime


class Image:
    """(n, h, w, c) with `gap` elements between pixels. array is the view to fill or to read."""

    def __init__(self, n: int, h: int, w: int, c: int, gap: int = 0, output: bool = False):
        self.shape, self.pixel = (n, h, w, c), c + gap
        self.buffer = Guarded(np.full((n, h, w, self.pixel), POISON if output else np.nan, np.float32), output)
        self.array = self.buffer.array[..., :c]

    @classmethod
    def random(cls, rng: np.random.Generator, *shape: int, gap: int = 3) -> Image:
        image = cls(*shape, gap=gap)
        image.array[...] = rng.standard_normal(shape)
        return image

    def place(self, prefix: str) -> dict[str, int]:
        """The step fields of where it lies."""
        _, h, w, _ = self.shape
        return {f"{prefix}_image": h * w * self.pixel, f"{prefix}_row": w * self.pixel, f"{prefix}_pixel": self.pixel}

    def check_gaps(self) -> None:
        assert (self.buffer.array[..., self.shape[3]:] == POISON).all(), "wrote between pixels"


def run_image_step(kind: str, y: Image, x: Image, /, *more: np.ndarray | Guarded | None, threads: int = 1, **fields: object) -> np.ndarray:
    """Run a step from image x to image y, fields not given are 0; margins and gaps are checked. Returns y's values, copied."""
    fields = {**dict.fromkeys(_native.step_fields()[kind], 0), **x.place("x"), **y.place("y"), **fields}
    assert run_step(kind, [y.buffer, x.buffer, *more], threads=threads, **fields) == 0
    y.check_gaps()
    return y.array.copy()
