"""Convolutions of random attributes by every algorithm, on poisoned memory: what reads or writes past its arrays shows as NaN."""
from __future__ import annotations

import pytest
from conv_sweep import sweep


@pytest.mark.parametrize("seed", range(10))
def test_random_attributes_against_sums_in_float64(seed, monkeypatch):
    failed = sweep(300, seed, monkeypatch)
    assert not failed, "\n".join(f"{case}: {error}" for case, error in failed)
