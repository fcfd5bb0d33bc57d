"""Operators onnx.reference gets wrong or lacks at some opset, as numpy, each with the reason it is here."""
from __future__ import annotations

OVERRIDES: dict = {}
