"""onnxruntime's enable_profiling: what a session ran, written as a Chrome trace when profiling ends."""
from __future__ import annotations

import json
import time
from pathlib import Path

from fastcnn.analysis.timing import Timed, TimedEngine
from fastcnn.analysis.trace import trace_events
from fastcnn.plan.executor import Engine


class SessionProfile:
    """Engines of a session that note what they do; prefix: of the file's name, the rest is the time."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.began = prefix, time.monotonic()
        self.timed: list[Timed] = []
        self.engines: dict[int, TimedEngine] = {}

    def watched(self, engine: Engine) -> TimedEngine:
        """The engine, noting."""
        return self.engines.setdefault(id(engine), TimedEngine(engine, self.timed))

    def write(self) -> str:
        """The name of the file with all events so far: a list of them, as onnxruntime writes it."""
        file = Path(f"{self.prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json")
        file.write_text(json.dumps(trace_events(self.timed, self.began)))
        return str(file)
