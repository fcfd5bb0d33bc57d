"""The data of an explanation: Found, Detected layers, their Detectors."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcnn.analysis.records import ReceptiveField
from fastcnn.explanation.evidence import Evidence
from fastcnn.explanation.patches import Patch
from fastcnn.preprocess import Preprocess


@dataclass(frozen=True)
class Detector:
    """A channel of a layer and the patches that activate it most, strongest first; empty where nothing activates it."""

    channel: int
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class Detected:
    """A layer: what a unit of it sees, its channels, and their maps (channels, H, W) of the first image."""

    layer: str
    op_type: str
    fields: tuple[ReceptiveField, ...]
    channels: tuple[Detector, ...]
    maps: np.ndarray | None


@dataclass(frozen=True)
class Found:
    """An explanation.

    filters  name of the first convolution and its weights (M, C / groups, KH, KW), None where no convolution reads the image
    images   how many were looked at; first: pixels of the first one as the network saw it
    """

    model: str
    images: int
    preprocess: Preprocess
    first: np.ndarray
    layers: tuple[Detected, ...]
    filters: tuple[str, np.ndarray] | None
    evidence: tuple[Evidence, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the pixels."""
        return {
            "model": self.model, "images": self.images, "preprocess": self.preprocess.to_dict(),
            "layers": [{"layer": d.layer, "op_type": d.op_type, "fields": [vars(field) for field in d.fields],
                        "channels": [{"channel": c.channel, "patches": [{"source": p.source, "value": p.value, "unit": p.unit, "box": p.box}
                                                                        for p in c.patches]} for c in d.channels]} for d in self.layers],
            "evidence": [{"source": e.source, "class": e.class_, "score": e.score, "occlusion": e.occlusion, "cam": e.cam}
                         for e in self.evidence],
        }
