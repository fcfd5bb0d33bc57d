"""Facts about the processor that choices depend on."""
from __future__ import annotations

from functools import cache

from fastcnn import _native

CACHE_LINE_FLOATS = 16
# Two FMA ports times four cycles of latency: fewer independent sums leave slots empty.
FMA_CHAINS = 8


@cache
def l1d_bytes() -> int:
    """Bytes of one core's L1 data cache."""
    return int(_native.cpu()["l1d_bytes"])


@cache
def l2_bytes() -> int:
    """Bytes of one core's L2."""
    return int(_native.cpu()["l2_bytes"])
