"""Computes scales: of values from their ranges, of weights per output channel, of biases from both."""
from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcnn.ir.errors import ConfigurationError

LEVELS = 255                    # steps between the least and the largest byte
LARGEST = 127                   # |w|: -128 stays unused, so that signs are alike
LARGEST_BIAS = 2.0 ** 30
SMALLEST = 2.0 ** -100          # of scales: their products are floats still
TYPES = {"uint8": np.uint8, "int8": np.int8}


class Memo(dict[Hashable, Any]):
    """What has been computed of weights, each once, while graphs of the same products are written in many ways."""


@dataclass(frozen=True)
class Scale:
    """A byte q stands for (q - zero) * scale; zero and q are of the type."""

    scale: np.float32
    zero: np.ndarray


def value_scale(low: float, high: float, kind: str) -> Scale:
    """The scale with the range [low, high], widened to include 0, on all 256 bytes of "uint8" or "int8"; 0 is stored exactly."""
    if kind not in TYPES:
        raise ConfigurationError(f"activations={kind!r}: expected one of {', '.join(TYPES)}")
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max((high - low) / LEVELS, SMALLEST))
    least = np.iinfo(TYPES[kind]).min
    zero = least + int(np.clip(np.rint(-low / float(scale)), 0, LEVELS))
    return Scale(scale if high > low else np.float32(1), np.array(zero, TYPES[kind]))


def weight_scales(rows: np.ndarray, bias: np.ndarray | None, x_scale: float, per_channel: bool) -> np.ndarray:
    """Scales of weights (outputs, inputs): max |w| / 127 per row, or one for all; larger where a bias would not fit 32 bits."""
    largest = np.abs(rows).max(1, initial=0.0).astype(np.float64)
    scales = np.maximum(largest if per_channel else np.full_like(largest, largest.max(initial=0.0)), SMALLEST) / LARGEST
    if bias is not None:
        needed = np.abs(bias.reshape(-1)).astype(np.float64) / (LARGEST_BIAS * x_scale)
        scales = np.maximum(scales, needed if per_channel else needed.max(initial=0.0))
    return scales.astype(np.float32)


def stored_rows(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Weights (outputs, ...) as signed bytes at these scales."""
    return np.clip(np.rint(rows / scales[:, None].astype(np.float64)), -LARGEST, LARGEST).astype(np.int8)


def stored_bias(bias: np.ndarray, scales: np.ndarray, x_scale: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """(int32 integers, their scales): x_scale times those of the weights, in float32 as readers compute it."""
    products = (x_scale * scales).astype(np.float32)
    return np.rint(bias.reshape(-1).astype(np.float64) / products).astype(np.int32), products
