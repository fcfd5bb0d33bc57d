"""Network: a runnable model, as the search for precisions measures it."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fastcnn.precision.calibrate import Feeds

TURN = 2e-3             # seconds


class Timing(Protocol):
    """The fields of fastcnn.analysis.profile.Timing that are read here."""

    @property
    def nodes(self) -> tuple[str, ...]: ...

    @property
    def ms(self) -> float: ...


class Choice(Protocol):
    """The fields of fastcnn.plan.choices.LayerChoice that are read here."""

    @property
    def node(self) -> str: ...

    @property
    def precision(self) -> str: ...


class Profile(Protocol):
    """The fields of fastcnn.analysis.profile.Profile that are read here."""

    @property
    def timings(self) -> Sequence[Timing]: ...


class Runs(Protocol):
    """The methods of fastcnn.Model that are called here; Model itself is in a room above."""

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]: ...

    def choices(self) -> Sequence[Choice]: ...

    def profile(self, feeds: Mapping[str, Any], *, runs: int, seconds: float) -> Profile: ...


class Network:
    """Values and times of a model."""

    def __init__(self, model: Runs):
        self.model = model

    def run(self, names: Sequence[str], feeds: Feeds) -> list[Any]:
        """Values by name; no names: the outputs."""
        return self.model.run(list(names) or None, feeds)

    def seconds(self, feeds: Feeds) -> float:
        """Seconds of the shortest run among those that fit into two milliseconds, at least one."""
        end, shortest = time.perf_counter() + TURN, float("inf")
        while True:
            start = time.perf_counter()
            self.model.run(None, feeds)
            now = time.perf_counter()
            shortest = min(shortest, now - start)
            if now >= end:
                return shortest

    def computed_in(self, precision: str) -> set[str]:
        """Names of the nodes that some step computes in a precision: permission for bfloat16 is not use of it."""
        return {choice.node for choice in self.model.choices() if choice.precision == precision}

    def layer_ms(self, feeds: Feeds) -> dict[str, float]:
        """Node name -> ms; the time of a fused step is divided among its nodes."""
        shared: dict[str, float] = {}
        for timing in self.model.profile(feeds, runs=9, seconds=0.5).timings:
            for name in timing.nodes:
                shared[name] = shared.get(name, 0.0) + timing.ms / len(timing.nodes)
        return shared
