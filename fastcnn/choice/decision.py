"""Decisions: what computes a convolution and why. A chooser makes them: the cost model here, measurements in fastcnn.tune."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fastcnn.choice.conv import ConvChoice, ConvShape, Places, choose


@dataclass(frozen=True)
class Decision:
    """A choice for a convolution; source: "model" or "tuned"; seconds: of the candidates that were timed, by name."""

    shape: ConvShape
    choice: ConvChoice
    source: str = "model"
    seconds: Mapping[str, float] = field(default_factory=dict)


class Chooser(Protocol):
    """Decides once per convolution and set of strides, when a plan is made."""

    def conv(self, shape: ConvShape, places: Places, threads: int) -> Decision:
        """What computes a convolution with constant weights; places: strides (n, c, h, w) of x, y and, if there is one, the residual."""

    def planned(self) -> None:
        """A plan is complete: nothing may be asked for a while."""


class CostModel:
    """The chooser that measures nothing."""

    def conv(self, shape: ConvShape, places: Places, threads: int) -> Decision:
        return Decision(shape, choose(shape, places, threads))

    def planned(self) -> None:
        """Nothing to do."""
