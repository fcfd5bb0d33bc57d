"""The table of all environment variables that this package reads, with type, default and meaning."""
from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("variable", "type", "default", "now", "read", "meaning")


@dataclass(frozen=True)
class Knob:
    """read: when."""

    name: str
    type: str
    default: str
    read: str
    meaning: str

    @property
    def value(self) -> str | None:
        """The variable's present value, None where it is not set."""
        return os.environ.get(self.name)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "value": self.value}


KNOBS = (
    Knob("FASTCNN_ISA", "scalar, avx2, avx512 or a sub-level", "the best the CPU has", "at import",
         "instruction set; what the CPU lacks is refused"),
    Knob("FASTCNN_MACHINE", "row, file or measured", "the processor's row", "at import", "the processor that plans are made for"),
    Knob("FASTCNN_THREADS", "positive integer", "affinity, quota, physical cores", "by load()", "default number of threads"),
    Knob("FASTCNN_CACHE", "folder", "$XDG_CACHE_HOME/fastcnn", "when tuning, by FASTCNN_MACHINE=measured",
         "where tuned answers, measured numbers and the cache of models are kept"),
    Knob("FASTCNN_MODEL_CACHE", "0 or 1", "0", "by load()", "1: compiled models of ONNX files are kept and mapped the next time"),
    Knob("FASTCNN_MODEL_CACHE_MB", "number", "2048", "by load()", "megabytes that the cache of models may take"),
    Knob("FASTCNN_TUNE_SECONDS", "number", "30", "when tuning", "most seconds of timing a model"),
    Knob("FASTCNN_OPENMP", "0 or 1", "1", "by the build", "0: single-threaded build"),
    Knob("FASTCNN_DEBUG", "0 or 1", "0", "by the build", "1: checks in Cython, assertions, sanitizers"),
)


def knobs() -> list[dict[str, Any]]:
    """All variables as plain data, with their present values."""
    return [knob.to_dict() for knob in KNOBS]
