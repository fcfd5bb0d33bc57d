"""SessionOptions.enable_profiling: records the runs of a session and writes them as a Chrome trace at the end."""
from __future__ import annotations

import json
import time
from pathlib import Path

from fastcnn.analysis.timing import Timed, TimedEngine
from fastcnn.analysis.trace import trace_events
from fastcnn.plan.executor import Engine


class SessionProfile:
    """Records the engines of a session. prefix: start of the trace's file name, which ends in the time."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.began = prefix, time.monotonic()
        self.timed: list[Timed] = []
        self.engines: dict[int, TimedEngine] = {}

    def watched(self, engine: Engine) -> TimedEngine:
        """A TimedEngine in place of the engine."""
        return self.engines.setdefault(id(engine), TimedEngine(engine, self.timed))

    def write(self) -> str:
        """Writes the events so far as a list, in onnxruntime's format, and returns the file's name."""
        file = Path(f"{self.prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json")
        file.write_text(json.dumps(trace_events(self.timed, self.began)))
        return str(file)
