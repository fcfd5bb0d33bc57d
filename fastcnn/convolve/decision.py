"""Chooser: decides how convolutions are computed; by the cost model (here) or by measuring (fastcnn.tune). Decision: its answer."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

import fastcnn._native as _native
from fastcnn.convolve import planes_chain
from fastcnn.convolve.accuracy import FASTEST, Accuracy
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.shape import ConvShape, Problem
from fastcnn.ir.record import dataclass


@dataclass(frozen=True)
class Decision:
    """The choice for a convolution. source: "model" or "tuned"; seconds: candidate -> its time, for those that were timed."""

    problem: Problem
    choice: Choice
    source: str = "model"
    seconds: Mapping[str, float] = field(default_factory=dict)


class Timed(Protocol):
    """A variant that is ready to be timed."""

    def run(self, workspace: _native.Workspace) -> float:
        """Runs once; returns the seconds."""


@dataclass(frozen=True)
class Selection:
    """The name of the chosen variant. seconds: variant -> its time, empty where none was timed."""

    name: str
    seconds: Mapping[str, float] = field(default_factory=dict)


class Chooser(Protocol):
    """Decides once per convolution and set of strides, when a plan is made.

    measures  whether it times candidates: only then are fused and separate variants of neighbours offered to it
    accuracy  the Accuracy of the model's nodes
    """

    measures: bool
    accuracy: Accuracy

    def conv(self, problem: Problem) -> Decision:
        """Decides how to compute a convolution with constant weights."""

    def chain(self, layers: tuple[ConvShape, ...]) -> bool:
        """Decides whether convolutions from an input to an output stay on planes, where they can (fastcnn.convolve.planes_chain)."""

    def variant(self, key: str, names: Sequence[str], threads: int, make: Callable[[str], Timed]) -> Selection:
        """Chooses among variants with equal bits, of which the first is the planner's pick. make: builds a variant with its own weights."""

    def planned(self) -> None:
        """Called when a plan is complete, so that memory for timing can be released."""


class CostModel:
    """The Chooser that picks by predicted times."""

    measures = False

    def __init__(self, accuracy: Accuracy = FASTEST):
        self.accuracy = accuracy

    def conv(self, problem: Problem) -> Decision:
        return Decision(problem, choose(problem))

    def chain(self, layers: tuple[ConvShape, ...]) -> bool:
        return planes_chain.pays(layers)

    def variant(self, key: str, names: Sequence[str], threads: int, make: Callable[[str], Timed]) -> Selection:
        return Selection(names[0])

    def planned(self) -> None:
        """Nothing to do."""
