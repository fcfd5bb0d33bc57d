"""Goal: the result that a node on bytes has to make."""
from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from fastcnn.ir.record import dataclass
from fastcnn.passes.quantized.bytes import Scale
from fastcnn.passes.quantized.tables import quantised

ALL_FLOATS = (-inf, inf)


@dataclass(frozen=True)
class Goal:
    """A result: its name, scale and limits.

    target  its scale as bytes; None: it stays a float
    limits  the least and the largest value, as floats
    like    a value of its shape
    """

    target: Scale | None
    output: str
    like: str
    limits: tuple[float, float] = ALL_FLOATS

    def attrs(self) -> dict[str, Any]:
        """Attributes of the node: zero point and limits of the result. Limits become those of bytes: rounding keeps order."""
        if self.target is None:
            return {"to": "float", "y_zero": 0, "lo": self.limits[0], "hi": self.limits[1]}
        lo, hi = (int(u) for u in quantised(np.array(self.limits, np.float32), self.target))
        return {"to": "uint8", "y_zero": self.target.zero, "lo": lo, "hi": hi}
