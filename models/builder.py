"""Builder: how to write one of the networks, and the published facts about it."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Builder:
    """How to write one network, and what was published about it.

    function    (writer, input name, **options) -> output name; None where it declares outputs of its own
    input       (C, H, W), or (C, D, H, W) of a video
    output      shape of the output without the batch axis; None where the function declares outputs
    params      published parameter count, None where nobody states one; trailing zeros are rounding
    macs        published multiply-accumulates of one image, likewise
    paper       where it comes from
    opset       the first that has its operators
    single      it takes one image at a time
    proposals   regions that MACs are counted for, where data decides how many there are
    """

    function: Callable[..., str | None]
    input: tuple[int, ...]
    output: tuple[int, ...] | None
    params: int | None
    macs: int | None
    paper: str
    opset: int = 13
    single: bool = False
    proposals: int = 1
