"""TimedEngine: an engine that records when each thread begins and ends each step, for profiles and traces."""
from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.errors import ExecutionError
from fastcnn.ir.graph import Node
from fastcnn.plan.batches import Repeated
from fastcnn.plan.executor import Engine
from fastcnn.plan.lowering import Stage
from fastcnn.plan.plan import Plan

MOST = 20_000                   # stages that are kept


@dataclass(frozen=True)
class Timed:
    """The times of a stage or a fallback in one run, in seconds of time.monotonic().

    spans  of a native stage: (threads, steps, 2), begin and end of a thread's part of a step; 0 for threads that had none
    """

    stage: Stage | Node
    begin: float
    end: float
    spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 2)))

    def seconds(self) -> np.ndarray:
        """Seconds of each step: from its first thread's begin to the next step's. They add up to the time of the stage."""
        begins = np.where(self.spans[..., 1] > 0, self.spans[..., 0], np.inf).min(axis=0)
        return np.diff(begins, append=self.spans[:, -1:, 1].max())


class TimedEngine(Engine):
    """The same plans, weights and workspaces as another engine; every run adds to `timed`, up to MOST entries."""

    def __init__(self, engine: Engine, timed: list[Timed] | None = None):
        self.__dict__.update(engine.__dict__)
        self.shortcut = None
        self.timed: list[Timed] = [] if timed is None else timed

    def _narrow(self, plan: Plan, key: Hashable, values: Sequence[Any], share: int) -> tuple[Engine, Plan]:
        """The plan that is looked at, whoever shares the CPUs."""
        return self, plan

    def _remember(self, plan: Plan) -> None:
        """No run may pass the clock by."""

    def _note(self, timed: Timed) -> None:
        if len(self.timed) < MOST:
            self.timed.append(timed)

    def _run_stage(self, stage: Stage, inputs: list[np.ndarray], results: list[np.ndarray], workspace: _native.Workspace,
                   until: _native.Deadline | None) -> list[np.ndarray]:
        arrays = inputs + results
        times = stage.times if isinstance(stage, Repeated) else 1
        images = len(arrays[0]) // times if times > 1 else 0
        for k in range(times):
            part = [array[k * images:(k + 1) * images] for array in arrays] if times > 1 else arrays
            spans = np.zeros((stage.program.threads, len(stage.steps), 2))
            begin = time.monotonic()
            status = stage.program.run(workspace, part, None, until, spans)
            self._note(Timed(stage, begin, time.monotonic(), spans))
            if status:
                raise ExecutionError(f"a native step failed: {_native.STATUS[status]}")
        return stage.trimmed(results) if stage.trims else results

    def _run_fallback(self, node: Node, env: dict[str, Any], plan: Plan, until: _native.Deadline | None) -> None:
        begin = time.monotonic()
        super()._run_fallback(node, env, plan, until)
        self._note(Timed(node, begin, time.monotonic()))
