"""Converts a timed run to a Chrome trace: one track for its stages, and one for each thread with its part of every step."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from fastcnn.analysis.timing import Timed
from fastcnn.ir.graph import Node

STAGES = 0                      # the track of stages; thread t of the engine has track t + 1


def trace_events(record: Sequence[Timed], began: float | None = None) -> list[dict[str, Any]]:
    """Trace events, in microseconds since `began` or else since the first stage's begin."""
    if not record:
        return []
    zero = record[0].begin if began is None else began
    threads = max((len(timed.spans) for timed in record), default=0)
    names = {STAGES: "stages", **{t + 1: f"thread {t}" for t in range(threads)}}
    found = [{"ph": "M", "name": "process_name", "pid": os.getpid(), "tid": 0, "args": {"name": "fastcnn"}}]
    found += [{"ph": "M", "name": "thread_name", "pid": os.getpid(), "tid": tid, "args": {"name": name}} for tid, name in names.items()]
    return [*found, *(event for timed in record for event in _events(timed, zero))]


def _events(timed: Timed, zero: float) -> Iterator[dict[str, Any]]:
    stage = timed.stage
    if isinstance(stage, Node):
        yield _span(stage.name, "fallback", STAGES, timed.begin - zero, timed.end - timed.begin, {"op": stage.op_type})
        return
    label = f"{stage.steps[0].node} ... {stage.steps[-1].node}" if stage.steps else "nothing"
    yield _span(label, "stage", STAGES, timed.begin - zero, timed.end - timed.begin, {"steps": len(stage.steps)})
    for thread, spans in enumerate(timed.spans):
        for info, (begin, end) in zip(stage.steps, spans):
            if end:
                yield _span(info.node, info.kind, thread + 1, begin - zero, end - begin, {"kind": info.kind, "work": info.work})


def _span(name: str, category: str, track: int, begin: float, seconds: float, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "X", "name": name, "cat": category, "pid": os.getpid(), "tid": track, "ts": 1e6 * begin, "dur": 1e6 * seconds,
            "args": args}
