"""Operators of com.microsoft that exporters and quantisers write, as numpy: onnx.reference does not know them."""
from __future__ import annotations

CONTRIB: dict = {}
