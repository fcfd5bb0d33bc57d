"""Report: the error, time and reason of each layer after quantising, and of the whole network."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("layer", "operator", "precision", "error", "float ms", "int8 ms", "why")


@dataclass(frozen=True)
class QuantizedLayer:
    """A Conv, Gemm or MatMul.

    precision  "int8" or "fp32"
    error      of its result on bytes of exact inputs, by itself: root mean square of the difference over that of the result; None where
               it has no form on bytes
    fp32_ms, int8_ms   predicted on this machine, in floats and on bytes; None where it has no form on bytes
    why        reason for its precision
    """

    name: str
    op_type: str
    precision: str
    error: float | None
    fp32_ms: float | None
    int8_ms: float | None
    why: str


@dataclass(frozen=True)
class Report:
    """layers: in order. error: of the outputs, largest difference to the float network over its largest value, on `samples` of the data.

    fp32_ms, int8_ms  predicted for all layers that have a form on bytes: in floats, and as they are now
    """

    layers: tuple[QuantizedLayer, ...]
    error: float
    samples: int
    fp32_ms: float
    int8_ms: float

    def rows(self) -> list[list[str]]:
        """A row of COLUMNS for each layer."""
        return [[row.name, row.op_type, row.precision, _number(row.error), _number(row.fp32_ms), _number(row.int8_ms), row.why]
                for row in self.layers]

    def lines(self) -> list[str]:
        """The lines below the table."""
        count = sum(layer.precision == "int8" for layer in self.layers)
        return [f"{count} of {len(self.layers)} layers in int8; their products predicted to take {self.int8_ms:.3g} ms where floats take "
                f"{self.fp32_ms:.3g} ms", f"outputs differ from the float network's by at most {self.error:.3g} of its largest value, on "
                f"{self.samples} of the calibration data"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
