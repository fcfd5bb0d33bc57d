"""Decisions: what computes a convolution and why. A chooser makes them: the cost model here, measurements in fastcnn.tune."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

import fastcnn._native as _native
from fastcnn.convolve.accuracy import FASTEST, Accuracy
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.shape import Problem
from fastcnn.ir.record import dataclass


@dataclass(frozen=True)
class Decision:
    """A choice for a convolution; source: "model" or "tuned"; seconds: of the candidates that were timed, by name."""

    problem: Problem
    choice: Choice
    source: str = "model"
    seconds: Mapping[str, float] = field(default_factory=dict)


class Timed(Protocol):
    """Something ready to run."""

    def run(self, workspace: _native.Workspace) -> float:
        """Seconds of one run."""


@dataclass(frozen=True)
class Selection:
    """The name of a variant; seconds: of those that were timed, empty where none was."""

    name: str
    seconds: Mapping[str, float] = field(default_factory=dict)


class Chooser(Protocol):
    """Decides once per convolution and set of strides, when a plan is made.

    measures  whether it times what it is offered: only then is it worth asking for variants of neighbours that run as one step
    accuracy  of the nodes it is asked about
    """

    measures: bool
    accuracy: Accuracy

    def conv(self, problem: Problem) -> Decision:
        """What computes a convolution with constant weights."""

    def variant(self, key: str, names: Sequence[str], threads: int, make: Callable[[str], Timed]) -> Selection:
        """One of several ways to compute the same bits; the first is the planner's pick. make: a variant with weights of its own."""

    def planned(self) -> None:
        """A plan is complete: nothing may be asked for a while."""


class CostModel:
    """The chooser that measures nothing."""

    measures = False

    def __init__(self, accuracy: Accuracy = FASTEST):
        self.accuracy = accuracy

    def conv(self, problem: Problem) -> Decision:
        return Decision(problem, choose(problem))

    def variant(self, key: str, names: Sequence[str], threads: int, make: Callable[[str], Timed]) -> Selection:
        return Selection(names[0])

    def planned(self) -> None:
        """Nothing to do."""
