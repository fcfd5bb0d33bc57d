"""Fixtures that every test file shares."""
from __future__ import annotations

import os

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import fastcnn  # noqa: E402, F401  (selects the instruction set)
from fastcnn import _native  # noqa: E402


@pytest.fixture(params=["scalar", "avx2", "avx512"])
def isa(request):
    """Each instruction set in turn; skipped visibly where the CPU or the build lacks it."""
    if request.param not in _native.isas():
        pytest.skip(f"this CPU or build lacks {request.param}")
    before = _native.current_isa()
    _native.set_isa(request.param)
    yield request.param
    _native.set_isa(before)
