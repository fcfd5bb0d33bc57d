"""What the tests of whole networks share: the bar for outputs, and counts beside published figures."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

import models
from models.count import Count, count

RTOL = 1e-4                     # of the largest output

native = pytest.mark.filterwarnings("error:.*no native kernel")


def counted(name: str, **options: Any) -> Count:
    return count(models.build(name, weights=False, **options), dynamic=models.NETWORKS[name].proposals)


def agrees(ours: int, published: int) -> bool:
    """Equal to the precision published: trailing zeros are rounding."""
    text = str(published)
    return abs(ours - published) <= 10 ** (len(text) - len(text.rstrip("0"))) / 2 if text.endswith("0") else ours == published


def check_published(name: str, ours: Count, differs: Collection[tuple[str, str]]) -> None:
    """Parameters and MACs are those published, but for those of (name, "params" or "macs") in `differs`, which are not."""
    for what in ("params", "macs"):
        published = getattr(models.NETWORKS[name], what)
        if published is not None:
            assert agrees(getattr(ours, what), published) == ((name, what) not in differs), (what, ours)
